/** Which graphics card a command uses, with fake programs `nvidia-smi` and a stand-in for TensorFlow with CUDA. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tinyRun, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import type { DoctorReport } from '../../src/setup/doctor.ts'
import { findings } from '../../src/setup/doctor-findings.ts'
import { examine, reasonForCpu } from '../../src/setup/tensorflow.ts'
import { inFolder, newFolder, spawnLtxA2a } from '../cli/bin.ts'
import { cpuBuildInfo, cudaBuildInfo, fakeAddon } from '../engine/fake-addon.ts'
import { type CardFields, cards, fakeNvidiaSmi } from '../machine/nvidia-smi.ts'
import { needs } from '../needs.ts'

/** The report on a machine with these cards, and the environment that TensorFlow was loaded in. */
async function doctor(list: CardFields[], env: Record<string, string> = {}, buildInfo = cudaBuildInfo) {
  const log = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-card-')), 'env.json')
  const PATH = `${fakeNvidiaSmi(...list)}:${process.env.PATH}`
  const LTX_A2A_DATA = fakeAddon(buildInfo)
  const result = await spawnLtxA2a(['doctor', '--json'], { env: { PATH, LTX_A2A_DATA, FAKE_ADDON_LOG: log, ...env } })
  expect(result.code, result.stderr).toBe(0)
  const seen: Record<string, string> = JSON.parse(readFileSync(log, 'utf8'))
  return { report: JSON.parse(result.stdout) as DoctorReport, seen }
}

/** What the rows of graphics cards mean. */
const rowsOf = (report: DoctorReport) =>
  findings(report).flatMap(({ about, meaning }) => (about === 'Graphics card' ? meaning : []))

/** A folder with a library of the driver's name, which the loader accepts. */
const folderWithDriver = newFolder()
copyFileSync(process.platform === 'linux' ? systemLibrary() : process.execPath, join(folderWithDriver, 'libcuda.so.1'))

/** A small library that this process has loaded. */
function systemLibrary(): string {
  const [path] = /\/\S+\/libm[.-]\S*so\S*/.exec(readFileSync('/proc/self/maps', 'utf8')) ?? []
  return path ?? process.execPath
}

describe('native TensorFlow', () => {
  it('is loaded with one card visible, exact float32 and deterministic ops', async () => {
    const { report, seen } = await doctor([cards.rtx3070, cards.rtx4090, cards.rtx5090])
    expect(seen).toMatchObject({
      CUDA_VISIBLE_DEVICES: cards.rtx4090.uuid,
      CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
      NVIDIA_TF32_OVERRIDE: '0',
      TF_DETERMINISTIC_OPS: '1',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    })
    expect(report.backend.description).toBe('TensorFlow 2.21.0 on GPU 1, NVIDIA GeForce RTX 4090, from a test')
    expect(report.backend.notices).toEqual([
      expect.stringContaining('GPU 2, NVIDIA GeForce RTX 5090, is not used: its compute capability'),
    ])
  })

  it('is loaded with the settings of the user', async () => {
    const own = { NVIDIA_TF32_OVERRIDE: '1', TF_DETERMINISTIC_OPS: '0', TF_FORCE_GPU_ALLOW_GROWTH: 'false' }
    const { seen } = await doctor([cards.rtx3070, cards.rtx4090], { ...own, CUDA_VISIBLE_DEVICES: '0' })
    expect(seen).toMatchObject({ ...own, CUDA_VISIBLE_DEVICES: cards.rtx3070.uuid })
  })

  it('computes on the processor if it has no code for the card, and says why', async () => {
    const { report, seen } = await doctor([cards.rtx5090])
    expect(seen.CUDA_VISIBLE_DEVICES).toBe('-1')
    expect(seen).not.toHaveProperty('TF_DETERMINISTIC_OPS')
    expect(report.backend.description).toBe('TensorFlow 2.21.0 on the CPU, from a test')
    expect(report.backend.notices).toEqual([expect.stringContaining('compute capability 12.0 is newer')])
  })
})

