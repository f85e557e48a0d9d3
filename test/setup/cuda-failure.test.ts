import { expect, it } from 'vitest'
import { failureIn } from '../../src/setup/cuda-failure.ts'

const line = (text: string) => `E0000 00:00:1795968949.179253   14909 cuda_platform.cc:52] ${text}`

it.each<[what: string, log: string, error: string, remedy: RegExp]>([
  [
    'a driver that does not start',
    line('failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)'),
    'failed call to cuInit: UNKNOWN ERROR (303)',
    /restart the machine.*--gpus all/,
  ],
  [
    'no device',
    line('failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected'),
    'failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected',
    /^unset CUDA_VISIBLE_DEVICES.*--gpus all/,
  ],
  [
    'missing libraries of NVIDIA',
    `W0000 00:00:1.1 1 gpu_device.cc:2342] Cannot dlopen some GPU libraries. Please make sure …\nSkipping registering GPU devices...`,
    'TensorFlow does not find the libraries of NVIDIA',
    /setup-tensorflow/,
  ],
  [
    'another error',
    line('could not allocate: CUDA_ERROR_UNKNOWN: unknown error'),
    'could not allocate: CUDA_ERROR_UNKNOWN: unknown error',
    /restart/,
  ],
])('the log of TensorFlow names %s', (_, log, error, remedy) =>
  expect(failureIn(`WARNING: All log messages before …\n${log}\nanother line`)).toEqual({
    error,
    remedy: expect.stringMatching(remedy),
  }),
)

it('a log without an error says nothing', () => expect(failureIn('I0000 port.cc:153] oneDNN is on')).toBeUndefined())
