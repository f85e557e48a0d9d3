/** Which TensorFlow is downloaded: that for CUDA, or the smaller one for the CPU. */
import { type Card, cardText, chooseCard, obstacleOf } from '../machine/nvidia.ts'
import { UserError } from '../platform/errors.ts'

export type DeviceChoice = {
  device: 'CPU' | 'CUDA'
  /** The choice and why, in one line. */
  reason: string
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
  cards: readonly Card[],
  { platform, arch }: { platform: NodeJS.Platform; arch: string } = process,
): DeviceChoice {
  const hasCudaWheels = platform === 'linux' && arch === 'x64'
  if (cpu && cuda) throw new UserError('both --cpu and --cuda were given', { hint: 'keep one of them' })
  if (cuda && !hasCudaWheels)
    throw new UserError(`there are wheels of TensorFlow for CUDA for Linux x64 only, not for ${platform} ${arch}`, {
      hint: 'leave out --cuda',
    })
  const card = chooseCard(cards) ?? cards[0]
  if (cuda) return { device: 'CUDA', reason: 'TensorFlow for CUDA (--cuda)', driver: card?.driver }
  const onCpu = (why: string): DeviceChoice => ({ device: 'CPU', reason: `TensorFlow for the CPU: ${why}` })
  if (cpu) return onCpu('--cpu')
  if (!card) return onCpu('no NVIDIA card with a driver was found')
  if (!hasCudaWheels) return onCpu(`its wheels for CUDA are for Linux x64 only (${cardText(card)})`)
  const obstacle = obstacleOf(card)
  if (obstacle !== undefined) return onCpu(`${cardText(card)}: ${obstacle}`)
  const driver = card.driver === undefined ? '' : `, driver ${card.driver}`
  return { device: 'CUDA', reason: `TensorFlow for CUDA: ${cardText(card)}${driver}`, driver: card.driver }
}
