import { describe, expect, it } from 'vitest'
import { findingsTable } from '../../src/cli/doctor.ts'
import { cudaWheel } from '../../src/machine/nvidia.ts'
import type { CardFacts, DoctorReport } from '../../src/setup/doctor.ts'
import { type Finding, findings } from '../../src/setup/doctor-findings.ts'

const bare: DoctorReport = {
  tool: '0.1.0',
  node: '20.19.0',
  system: 'linux x64',
  processor: { model: 'A processor', threads: 1, bfloat16: [] },
  memory: { totalBytes: 8e9, freeBytes: 4e9 },
  cards: [],
  graphicsCards: [],
  cardOverrides: [],
  backend: {
    name: 'wasm',
    description: 'WebAssembly, one thread',
    notices: [],
    warnings: [],
    passedOver: [{ name: 'tensorflow', reason: 'no native TensorFlow is set up' }],
  },
  products: {
    float32: { works: true, gigaflops: 36, roundsToNearest: true },
    bfloat16: { works: false, reason: 'only native' },
  },
  ffmpeg: { failure: 'no ffmpeg was found' },
  base: { failure: 'x.safetensors does not exist' },
  disk: { folder: '/work', freeBytes: 80e9 },
  cache: { folder: '/cache', bytes: 12e6 },
  data: { folder: '/data', bytes: 0 },
  proxies: {},
}

const native: Partial<DoctorReport> = {
  backend: {
    name: 'tensorflow',
    description: 'TensorFlow 2.21.0 on the CPU, from a test',
    notices: [],
    warnings: [],
    passedOver: [],
  },
  native: { version: '2.21.0', device: 'CPU', hasGraphs: true, hasFusedOps: true },
  products: {
    float32: { works: true, gigaflops: 300, roundsToNearest: true },
    bfloat16: { works: true, gigaflops: 1800, roundsToNearest: true },
  },
}

const finding = (about: string, report: Partial<DoctorReport> = {}): Finding | undefined =>
  findings({ ...bare, ...report }).find((one) => one.about === about)

