/** What is said of graphics cards that are not used. */
import { describe, expect, it } from 'vitest'
import { type CardSituation, cardNotices, cardsHere, reasonText, unusedReason } from '../../src/engine/card-use.ts'
import { type Card, cudaWheel } from '../../src/machine/nvidia.ts'

const gtx970: Card = { index: 0, name: 'GTX 970', totalBytes: 4e9, freeBytes: 4e9, computeCapability: '5.2' }
const rtx3060: Card = { index: 1, name: 'RTX 3060', totalBytes: 12.9e9, freeBytes: 12e9, computeCapability: '8.6' }
const rtx5090: Card = { index: 2, name: 'RTX 5090', totalBytes: 34e9, freeBytes: 33e9, computeCapability: '12.0' }
const linux = { platform: 'linux', arch: 'x64' }
const all = 'GPU-,0,1,2'

/** A situation in which the user has hidden no card unless `variable` says so. */
function situation(cards: Card[], more: Partial<CardSituation> = {}, variable?: string): CardSituation {
  const here =
    variable === undefined ? { ...cardsHere({ cards }, all), visible: cards } : cardsHere({ cards }, variable)
  return { ...here, machine: linux, ...more }
}
const onCpu = { device: 'CPU' } as const
const cudaOnCpu = { device: 'CPU', build: { ...cudaWheel, name: 'this build' } } as const

describe('a run says', () => {
  it('which command would use a card, without TensorFlow and with one for the CPU', () => {
    expect(cardNotices(situation([rtx3060]))).toEqual([
      'GPU 1, RTX 3060, is not used: no TensorFlow is set up; ltx-a2a setup-tensorflow sets up one that uses it',
    ])
    expect(cardNotices(situation([rtx3060], onCpu))).toEqual([
      'GPU 1, RTX 3060, is not used: the TensorFlow that is set up is for the CPU; ltx-a2a setup-tensorflow sets up one that uses it',
    ])
  })

  it('that CUDA does not start, of the only card that could be used, and why the others cannot', () => {
    expect(cardNotices(situation([gtx970, rtx3060, rtx5090], cudaOnCpu))).toEqual([
      expect.stringMatching(/^GPU 0, GTX 970, is not used: its compute capability 5\.2 is older/),
      expect.stringMatching(/^GPU 2, RTX 5090, is not used: its compute capability 12\.0 is newer/),
      'GPU 1, RTX 3060, is not used: TensorFlow for CUDA is set up, but CUDA does not start; ltx-a2a doctor says more',
    ])
    const assumed = { device: 'CPU', build: { ...cudaWheel, isAssumed: true } } as const
    expect(cardNotices(situation([rtx3060], assumed))[0]).toContain('has no CUDA, or CUDA does not start')
  })

  it('nothing of a card that is used, and of those beside it only why they cannot be', () => {
    const used = { ...cudaOnCpu, device: 'GPU', used: rtx3060 } as const
    expect(cardNotices(situation([rtx3060, { ...rtx3060, index: 3 }], used))).toEqual([])
    expect(cardNotices(situation([rtx3060, rtx5090], used))).toHaveLength(1)
  })

  it('nothing where the user has decided against a card, or cannot have one', () => {
    expect(cardNotices(situation([rtx3060], { chosenBackend: 'wasm' }))).toEqual([])
    expect(cardNotices(situation([rtx3060], onCpu, '-1'))).toEqual([])
    expect(cardNotices(situation([], onCpu))).toEqual([])
    expect(cardNotices(situation([gtx970, rtx5090], onCpu))).toEqual([])
    expect(cardNotices(situation([rtx3060], { isBroken: true }))).toEqual([]) // a warning says that
  })

  it('that a card is too small for the 22B model', () =>
    expect(cardNotices(situation([{ ...rtx3060, totalBytes: 8e9 }]))[0]).toMatch(
      /uses it; its 8\.00 GB are too little for the 22B model, which needs about 12\.00 GB$/,
    ))

  it('that nvidia-smi fails, unless all cards are hidden', () => {
    const failure = 'nvidia-smi fails: Failed to initialize NVML'
    expect(cardNotices(situation([], { failure }))).toEqual([`No graphics card is used: ${failure}`])
    expect(cardNotices(situation([], { failure }, ''))).toEqual([])
  })

  it('that a container may lack its cards, if TensorFlow is for CUDA', () => {
    expect(cardNotices(situation([], cudaOnCpu))).toEqual([expect.stringContaining('docker run --gpus all')])
    const assumed = { device: 'CPU', build: { ...cudaWheel, isAssumed: true } } as const
    expect(cardNotices(situation([], assumed))).toEqual([])
  })
})

describe('the reason why a card is not used', () => {
  const other: Card = { ...rtx3060, index: 3, freeBytes: 20e9 }
  const reason = (card: Card, ...rest: Parameters<typeof situation>) => {
    const found = unusedReason(card, situation(...rest))
    return found && reasonText(found)
  }

  it('is that a process uses one', () => {
    expect(reason(rtx3060, [rtx3060, other], onCpu)).toBe('a process uses one card, here GPU 3')
    expect(reason(other, [rtx3060, other], onCpu)).toContain('ltx-a2a setup-tensorflow')
    const used = { ...cudaOnCpu, device: 'GPU', used: other } as const
    expect(reason(other, [rtx3060, other], used)).toBeUndefined()
    expect(reason(rtx3060, [rtx3060, other], used)).toBe(
      'a process uses one card, here GPU 3; CUDA_VISIBLE_DEVICES=1 chooses this one instead',
    )
  })

  it('is what the TensorFlow that runs cannot do, not what that of setup-tensorflow could not', () => {
    const newer = { ...cudaWheel, computeCapabilities: ['7.0', '12.0'] } as const
    expect(reason(rtx5090, [rtx5090], { device: 'GPU', used: rtx5090, build: newer })).toBeUndefined()
    expect(reason(gtx970, [gtx970], { device: 'CPU', build: newer })).toContain('begins with 7.0')
  })

  it('is the error of CUDA, with what to do', () => {
    const cudaFailure = { error: 'failed call to cuInit: UNKNOWN ERROR (303)', remedy: 'restart the machine' }
    expect(reason(rtx3060, [rtx3060], { ...cudaOnCpu, cudaFailure })).toBe(
      'TensorFlow for CUDA is set up, but CUDA does not start: failed call to cuInit: UNKNOWN ERROR (303); restart the machine',
    )
  })

  it('is CUDA_VISIBLE_DEVICES, the chosen backend, a broken set-up, or the system', () => {
    expect(reason(rtx3060, [rtx3060], onCpu, '-1')).toBe('hidden by CUDA_VISIBLE_DEVICES')
    expect(reason(rtx3060, [rtx3060], { chosenBackend: 'cpu' })).toBe('the backend is cpu')
    expect(reason(rtx3060, [rtx3060], { isBroken: true })).toBe('native TensorFlow does not start')
    expect(reason(rtx3060, [rtx3060], { machine: { platform: 'linux', arch: 'arm64' } })).toBe(
      'no TensorFlow is set up, and its wheels for CUDA are for Linux x64 only',
    )
    expect(reason(rtx3060, [rtx3060], { device: 'GPU' })).toBeUndefined() // a part of it is used
    expect(reason(rtx3060, [rtx3060], onCpu, 'MIG-1')).toContain('setup-tensorflow')
  })
})
