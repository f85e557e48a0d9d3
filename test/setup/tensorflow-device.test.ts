import { expect, it } from 'vitest'
import { cardsHere } from '../../src/engine/card-use.ts'
import type { Card, CardReading } from '../../src/machine/nvidia.ts'
import { chooseDevice, type DeviceFlags } from '../../src/setup/tensorflow-device.ts'

/** The choice on a machine with these cards, of which `variable` hides some. */
const choose = (
  flags: DeviceFlags,
  found: Card[] | CardReading,
  { variable = 'all', machine = linux }: { variable?: string; machine?: Parameters<typeof chooseDevice>[2] } = {},
) => {
  const reading = Array.isArray(found) ? { cards: found } : found
  const here = variable === 'all' ? { ...cardsHere(reading, ''), visible: reading.cards } : cardsHere(reading, variable)
  return chooseDevice(flags, here, machine)
}

const linux = { platform: 'linux' as const, arch: 'x64' }
const card: Card = { index: 0, name: 'NVIDIA L4', driver: '550.54.15', computeCapability: '8.9' }
const old: Card = { ...card, driver: '470.223.02' }

it.each<[what: string, cards: Card[], device: string, reason: string]>([
  ['a card', [card], 'CUDA', 'TensorFlow for CUDA: GPU 0, NVIDIA L4, driver 550.54.15'],
  ['no card', [], 'CPU', 'TensorFlow for the CPU: no NVIDIA card with a driver was found'],
  [
    'a driver that is too old',
    [old],
    'CPU',
    'TensorFlow for the CPU: GPU 0, NVIDIA L4: its driver 470.223.02 is too old for the CUDA of TensorFlow 2.21, which needs 525.60.13 or later',
  ],
  ['the oldest driver that works', [{ ...card, driver: '525.60.13' }], 'CUDA', 'driver 525.60.13'],
  [
    'a card whose driver is unknown',
    [{ index: 0, name: 'NVIDIA L4' }],
    'CUDA',
    'TensorFlow for CUDA: GPU 0, NVIDIA L4',
  ],
])('%s', (_, cards, device, reason) => {
  const choice = choose({}, cards)
  expect(choice).toMatchObject({ device, reason: expect.stringContaining(reason) })
})

it('--cpu and --cuda decide otherwise', () => {
  expect(choose({ cpu: true }, [card])).toEqual({ device: 'CPU', reason: 'TensorFlow for the CPU: --cpu' })
  expect(choose({ cuda: true }, [card])).toEqual({
    device: 'CUDA',
    reason: 'TensorFlow for CUDA: --cuda',
    driver: '550.54.15',
  })
})

it.each<[what: string, found: Card[], warning: string]>([
  ['no card', [], 'no NVIDIA card with a driver was found'],
  ['an old driver', [old], 'GPU 0, NVIDIA L4: its driver 470.223.02 is too old for the CUDA of TensorFlow 2.21'],
  [
    'a card without code',
    [{ ...card, computeCapability: '12.0' }],
    'its compute capability 12.0 is newer than the code',
  ],
  [
    'a small card',
    [{ ...card, totalBytes: 8e9 }],
    'GPU 0, NVIDIA L4; its 8.00 GB are too little for the 22B model, which needs about 12.00 GB',
  ],
])('--cuda with %s goes ahead with a warning', (_, found, warning) =>
  expect(choose({ cuda: true }, found)).toMatchObject({ device: 'CUDA', warning: expect.stringContaining(warning) }),
)

it('a card that is too small for the 22B model is said to be', () => {
  expect(choose({}, [{ ...card, totalBytes: 8e9 }]).reason).toBe(
    'TensorFlow for CUDA: GPU 0, NVIDIA L4, driver 550.54.15; its 8.00 GB are too little for the 22B model, which needs about 12.00 GB',
  )
  expect(choose({}, [{ ...card, totalBytes: 24e9 }]).reason).toBe(
    'TensorFlow for CUDA: GPU 0, NVIDIA L4, driver 550.54.15',
  )
})

it('CUDA_VISIBLE_DEVICES limits the choice', () => {
  const two = [card, { ...card, index: 1, name: 'NVIDIA T4', computeCapability: '12.0' }]
  expect(choose({}, [card], { variable: '-1' })).toEqual({
    device: 'CPU',
    reason: 'TensorFlow for the CPU: CUDA_VISIBLE_DEVICES hides GPU 0, NVIDIA L4',
  })
  expect(choose({}, two, { variable: '' }).reason).toContain('CUDA_VISIBLE_DEVICES hides all cards')
  expect(choose({}, two, { variable: '1' })).toMatchObject({ device: 'CPU' }) // it has no code for that one
  expect(choose({}, two, { variable: '0' })).toMatchObject({ device: 'CUDA' })
  expect(choose({}, two, { variable: 'MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f' })).toMatchObject({ device: 'CUDA' })
})

it('an nvidia-smi that fails is the reason', () => {
  const failure = 'nvidia-smi fails: Failed to initialize NVML'
  expect(choose({}, { cards: [], failure }).reason).toBe(`TensorFlow for the CPU: ${failure}`)
})

it('there is no CUDA elsewhere than on Linux x64', () => {
  expect(choose({}, [card], { machine: { platform: 'linux', arch: 'arm64' } })).toMatchObject({ device: 'CPU' })
  expect(() => choose({ cuda: true }, [card], { machine: { platform: 'darwin', arch: 'arm64' } })).toThrow(
    'there are wheels of TensorFlow for CUDA for Linux x64 only, not for darwin arm64',
  )
})

it('--cpu together with --cuda is refused', () =>
  expect(() => choose({ cpu: true, cuda: true }, [])).toThrow('both --cpu and --cuda were given'))
