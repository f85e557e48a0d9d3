import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { cardDefaults, cardOverrides, selectCard } from '../../src/engine/graphics-card.ts'
import { type CudaBuild, cudaWheel, readCards } from '../../src/machine/nvidia.ts'
import { type CardFields, cards, fakeNvidiaSmi } from '../machine/nvidia-smi.ts'

afterEach(() => void vi.unstubAllEnvs())

/** What is selected on a machine with these cards. */
async function selectFrom(list: CardFields[], variable?: string, build: CudaBuild | undefined = cudaWheel) {
  const { cards } = await readCards({ programs: [join(fakeNvidiaSmi(...list), 'nvidia-smi')] })
  vi.stubEnv('CUDA_VISIBLE_DEVICES', variable)
  return selectCard(build, cards)
}
const { rtx3070, rtx4090, rtx5090, oldDriver, gtx980 } = cards
const computing = { ...cardDefaults }

describe('the graphics card that TensorFlow sees', () => {
  it('is the only one that the machine has, without a change of what is visible', async () => {
    expect(await selectFrom([rtx3070])).toMatchObject({ card: { index: 0 }, selecting: {}, computing })
    expect(await selectFrom([rtx3070], '0')).toMatchObject({ card: { index: 0 }, selecting: {} })
  })

  it('is the one with the most free memory of several, by its UUID', async () => {
    const selecting = { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: rtx4090.uuid }
    expect(await selectFrom([rtx3070, rtx4090])).toMatchObject({ card: { index: 1 }, selecting })
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
    const nothing = { selecting: {}, computing: {} }
    expect(await selectFrom([])).toEqual(nothing)
    for (const hidden of ['', '-1', 'NoDevFiles']) expect(await selectFrom([rtx4090], hidden)).toEqual(nothing)
  })

  it('is none for a TensorFlow without CUDA', async () => {
    const { cards: list } = await readCards({ programs: [join(fakeNvidiaSmi(rtx4090), 'nvidia-smi')] })
    expect(selectCard(undefined, list)).toEqual({ selecting: {}, computing: {} })
  })

  it('is not one that TensorFlow has no code for, which is hidden from it', async () => {
    const hiding = { CUDA_VISIBLE_DEVICES: '-1' }
    expect(await selectFrom([rtx5090])).toEqual({ selecting: hiding, computing: {} })
    expect(await selectFrom([rtx5090, rtx3070])).toMatchObject({
      card: { index: 1 },
      selecting: { CUDA_VISIBLE_DEVICES: rtx3070.uuid },
    })
    for (const unsuitable of [oldDriver, gtx980])
      expect(await selectFrom([unsuitable])).toEqual({ selecting: hiding, computing: {} })
    const newer = { ...cudaWheel, computeCapabilities: ['7.0', '12.0'] } as const
    expect(await selectFrom([rtx5090], undefined, newer)).toMatchObject({ card: { index: 0 }, selecting: {} })
  })

  it('is not chosen if a part of a card was', async () => {
    const selection = await selectFrom([rtx3070, rtx4090], 'MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f')
    expect(selection).toEqual({ selecting: {}, computing })
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
