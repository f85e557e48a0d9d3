/** Findings on silence: sides without any sound, and silence that could be trimmed. */
import type { DatasetOptions } from './fit-plan.ts'
import type { DatasetPair } from './pair-inspection.ts'
import { pairsWhere, type SideName, sideNames } from './pair-selection.ts'
import { type Finding, findingIn } from './problem.ts'

/** Clicks or faint noise, not a sound. */
const nearlySilentShare = 0.98
const mostlySilentShare = 0.5
const lateStartSeconds = 0.5

export function silenceFindings(pairs: readonly DatasetPair[], { seconds }: DatasetOptions): Finding[] {
  const withSilent = (side: SideName) =>
    pairsWhere(pairs, (pair) => nearlySilent(pair, side) ?? silentClip(pair, side, seconds))
  return [
    ...findingIn(withSilent('target'), {
      kind: 'silent-target',
      severity: 'warning',
      what: 'Nothing but clicks or faint noise in the target',
      hint: 'the LoRA learns to be silent: export the target again, or leave the pair out',
    }),
    ...findingIn(withSilent('reference'), {
      kind: 'silent-reference',
      severity: 'warning',
      what: 'Nothing but clicks or faint noise in the reference',
      hint: 'there is nothing to transform: export the reference again, or leave the pair out',
    }),
    ...findingIn(pairsWhere(pairs, silent), {
      kind: 'silence',
      severity: 'hint',
      what: 'Silent for half of the time, or starting late',
      hint: 'trim the silence, at the same places on both sides',
    }),
  ]
}

/** Whether both sides have sound. Where one has none, comparing them means nothing. */
export const isAudible = (pair: DatasetPair): boolean =>
  !sideNames.some((side) => pair[side].audio?.silent || nearlySilent(pair, side) !== undefined)

/** How much of a side is silence. Both sides of a sparse recording can be silent that long, and still be one performance. */
function nearlySilent(pair: DatasetPair, side: SideName): string | undefined {
  const shareOf = (name: SideName) => pair[name].audio?.sound?.silentShare ?? 0
  if (pair[side].audio?.silent || shareOf(side) < nearlySilentShare) return undefined
  const isSparse = shareOf(side === 'target' ? 'reference' : 'target') >= mostlySilentShare
  if (isSparse && pair.sound?.common !== 'nothing') return undefined
  return `${Math.floor(shareOf(side) * 100)} % silence`
}

/** Where a side is silent for longer than the clip that is used of it. Digital silence is reported as a problem. */
function silentClip({ plan, ...pair }: DatasetPair, side: SideName, seconds: number): string | undefined {
  const { audio } = pair[side]
  if (!plan.use || !audio?.sound || audio.silent || audio.sound.silentStartSeconds < seconds) return undefined
  return `silent until ${audio.sound.silentStartSeconds.toFixed(1)} s`
}

/** How long both sides are silent. A side that is silent as a whole is reported as a problem. */
function silent(pair: DatasetPair): string | undefined {
  const sounds = sideNames.flatMap((side) => pair[side].audio?.sound ?? [])
  if (sounds.length < 2 || !isAudible(pair)) return undefined
  const share = Math.min(...sounds.map(({ silentShare }) => silentShare))
  const start = Math.min(...sounds.map(({ silentStartSeconds }) => silentStartSeconds))
  if (share >= mostlySilentShare) return `${Math.round(share * 100)} % silent`
  return start >= lateStartSeconds ? `starts after ${start.toFixed(1)} s` : undefined
}
