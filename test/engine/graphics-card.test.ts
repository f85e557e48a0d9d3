import { afterEach, describe, expect, it, vi } from 'vitest'
import { cardDefaults, cardOverrides, selectCard } from '../../src/engine/graphics-card.ts'
import { cudaWheel } from '../../src/machine/nvidia.ts'
import { type CardFields, cards, fakeNvidiaSmi } from '../machine/nvidia-smi.ts'

afterEach(() => void vi.unstubAllEnvs())

/** What is selected on a machine with these cards. */
function selectFrom(list: CardFields[], variable?: string, build = cudaWheel) {
  vi.stubEnv('PATH', fakeNvidiaSmi(...list))
  vi.stubEnv('CUDA_VISIBLE_DEVICES', variable)
  return selectCard(build)
}
const { rtx3070, rtx4090, rtx5090, oldDriver, gtx980 } = cards
const computing = { ...cardDefaults }

describe('the graphics card that TensorFlow sees', () => {
  it('is the only one that the machine has, without a change of what is visible', async () => {
    expect(await selectFrom([rtx3070])).toMatchObject({ card: { index: 0 }, refusals: [], selecting: {}, computing })
    expect(await selectFrom([rtx3070], '0')).toMatchObject({ card: { index: 0 }, selecting: {} })
  })

  it('is the one with the most free memory of several, by its UUID', async () => {
    const selecting = { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: rtx4090.uuid }
    expect(await selectFrom([rtx3070, rtx4090])).toMatchObject({ card: { index: 1 }, refusals: [], selecting })
    const busy = { ...rtx4090, 'memory.free': '300' }
    expect(await selectFrom([rtx3070, busy])).toMatchObject({ selecting: { CUDA_VISIBLE_DEVICES: rtx3070.uuid } })
  })

  it('is the one with the most free memory of those that CUDA_VISIBLE_DEVICES names', async () => {
    const other = { ...rtx3070, uuid: 'GPU-00000000-d33d-2b2c-524d-9e3d8d2b8a77', 'memory.free': '5000' }
    const list = [rtx4090, rtx3070, other]
    expect(await selectFrom(list, '1,2')).toMatchObject({ selecting: { CUDA_VISIBLE_DEVICES: rtx3070.uuid } })
    expect(await selectFrom(list, '2')).toMatchObject({ selecting: { CUDA_VISIBLE_DEVICES: other.uuid } })
    expect(await selectFrom(list, 'GPU-0')).toMatchObject({ selecting: { CUDA_VISIBLE_DEVICES: other.uuid } })
  })

  it('is selected by its number if its UUID is not known', async () => {
    const without = [rtx3070, rtx4090].map((card) => ({ ...card, uuid: '[N/A]' }))
    expect(await selectFrom(without)).toMatchObject({ selecting: { CUDA_VISIBLE_DEVICES: '1' } })
  })

  it('is none, and nothing is changed, on a machine without cards or with all of them hidden', async () => {
    const nothing = { refusals: [], selecting: {}, computing: {} }
    expect(await selectFrom([])).toEqual(nothing)
    for (const hidden of ['', '-1', 'NoDevFiles']) expect(await selectFrom([rtx4090], hidden)).toEqual(nothing)
  })

  it('is none for a TensorFlow without CUDA, which is not asked about cards', async () => {
    vi.stubEnv('PATH', fakeNvidiaSmi(rtx4090))
    expect(await selectCard(undefined)).toEqual({ refusals: [], selecting: {}, computing: {} })
  })

  it('is not one that TensorFlow has no code for, which is hidden from it', async () => {
    const refusals = [
      'GPU 0, NVIDIA GeForce RTX 5090, is not used: its compute capability 12.0 is newer than the code of TensorFlow 2.21, which ends with 9.0',
    ]
    const hiding = { CUDA_VISIBLE_DEVICES: '-1' }
    expect(await selectFrom([rtx5090])).toEqual({ refusals, selecting: hiding, computing: {} })
    expect(await selectFrom([rtx5090, rtx3070])).toMatchObject({
      card: { index: 1 },
      refusals,
      selecting: { CUDA_VISIBLE_DEVICES: rtx3070.uuid },
    })
    expect((await selectFrom([rtx5090, rtx3070], '1')).refusals).toEqual([]) // the user has hidden it
    expect(await selectFrom([oldDriver])).toMatchObject({
      refusals: [expect.stringContaining('Tesla T4, is not used: its driver 470.82.01 is too old')],
      selecting: hiding,
    })
    expect((await selectFrom([gtx980])).refusals).toHaveLength(1)
    const newer = { ...cudaWheel, computeCapabilities: ['7.0', '12.0'] } as const
    expect(await selectFrom([rtx5090], undefined, newer)).toMatchObject({ card: { index: 0 }, refusals: [] })
  })

  it('is not chosen if a part of a card was', async () => {
    const selection = await selectFrom([rtx3070, rtx4090], 'MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f')
    expect(selection).toEqual({ refusals: [], selecting: {}, computing })
  })
})

describe('settings of the user', () => {
  it('are named if they differ from what the tool sets', () => {
    expect(cardOverrides({})).toEqual([])
    expect(cardOverrides({ ...cardDefaults })).toEqual([])
    expect(cardOverrides({ NVIDIA_TF32_OVERRIDE: '1', TF_DETERMINISTIC_OPS: '0' })).toEqual([
      'NVIDIA_TF32_OVERRIDE=1',
      'TF_DETERMINISTIC_OPS=0',
    ])
  })
})
