/**
 * The graphics card that native TensorFlow computes on. A process uses one, which is chosen before TensorFlow is loaded: tfjs-node copies tensors to the
 * last card that TensorFlow lists, whatever card computes, so TensorFlow must see one card only.
 */
import {
  type Card,
  type CudaBuild,
  cardText,
  chooseCard,
  obstacleOf,
  readCards,
  visibleCards,
} from '../machine/nvidia.ts'
import { isNative, nativeFacts } from './native.ts'

export type CardSelection = {
  /** Undefined where there is none that can be used, or where it is not known which one it will be. */
  card?: Card | undefined
  /** Why the others cannot be used, one sentence each. */
  refusals: string[]
  /** The environment that selects the card, in place of what is set, and the one to compute with unless it is set. */
  selecting: Record<string, string>
  computing: Record<string, string>
}

/**
 * So that float32 products are float32 (cards since 2020 otherwise round their factors to 10 bits), and that the same inputs give the same bytes each
 * time, as a resumed run promises.
 */
export const cardDefaults = { NVIDIA_TF32_OVERRIDE: '0', TF_DETERMINISTIC_OPS: '1' } as const

/** Chooses a card of this machine for a TensorFlow. Nothing is changed. @param build what this TensorFlow can use; undefined if it has no CUDA. */
export async function selectCard(
  build: CudaBuild | undefined,
  variable = process.env.CUDA_VISIBLE_DEVICES,
): Promise<CardSelection> {
  const nothing = { refusals: [], selecting: {}, computing: {} }
  if (build === undefined) return nothing
  const cards = await readCards()
  if (cards.length === 0) return nothing
  if (/\bMIG-/.test(variable ?? '')) return { ...nothing, computing: { ...cardDefaults } } // a part of a card
  const visible = visibleCards(cards, variable)
  const refusals = visible.flatMap((card) => {
    const obstacle = obstacleOf(card, build)
    return obstacle === undefined ? [] : [`${cardText(card)}, is not used: ${obstacle}`]
  })
  const card = chooseCard(visible, build)
  if (!card) return { ...nothing, refusals, selecting: refusals.length > 0 ? { CUDA_VISIBLE_DEVICES: '-1' } : {} }
  return { card, refusals, selecting: cards.length > 1 ? onlyCard(card) : {}, computing: { ...cardDefaults } }
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

/** CUDA looks at its variables once, so the card stays the same as long as the process lives. */
let selected: CardSelection | undefined

/** Called when native TensorFlow has been loaded. */
export function rememberCard(selection: CardSelection) {
  selected ??= selection
}

/** The selection that native TensorFlow was loaded with; undefined before that. */
export const loadedCard = () => selected

/** The card that the current backend computes on; undefined where it computes on processors, or its card is not known. */
export const cardInUse = (): Card | undefined =>
  isNative() && nativeFacts().device === 'GPU' ? selected?.card : undefined
