/** Why a process does not compute on a graphics card, and what would change that. */
import {
  type Card,
  type CardReading,
  type CudaBuild,
  cardText,
  chooseCard,
  namesCardParts,
  obstacleOf,
  visibleCards,
} from '../machine/nvidia.ts'
import { sizeText } from '../platform/text.ts'
import { hasCudaWheels } from './cuda-build.ts'

/** The memory of the audio path of the released model in bfloat16, with the activations of a step. */
export const releasedModelBytes = 12e9

/** The cards of a machine, and which of them this process may use. */
export type CardsHere = CardReading & {
  visible: readonly Card[]
  /** Whether `CUDA_VISIBLE_DEVICES` hides all cards, also those that are not known. */
  areHidden: boolean
}

/** @param variable what the user has set: native TensorFlow is loaded with a variable that hides all cards but one. */
export function cardsHere(reading: CardReading, variable = process.env.CUDA_VISIBLE_DEVICES): CardsHere {
  const visible = namesCardParts(variable) ? reading.cards : visibleCards(reading.cards, variable)
  return { ...reading, visible, areHidden: variable !== undefined && /^\s*(-|$)/.test(variable) }
}

/** Where a process computes, and what it could compute on. */
export type CardSituation = CardsHere & {
  /** Of native TensorFlow; undefined where another backend computes. */
  device?: 'GPU' | 'CPU' | undefined
  /** The card that is computed on. Unknown where it is a part of a card. */
  used?: Card | undefined
  /** What the TensorFlow that computes can use; undefined if it has no CUDA. */
  build?: CudaBuild | undefined
  /** The backend that the user has chosen instead of native TensorFlow. */
  chosenBackend?: string | undefined
  /** Whether a native TensorFlow is there but does not start. */
  isBroken?: boolean
  /** Why CUDA does not start, where that is known. */
  cudaFailure?: CudaFailure | undefined
  machine?: { platform: string; arch: string }
}

/** Why CUDA does not start, and what to do. */
export type CudaFailure = { error: string; remedy: string }

/** `remedy` is what would use the card, where something would. */
export type Unused = { obstacle: string; remedy?: string }

/** Why a card of the situation is not used; undefined where it is, or a part of a card is. */
export function unusedReason(card: Card, situation: CardSituation): Unused | undefined {
  const { visible, used, device, build, chosenBackend, isBroken, machine } = situation
  if (used?.index === card.index || (device === 'GPU' && !used)) return undefined
  if (!visible.includes(card)) return { obstacle: 'hidden by CUDA_VISIBLE_DEVICES' }
  const obstacle = obstacleOf(card, build)
  if (obstacle !== undefined) return { obstacle }
  const oneOf = (other: Card) => `a process uses one card, here GPU ${other.index}`
  if (used) return { obstacle: oneOf(used), remedy: `CUDA_VISIBLE_DEVICES=${card.index} chooses this one instead` }
  if (chosenBackend !== undefined) return { obstacle: `the backend is ${chosenBackend}` }
  const best = chooseCard(visible, build)
  if (best && best !== card) return { obstacle: oneOf(best) }
  if (isBroken) return { obstacle: 'native TensorFlow does not start' }
  if (build) return cudaFailureText(build, situation.cudaFailure)
  const isForCpu = device === 'CPU' ? 'the TensorFlow that is set up is for the CPU' : 'no TensorFlow is set up'
  return hasCudaWheels(machine)
    ? { obstacle: isForCpu, remedy: 'ltx-a2a setup-tensorflow sets up one that uses it' }
    : { obstacle: `${isForCpu}, and its wheels for CUDA are for Linux x64 only` }
}

function cudaFailureText({ isAssumed }: CudaBuild, failure: CudaFailure | undefined): Unused {
  const obstacle = isAssumed
    ? 'the TensorFlow that is set up has no CUDA, or CUDA does not start'
    : 'TensorFlow for CUDA is set up, but CUDA does not start'
  return failure === undefined
    ? { obstacle, remedy: 'ltx-a2a doctor says more' }
    : { obstacle: `${obstacle}: ${failure.error}`, remedy: failure.remedy }
}

/** The card that a process would compute on if CUDA started; undefined where it computes on one, or could not. */
export function cardWithoutCuda({ visible, device, build }: CardSituation): Card | undefined {
  return device === 'CPU' && build ? chooseCard(visible, build) : undefined
}

/**
 * What a run says about cards that it could use, or seems to be meant to use, but does not. One sentence for each card that its TensorFlow has no code
 * for, and one more if it computes on no card. Nothing where the user has decided so.
 */
export function cardNotices(situation: CardSituation): string[] {
  const { cards, visible, areHidden, failure, device, build, chosenBackend, isBroken } = situation
  if (chosenBackend !== undefined) return []
  const unsuitable = build
    ? visible.flatMap((card) => {
        const obstacle = obstacleOf(card, build)
        return obstacle === undefined ? [] : [`${cardText(card)}, is not used: ${obstacle}`]
      })
    : []
  if (device === 'GPU' || isBroken) return unsuitable
  const best = chooseCard(visible, build)
  const reason = best && unusedReason(best, situation)
  if (best && reason) return [...unsuitable, `${cardText(best)}, is not used: ${reasonText(reason)}${tooSmall(best)}`]
  if (cards.length > 0 || areHidden) return unsuitable
  if (failure !== undefined) return [`No graphics card is used: ${failure}`]
  return build && !build.isAssumed ? [`No graphics card is used: ${noCard}`] : []
}

/** For a TensorFlow that could use a card. */
export const noCard =
  'TensorFlow for CUDA is set up, but no NVIDIA card is found (a container needs its cards: docker run --gpus all)'

export const reasonText = ({ obstacle, remedy }: Unused) => (remedy === undefined ? obstacle : `${obstacle}; ${remedy}`)

/** Whether a card has the memory for the released model. True where its memory is not known. */
export const fitsReleasedModel = ({ totalBytes }: Pick<Card, 'totalBytes'>) =>
  totalBytes === undefined || totalBytes >= releasedModelBytes

/** The end of a sentence about a card. */
export const tooSmall = (card: Card) =>
  fitsReleasedModel(card)
    ? ''
    : `; its ${sizeText(card.totalBytes ?? 0)} are too little for the 22B model, which needs about ${sizeText(releasedModelBytes)}`
