/** Why a repair rejects a pair as silent. */
import { silencePeak } from '../../audio/waveform.ts'
import type { DatasetPair } from '../pair-inspection.ts'
import { sideNames } from '../pair-selection.ts'
import { isSparse } from '../silence.ts'
import { type CutPair, clipsWithSound, silenceToTrim, trimSides, withChanges } from './silence-trim.ts'

/** Undefined where a clip of what remains after trimming has sound on both sides, and for sparse recordings whose sides match. @param clip in seconds. */
export function silenceReason(pair: DatasetPair, cut: CutPair, clip: number): string | undefined {
  const trimmed = withChanges(cut, trimSides(cut, silenceToTrim(cut, { gainDb: 0, clip })))
  if (clipsWithSound(trimmed, clip).withSound > 0 || isSparse(pair)) return undefined
  const reasons = sideNames.flatMap((side) => {
    const { path } = pair[side]
    if (trimmed[side].levels.loudest.every((level) => level <= silencePeak)) return [`${path} is silent`]
    const hasSound = clipsWithSound({ reference: trimmed[side], target: trimmed[side] }, clip).withSound > 0
    return hasSound ? [] : [`${path} has nothing but clicks or faint noise`]
  })
  return reasons.length > 0 ? reasons.join(', ') : `no clip of ${clip} s has sound on both sides`
}
