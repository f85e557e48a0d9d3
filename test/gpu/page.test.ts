/** The page of `npm run check:gpu`. What it measures needs a graphics card. */
import { describe, expect, it } from 'vitest'
import { type GpuCheck, gpuPage, isGood } from '../../scripts/gpu/page.ts'

const card = { index: 0, name: 'NVIDIA H200', totalBytes: 150e9, driver: '550.1', computeCapability: '9.0' }
const result = {
  ...{
    backend: 'tensorflow',
    precision: 'bfloat16',
    blocks: 4,
    tokens: 252,
    secondsPerStep: 0.0312,
    fastestStep: 0.03,
  },
  ...{ loadSeconds: 2, firstStepSeconds: 3, matmulTeraflops: 300, floorSeconds: 0.001, ratioToFloor: 31.2 },
  peakRssGigabytes: 1,
}
const check = {
  date: '2026-12-01',
  report: {
    ...{
      tool: '0.1.0',
      node: '20.19.0',
      system: 'linux x64',
      processor: { model: 'A processor', threads: 8, bfloat16: [] },
    },
    backend: {
      name: 'tensorflow',
      description: 'TensorFlow 2.21.0 on GPU 0, NVIDIA H200',
      notices: [],
      passedOver: [],
    },
    products: { float32: { works: true, gigaflops: 50_000, roundsToNearest: true } },
  } as unknown as GpuCheck['report'],
  card: { ...card, isUsed: true, isVisible: true },
  tests: [{ name: 'gradients', passed: 10, skipped: 1, failures: [] }],
  benches: [{ blocks: 4, estimatedBytes: 2.5e9, peakBytes: 2e9, result }],
  resumed: { kills: 10, runs: 4, failures: [] },
} satisfies GpuCheck

describe('the page of a graphics card', () => {
  it('has the card, the tests, and each size beside the figure of a processor', () => {
    const page = gpuPage(check)
    expect(page).toContain('All checks passed.')
    expect(page).toContain('| memory, driver, compute capability | 150.00 GB, 550.1, 9.0 |')
    expect(page).toContain('| gradients | 10 | 0 | 1 |')
    expect(page).toContain(
      '4 runs that were killed 10 times and resumed gave the bytes of an uninterrupted run, 0 did not.',
    )
    expect(page).toContain('| 4 | 0.0312 (0.03) | 300 | 0.001 | 31.2 | 2 | 3 | 2.00 GB | 2.50 GB | 0.47 |')
    expect(page).toContain('float32 50.0 TFLOP/s; bfloat16 none')
  })

  it.each<[what: string, change: Partial<GpuCheck>, line: string]>([
    ['a test', { tests: [{ name: 'x', passed: 1, skipped: 0, failures: ['a test\nits stack'] }] }, '- a test\n'],
    [
      'a size',
      { benches: [{ blocks: 48, estimatedBytes: 1e9, failure: 'out of memory' }] },
      '- 48 blocks: out of memory\n',
    ],
    [
      'a resumed run',
      { resumed: { kills: 1, runs: 1, failures: ['run-1: lora.safetensors'] } },
      '- run-1: lora.safetensors\n',
    ],
  ])('says that %s failed', (_, change, line) => {
    const page = gpuPage({ ...check, ...change })
    expect(isGood({ ...check, ...change })).toBe(false)
    expect(page).toContain('**A check failed.**')
    expect(page).toContain(`What failed:\n\n${line}`)
  })

  it('does not take it for a success if no test or no run was compared', () => {
    expect(isGood({ ...check, tests: [{ name: 'x', passed: 0, skipped: 9, failures: [] }] })).toBe(false)
    expect(isGood({ ...check, resumed: { kills: 0, runs: 0, failures: [] } })).toBe(false)
  })
})
