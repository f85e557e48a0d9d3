/** Which TensorFlow is downloaded: that for CUDA, or the smaller one for the CPU. */
import { type CardsHere, tooSmall } from '../engine/card-use.ts'
import { hasCudaWheels } from '../engine/cuda-build.ts'
import { type Card, cardText, chooseCard, obstacleOf } from '../machine/nvidia.ts'
import { UserError } from '../platform/errors.ts'

export type DeviceChoice = {
  device: 'CPU' | 'CUDA'
  /** The choice and why, in one line. */
  reason: string
  /** What speaks against a choice of the user, in one sentence. */
  warning?: string
  /** The version of the card's driver, where it is known. */
  driver?: string | undefined
}

export type DeviceFlags = {
  /** TensorFlow for the CPU, whatever cards there are. */
  cpu?: boolean | undefined
  /** TensorFlow for CUDA, whether or not a card is found. */
  cuda?: boolean | undefined
}

/** @throws UserError when both are asked for, or CUDA where its wheels do not run. */
export function chooseDevice(
  { cpu = false, cuda = false }: DeviceFlags,
  here: CardsHere,
  machine: { platform: NodeJS.Platform; arch: string } = process,
): DeviceChoice {
  if (cpu && cuda) throw new UserError('both --cpu and --cuda were given', { hint: 'keep one of them' })
  if (cuda && !hasCudaWheels(machine))
    throw new UserError(
      `there are wheels of TensorFlow for CUDA for Linux x64 only, not for ${machine.platform} ${machine.arch}`,
      { hint: 'leave out --cuda' },
    )
  if (cpu) return { device: 'CPU', reason: 'TensorFlow for the CPU: --cpu' }
  const card = chooseCard(here.visible) ?? here.visible[0]
  const obstacle = obstacleFor(card, here)
  if (cuda) {
    const warning = obstacle ?? (card && tooSmall(card) && `${cardText(card)}${tooSmall(card)}`)
    return {
      device: 'CUDA',
      reason: 'TensorFlow for CUDA: --cuda',
      ...(warning && { warning }),
      driver: (card ?? here.cards[0])?.driver,
    }
  }
  if (card && !hasCudaWheels(machine))
    return {
      device: 'CPU',
      reason: `TensorFlow for the CPU: its wheels for CUDA are for Linux x64 only (${cardText(card)})`,
    }
  if (!card || obstacle !== undefined) return { device: 'CPU', reason: `TensorFlow for the CPU: ${obstacle}` }
  const driver = card.driver === undefined ? '' : `, driver ${card.driver}`
  return {
    device: 'CUDA',
    reason: `TensorFlow for CUDA: ${cardText(card)}${driver}${tooSmall(card)}`,
    driver: card.driver,
  }
}

/** Why TensorFlow for CUDA would compute on no card. */
function obstacleFor(card: Card | undefined, { cards, failure }: CardsHere): string | undefined {
  const [hidden] = cards
  if (!card && hidden) return `CUDA_VISIBLE_DEVICES hides ${cards.length > 1 ? 'all cards' : cardText(hidden)}`
  if (!card) return failure ?? 'no NVIDIA card with a driver was found'
  const obstacle = obstacleOf(card)
  return obstacle === undefined ? undefined : `${cardText(card)}: ${obstacle}`
}