describe('the doctor reports', () => {
  it('why the backend is not the fastest, and how to change that', () => {
    expect(finding('Backend')).toEqual({
      about: 'Backend',
      found: 'wasm: WebAssembly, one thread',
      grade: 'fair',
      meaning: 'no native TensorFlow is set up; for the 22B model: ltx-a2a setup-tensorflow',
    })
    expect(finding('Backend', native)).toMatchObject({ grade: 'good', meaning: '' })
  })

  it('each suggestion only once', () => {
    const reason = 'TensorFlow was set up with /x, which is gone'
    const meaningOf = (hint: string) => {
      const passedOver = [{ name: 'tensorflow', reason, hint }]
      return finding('Backend', { backend: { ...bare.backend, passedOver } as DoctorReport['backend'] })?.meaning
    }
    const again = 'run ltx-a2a setup-tensorflow again'
    expect(meaningOf(again)).toBe(`${reason}; ${again}`)
    expect(meaningOf('set LTX_A2A_DATA')).toBe(`${reason}; set LTX_A2A_DATA`)
    expect(meaningOf('run ltx-a2a setup-tensorflow')).toBe(`${reason}; for the 22B model: ltx-a2a setup-tensorflow`)
  })

  it('what setup-tensorflow needs first', () => {
    const setUp = { failure: 'there is no C++ compiler', hint: 'install one: sudo apt install g++' }
    expect(finding('Set-up', { setUp })).toEqual({
      about: 'Set-up',
      found: setUp.failure,
      grade: 'poor',
      meaning: 'for ltx-a2a setup-tensorflow: install one: sudo apt install g++',
    })
    expect(finding('Set-up')).toBeUndefined()
  })

  it('the precision, and how to change it', () => {
    expect(finding('Precision', { ...native, precision: { name: 'bfloat16' } })).toMatchObject({
      found: 'bfloat16 products',
      meaning: 'LTX_A2A_PRECISION=float32 changes it',
    })
    expect(finding('Precision', { precision: { name: 'float32' } })?.meaning).toBe('the only one of wasm')
    const wrong = { failure: 'LTX_A2A_PRECISION is foo', hint: 'choose one of bfloat16, half, float32' }
    expect(finding('Precision', { precision: wrong })).toMatchObject({ grade: 'poor', found: wrong.failure })
  })

  it('that an addon without graphs runs op by op', () => {
    const facts = { version: '2.9.1', device: 'CPU', hasGraphs: false, hasFusedOps: false } as const
    expect(finding('Backend', { ...native, native: facts })).toMatchObject({
      grade: 'fair',
      meaning: 'its addon has no graphs, which are faster and need less memory',
    })
  })

  it('that an addon of an earlier version lacks fused operations, which a graphics card does not use', () => {
    const facts = { version: '2.21.0', hasGraphs: true, hasFusedOps: false } as const
    expect(finding('Backend', { ...native, native: { ...facts, device: 'CPU' } })).toMatchObject({
      grade: 'fair',
      meaning: 'its addon has no fused operations, which are faster and need less memory',
    })
    expect(finding('Backend', { ...native, native: { ...facts, device: 'GPU' } })).toMatchObject({ grade: 'good' })
  })

  it('that no backend works', () => {
    const { products: _, ...without } = bare
    const failure = 'the tensorflow backend cannot be used here'
    const report = { ...without, backend: { failure, hint: 'use --backend auto' } }
    const [backend, ...others] = findings(report).filter(({ about }) => /Backend|products/.test(about))
    expect(backend).toMatchObject({ grade: 'poor', meaning: `${failure}: use --backend auto` })
    expect(others).toEqual([])
  })

  it('the minimum duration of a step at the measured speed', () => {
    const precision = { name: 'bfloat16' } as const
    expect(finding('float32 products', { ...native, precision })?.meaning).toBe(
      'not used; with LTX_A2A_PRECISION=float32 a step of the 22B model, 5 s, takes 12 s or more',
    )
    expect(finding('bfloat16 products', { ...native, precision })).toMatchObject({
      found: '1,800 GFLOP/s',
      meaning: expect.stringContaining('takes 2.0 s or more'),
    })
    expect(finding('bfloat16 products')).toMatchObject({ grade: 'fair', found: 'only native' })
  })

  it('that WebAssembly has too little memory for the 22B model, without a duration', () => {
    expect(finding('float32 products')?.meaning).toBe(
      'not for the 22B model: its weights take 6.60 GB, and WebAssembly has at most 4.29 GB of memory',
    )
    const backend = { ...bare.backend, name: 'cpu' } as DoctorReport['backend']
    expect(finding('float32 products', { backend })?.meaning).toContain('takes 100 s or more')
  })

  it('that the processor emulates a number format', () => {
    const emulated = { works: true, gigaflops: 100, roundsToNearest: false } as const
    const products = { float32: { ...emulated, roundsToNearest: true }, bfloat16: emulated }
    expect(finding('bfloat16 products', { ...native, products })).toMatchObject({
      found: '100 GFLOP/s',
      grade: 'fair',
      meaning: expect.stringMatching(/^not used.*weights stay in memory as they are stored$/),
    })
  })

  const card: CardFacts = {
    index: 0,
    name: 'H200',
    totalBytes: 150e9,
    freeBytes: 149e9,
    isUsed: false,
    isVisible: true,
  }
  const onGpu = { ...native, native: { version: '2.21.0', device: 'GPU', hasGraphs: true, hasFusedOps: true } } as const

  it('that there is no graphics card', () => {
    expect(finding('Graphics card')).toMatchObject({ found: 'no NVIDIA card', meaning: '' })
    expect(finding('Graphics card', { ...native, cudaBuild: cudaWheel })?.meaning).toContain('docker run --gpus all')
  })

  it('that nvidia-smi fails, with and without cards', () => {
    const cardFailure = 'nvidia-smi fails: Failed to initialize NVML'
    const row = { found: cardFailure, grade: 'poor', meaning: expect.stringContaining('restart the machine') }
    expect(finding('Graphics card', { cardFailure })).toMatchObject(row)
    const rows = findings({ ...bare, cardFailure, graphicsCards: [{ ...card, obstacle: 'it is hidden' }] })
    expect(rows.filter(({ about }) => about === 'Graphics card')).toMatchObject([{ grade: 'poor' }, row])
  })

  it('that a graphics card is used, with its memory', () => {
    const used = { ...card, isUsed: true }
    expect(finding('Graphics card', { ...onGpu, graphicsCards: [used] })).toMatchObject({
      found: 'GPU 0, H200, 150.00 GB, 149.00 GB of it free',
      grade: 'good',
      meaning: '',
    })
    const small = { ...used, totalBytes: 8e9, freeBytes: 7e9 }
    expect(finding('Graphics card', { ...onGpu, graphicsCards: [small] })?.meaning).toBe(
      'the 22B model needs about 12.00 GB',
    )
    const cardOverrides = ['NVIDIA_TF32_OVERRIDE=1', 'TF_DETERMINISTIC_OPS=0']
    expect(finding('Graphics card', { ...onGpu, graphicsCards: [used], cardOverrides })).toMatchObject({
      grade: 'fair',
      meaning:
        'NVIDIA_TF32_OVERRIDE=1 is set: float32 products may be less exact; TF_DETERMINISTIC_OPS=0 is set: the same run may give other bytes each time',
    })
  })

  it('that a graphics card is not used, why, and the command that would use it', () => {
    const meaningOf = (facts: Partial<CardFacts>, report: Partial<DoctorReport> = native) =>
      finding('Graphics card', { ...report, graphicsCards: [{ ...card, ...facts }] })?.meaning
    const [obstacle, remedy] = ['the TensorFlow that is set up is for the CPU', 'ltx-a2a setup-tensorflow']
    expect(meaningOf({ obstacle, remedy })).toBe(`not used: ${obstacle}; ${remedy}`)
    expect(meaningOf({ obstacle, remedy, totalBytes: 8e9 })).toBe(
      `not used: ${obstacle}; ${remedy}; the 22B model needs about 12.00 GB`,
    )
    expect(meaningOf({ obstacle: 'its driver is too old', totalBytes: 8e9 })).toBe('not used: its driver is too old')
    expect(meaningOf({}, onGpu)).toBe('a part of a card is used, of unknown memory')
  })

  it('that a graphics card is divided into parts', () => {
    const { totalBytes: _, freeBytes: __, ...facts } = card
    const graphicsCards = [{ ...facts, isPartitioned: true, isUsed: true }]
    expect(finding('Graphics card', { ...onGpu, graphicsCards })?.found).toBe(
      'GPU 0, H200, divided into parts (MIG), whose memory is not known',
    )
  })

  it('that ffmpeg without rubberband uses atempo', () => {
    const ffmpeg = { path: '/bin/ffmpeg', from: 'the PATH', version: '7.1', rubberband: false }
    expect(finding('ffmpeg', { ffmpeg })).toMatchObject({ grade: 'fair', meaning: expect.stringContaining('atempo') })
    expect(finding('ffmpeg')).toMatchObject({ grade: 'poor', found: 'no ffmpeg was found' })
  })

  it('that 8 GB of memory are too little for the released model, but 24 GB are enough', () => {
    expect(finding('Memory')).toMatchObject({ found: '8.00 GB, 4.00 GB of it free', grade: 'fair' })
    expect(finding('Memory', { memory: { totalBytes: 24e9, freeBytes: 20e9 } })?.meaning).toBe('')
  })

  it('that Node is too old', () => {
    expect(finding('Node', { node: '18.20.4' })).toMatchObject({
      grade: 'poor',
      meaning: 'ltx-a2a needs Node 20 or later',
    })
    expect(finding('Node', { node: '24.1.0' })).toMatchObject({ grade: 'good', meaning: '' })
  })
})

describe('the table of findings', () => {
  it('has a row for every finding within the terminal width', () => {
    const lines = findingsTable(findings(bare), { columns: 90 }).trimEnd().split('\n')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(90)
    for (const { about } of findings(bare)) expect(lines.some((line) => line.startsWith(`│ ${about} `))).toBe(true)
  })

  it('is colored only on request', () => {
    const colorCode = String.fromCharCode(27)
    expect(findingsTable(findings(bare))).not.toContain(colorCode)
    expect(findingsTable(findings(bare), { color: true })).toContain(`${colorCode}[31mno ffmpeg was found`)
  })
})
