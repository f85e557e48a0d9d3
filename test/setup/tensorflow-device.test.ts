import { expect, it } from 'vitest'
import type { Card } from '../../src/machine/nvidia.ts'
import { chooseDevice } from '../../src/setup/tensorflow-device.ts'

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
  const choice = chooseDevice({}, cards, linux)
  expect(choice).toMatchObject({ device, reason: expect.stringContaining(reason) })
})

it('--cpu and --cuda decide otherwise', () => {
  expect(chooseDevice({ cpu: true }, [card], linux)).toEqual({ device: 'CPU', reason: 'TensorFlow for the CPU: --cpu' })
  expect(chooseDevice({ cuda: true }, [], linux)).toMatchObject({ device: 'CUDA', driver: undefined })
  expect(chooseDevice({ cuda: true }, [old], linux)).toMatchObject({ device: 'CUDA', driver: '470.223.02' })
})

it('there is no CUDA elsewhere than on Linux x64', () => {
  expect(chooseDevice({}, [card], { platform: 'linux', arch: 'arm64' })).toMatchObject({ device: 'CPU' })
  expect(() => chooseDevice({ cuda: true }, [card], { platform: 'darwin', arch: 'arm64' })).toThrow(
    'there are wheels of TensorFlow for CUDA for Linux x64 only, not for darwin arm64',
  )
})

it('--cpu together with --cuda is refused', () =>
  expect(() => chooseDevice({ cpu: true, cuda: true }, [], linux)).toThrow('both --cpu and --cuda were given'))
