/** Findings on the channels of recordings: channels that cancel each other or are silent, and inverted polarity. */
import type { SoundMeasurements } from '../audio/analysis/measurement.ts'
import type { DatasetPair, DatasetSide } from './pair-inspection.ts'
import { pairsWhere, sidesWhere } from './pair-selection.ts'
import { type Finding, findingIn } from './problem.ts'

export function channelFindings(pairs: readonly DatasetPair[]): Finding[] {
  const withSide = (condition: (side: DatasetSide) => boolean) =>
    pairsWhere(pairs, (pair) => sidesWhere(pair, condition))
  return [
    ...findingIn(withSide(hasCancellingMix), {
      kind: 'cancelling-channels',
      severity: 'warning',
      what: 'Channels cancel each other where they are mixed to stereo',
      hint: 'export it in stereo: only the mix is trained on, and it is nearly silent',
    }),
    ...findingIn(withSide(isStereo(({ channelsCancel }) => channelsCancel)), {
      kind: 'inverted-channel',
      severity: 'hint',
      what: 'One channel is inverted (left ≈ −right)',
      hint: 'invert one of them: where the file is played in mono, they cancel each other',
    }),
    ...findingIn(withSide(isStereo(({ silentChannels }) => silentChannels.length === 1)), {
      kind: 'silent-channel',
      severity: 'hint',
      what: 'One channel is silent',
      hint: 'export it in mono, or with sound in both channels: the LoRA learns the silent channel as well',
    }),
    ...findingIn(pairsWhere(pairs, invertedPolarity), {
      kind: 'inverted-polarity',
      severity: 'hint',
      what: 'Target has the opposite polarity of its reference',
      hint: 'invert the target if the two are to be mixed; the training does not depend on it',
    }),
  ]
}

const isStereo =
  (condition: (sound: SoundMeasurements) => boolean) =>
  ({ audio }: DatasetSide) =>
    audio?.channelCount === 2 && audio.sound !== undefined && condition(audio.sound)

/** These layouts are not mixed as a whole: of 5.1 and 7.1, each side of the room gives one channel. */
const layoutsWithSides = [1, 2, 6, 8]

const hasCancellingMix = ({ audio }: DatasetSide) =>
  audio?.sound?.channelsCancel === true && !layoutsWithSides.includes(audio.channelCount)

function invertedPolarity({ sound, reference, target }: DatasetPair): string | undefined {
  const channelsCancel = [reference, target].some(({ audio }) => audio?.sound?.channelsCancel)
  return sound?.inverted && !channelsCancel ? '' : undefined
}