describe('the doctor', () => {
  it('names each card, the one in use, and why the others are not', async () => {
    const { report } = await doctor([cards.rtx3070, cards.rtx4090, cards.rtx5090])
    expect(report.cards).toEqual(['NVIDIA GeForce RTX 3070', 'NVIDIA GeForce RTX 4090', 'NVIDIA GeForce RTX 5090'])
    expect(report.graphicsCards.map(({ isUsed, isVisible }) => [isUsed, isVisible])).toEqual([
      [false, true],
      [true, true],
      [false, true],
    ])
    expect(report.graphicsCards[2]?.obstacle).toContain('compute capability 12.0')
    expect(findings(report).map(({ meaning }) => meaning)).toContain(
      'not used: a process uses one card, here GPU 1; CUDA_VISIBLE_DEVICES=0 chooses this one instead; the 22B model needs about 12.00 GB',
    )
  })

  it('names the command that uses a card, if TensorFlow is for the CPU', async () => {
    const { report } = await doctor([cards.rtx4090], { FAKE_ADDON_DEVICE: 'CPU' }, cpuBuildInfo)
    expect(report.graphicsCards).toMatchObject([{ name: 'NVIDIA GeForce RTX 4090', isUsed: false }])
    expect(rowsOf(report)).toEqual([
      expect.stringMatching(
        /^not used: the TensorFlow that is set up is for the CPU; ltx-a2a setup-tensorflow sets up one that uses it$/,
      ),
    ])
  })

  it('does not name that command for TensorFlow with CUDA, but says why CUDA does not start', async () => {
    const error = 'failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has unsupported display driver'
    const env = {
      FAKE_ADDON_DEVICE: 'CPU',
      LD_LIBRARY_PATH: folderWithDriver,
      FAKE_ADDON_STDERR: `E0000 x.cc:52] ${error}\n`,
    }
    const { report } = await doctor([cards.rtx4090], env)
    const obstacle = `TensorFlow for CUDA is set up, but CUDA does not start: ${error}`
    expect(report.graphicsCards).toMatchObject([{ obstacle, remedy: expect.stringContaining('restart the machine') }])
    expect(rowsOf(report)).toEqual([expect.stringContaining(`not used: ${obstacle}; restart the machine`)])
    expect(report.backend.notices).toEqual([expect.stringContaining('CUDA does not start')])
  })

  it.skipIf(process.platform !== 'linux')("says that the driver's library is missing", needs('Linux'), async () => {
    const env = { FAKE_ADDON_DEVICE: 'CPU', LD_LIBRARY_PATH: newFolder() }
    const { report } = await doctor([cards.rtx4090], env)
    expect(rowsOf(report)).toEqual([
      expect.stringMatching(/the driver's library cannot be loaded \(libcuda\.so\.1: .*\); install .*--gpus all/),
    ])
  })

  it('names an old driver, and cards that are hidden', async () => {
    const old = await doctor([cards.oldDriver])
    expect(old.report.graphicsCards[0]?.obstacle).toContain('its driver 470.82.01 is too old')
    const hidden = await doctor([cards.rtx4090], { CUDA_VISIBLE_DEVICES: '' })
    expect(hidden.report.graphicsCards).toMatchObject([{ isUsed: false, isVisible: false }])
    expect(hidden.seen.CUDA_VISIBLE_DEVICES).toBe('')
  })
})

describe('train', () => {
  it('is refused on a card with too little memory, with its numbers, and writes nothing', async () => {
    const cwd = newFolder()
    writeTinyData(cwd)
    const card = { ...cards.rtx3070, 'memory.total': '2500', 'memory.free': '2400' }
    const PATH = `${fakeNvidiaSmi(card)}:${process.env.PATH}`
    const { code, stderr } = await spawnLtxA2a(['train', ...tinyRun, '--out', 'run'], {
      cwd,
      env: { PATH, LTX_A2A_DATA: fakeAddon() },
    })
    expect(code).toBe(2)
    expect(stderr).toContain('Backend: tensorflow, TensorFlow 2.21.0 on GPU 0, NVIDIA GeForce RTX 3070, from a test')
    expect(stderr).toMatch(/Graphics memory: about 1\.\d+ GB of 487 MB/)
    expect(stderr).toMatch(
      /this run needs about 1\.\d+ GB of memory, but TensorFlow can use 591 MB of the 2\.62 GB of GPU 0, NVIDIA GeForce RTX 3070/,
    )
    expect(existsSync(join(cwd, 'run'))).toBe(false)
  })

  const dryRun = async (env: Record<string, string>) => {
    const cwd = newFolder()
    writeTinyData(cwd)
    const PATH = `${fakeNvidiaSmi(cards.rtx4090)}:${process.env.PATH}`
    const { stderr } = await spawnLtxA2a(['train', ...tinyRun, '--dry-run'], { cwd, env: { PATH, ...env } })
    return stderr
  }
  const noticeOf = (stderr: string) => stderr.split('\n').filter((line) => line.includes('RTX 4090'))

  it('names the command that would use a card, once', async () => {
    const lines = noticeOf(await dryRun({ LTX_A2A_DATA: newFolder() }))
    expect(lines).toEqual([expect.stringMatching(/^GPU 0, .*, is not used: .*; ltx-a2a setup-tensorflow sets up one/)])
  })

  it('says that CUDA does not start', async () => {
    const env = { LTX_A2A_DATA: fakeAddon(cudaBuildInfo), FAKE_ADDON_DEVICE: 'CPU', LTX_A2A_PRECISION: 'float32' }
    expect(noticeOf(await dryRun(env))).toEqual([expect.stringContaining('CUDA does not start; ltx-a2a doctor')])
  })

  it('warns that the TensorFlow that was set up is gone', async () => {
    const data = fakeAddon(cudaBuildInfo)
    const library = join(data, 'tensorflow', 'libtensorflow', 'tensorflow', 'libtensorflow_cc.so.2')
    rmSync(library)
    const stderr = await dryRun({ LTX_A2A_DATA: data })
    const gone = `TensorFlow was set up with ${library}, which is gone`
    expect(stderr).toContain(
      `warning: native TensorFlow is not used: ${gone} (restore it, or run ltx-a2a setup-tensorflow`,
    )
    expect(noticeOf(stderr)).toEqual([])
    const refused = await spawnLtxA2a(['train', ...tinyRun, '--backend', 'tensorflow'], {
      cwd: newFolderWithData(),
      env: { LTX_A2A_DATA: data },
    })
    expect(refused.code).toBe(2)
    expect(refused.stderr.split(gone)).toHaveLength(2) // once
  })
})

function newFolderWithData(): string {
  const cwd = newFolder()
  writeTinyData(cwd)
  return cwd
}

describe('the check of a setup', () => {
  it('says why TensorFlow computes on the CPU', async () => {
    const { report } = await doctor([cards.rtx4090], { FAKE_ADDON_DEVICE: 'CPU', LD_LIBRARY_PATH: folderWithDriver })
    const { native, graphicsCards } = report
    if (!native) throw new Error('native TensorFlow did not start')
    expect(reasonForCpu({ native, graphicsCards }, true)).toEqual({
      message:
        'TensorFlow computes on the CPU: GPU 0, NVIDIA GeForce RTX 4090, is not used: TensorFlow for CUDA is set up, but CUDA does not start',
      hint: 'ltx-a2a doctor says more',
    })
    expect(reasonForCpu({ native, graphicsCards: [] }, true)?.message).toContain('no NVIDIA card is found')
    expect(reasonForCpu({ native, graphicsCards: [] }, false)).toBeUndefined()
    expect(reasonForCpu({ native: { ...native, device: 'GPU' }, graphicsCards }, true)).toBeUndefined()
  })

  it('reads its report between what other modules print', async () => {
    const module = join(newFolder(), 'noise.cjs')
    writeFileSync(module, `console.log('{ noise }'); process.on('exit', () => console.log('more'))`)
    const products = inFolder({ env: { NODE_OPTIONS: `--require ${module}` } }, async () => {
      const { products } = await examine(fakeAddon(cudaBuildInfo))
      return products.float32.works
    })
    expect(await products).toBe(true)
  })
})
