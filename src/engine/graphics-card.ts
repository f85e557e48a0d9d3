/**
 * The graphics card that native TensorFlow computes on. A process uses one, which is chosen before TensorFlow is loaded: tfjs-node copies tensors to the
 * last card that TensorFlow lists, whatever card computes, so TensorFlow must see one card only.
 */
import { type Card, type CudaBuild, chooseCard, namesCardParts, visibleCards } from '../machine/nvidia.ts'
import { isNative, nativeFacts } from './native.ts'

export type CardSelection = {
  /** Undefined where there is none that can be used, or where it is not known which one it will be. */
  card?: Card | undefined
  /** The environment that selects the card, in place of what is set, and the one to compute with unless it is set. */
  selecting: Record<string, string>
  computing: Record<string, string>
}

/**
 * So that float32 products are float32 (cards since 2020 otherwise round their factors to 10 bits), and that the same inputs give the same bytes each
 * time, as a resumed run promises.
 */
export const cardDefaults = { NVIDIA_TF32_OVERRIDE: '0', TF_DETERMINISTIC_OPS: '1' } as const

/**
 * Chooses one of the cards of this machine for a TensorFlow. Nothing is changed.
 * @param build what this TensorFlow can use; undefined if it has no CUDA.
 */
export function selectCard(
  build: CudaBuild | undefined,
  cards: readonly Card[],
  variable = process.env.CUDA_VISIBLE_DEVICES,
): CardSelection {
  const nothing = { selecting: {}, computing: {} }
  if (build === undefined || cards.length === 0) return nothing
  if (namesCardParts(variable)) return { ...nothing, computing: { ...cardDefaults } }
  const visible = visibleCards(cards, variable)
  const card = chooseCard(visible, build)
  if (!card) return { ...nothing, selecting: visible.length > 0 ? { CUDA_VISIBLE_DEVICES: '-1' } : {} }
  return { card, selecting: cards.length > 1 ? onlyCard(card) : {}, computing: { ...cardDefaults } }
}

/** Numbers are in the order of the fastest card unless the order is that of the PCI bus. */
const onlyCard = ({ uuid, index }: Card) => ({
  CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
  CUDA_VISIBLE_DEVICES: uuid ?? String(index),
})

/** The variables that are set to another value than `cardDefaults`, as in `NVIDIA_TF32_OVERRIDE=1`. */
export const cardOverrides = (env: NodeJS.ProcessEnv = process.env): string[] =>
  Object.entries(cardDefaults).flatMap(([name, value]) =>
    env[name] === undefined || env[name] === value ? [] : [`${name}=${env[name]}`],
  )

/** What native TensorFlow was loaded with. */
export type LoadedTensorFlow = {
  selection: CardSelection
  /** What it can use; undefined if it has no CUDA. */
  build: CudaBuild | undefined
  /** What `require` loads: the folder of the package, or its name. */
  module: string
}

/** CUDA looks at its variables once, so the card stays the same as long as the process lives. */
let loaded: LoadedTensorFlow | undefined

/** Called when native TensorFlow has been loaded. */
export function rememberLoaded(tensorflow: LoadedTensorFlow) {
  loaded ??= tensorflow
}

/** Undefined until native TensorFlow is loaded. */
export const loadedTensorFlow = () => loaded

/** The card that the current backend computes on; undefined where it computes on processors, or its card is not known. */
export const cardInUse = (): Card | undefined =>
  isNative() && nativeFacts().device === 'GPU' ? loaded?.selection.card : undefined
