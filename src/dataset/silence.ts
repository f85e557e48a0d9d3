/** Findings on silence: sides without any sound, and silence that could be trimmed. */
import type { DatasetOptions } from './fit-plan.ts'
import type { DatasetPair, DatasetSide } from './pair-inspection.ts'
import { pairsWhere, type SideName, sideNames } from './pair-selection.ts'
import { type Finding, findingIn } from './problem.ts'

/** Clicks or faint noise, not a sound. */
export const nearlySilentShare = 0.98
const mostlySilentShare = 0.5
export const lateStartSeconds = 0.5

const trimmed =
  'ltx-a2a fix-dataset trims silence that both sides have at an end, and rejects pairs without any clip with sound'

export function silenceFindings(pairs: readonly DatasetPair[], options: DatasetOptions): Finding[] {
  const withSilent = (side: SideName) =>
    pairsWhere(pairs, (pair) => silentClip(pair, side, options) ?? nearlySilent(pair, side))
  const others = options.windows === 'first' ? ', or use other clips with --windows all' : ''
  return [
    ...findingIn(withSilent('target'), {
      kind: 'silent-target',
      severity: 'warning',
      what: 'Nothing but clicks or faint noise in what is used of the target',
      hint: `the LoRA learns to be silent: export the target again, or leave the pair out${others}; ${trimmed}`,
    }),
    ...findingIn(withSilent('reference'), {
      kind: 'silent-reference',
      severity: 'warning',
      what: 'Nothing but clicks or faint noise in what is used of the reference',
      hint: `there is nothing to transform: export the reference again, or leave the pair out${others}; ${trimmed}`,
    }),
    ...findingIn(
      pairsWhere(pairs, (pair) => silent(pair, options)),
      {
        kind: 'silence',
        severity: 'hint',
        what: 'Silent for half of the time, or starting late',
        hint: 'trim the silence, at the same places on both sides: ltx-a2a fix-dataset does so at the beginning and at the end',
      },
    ),
  ]
}

/** Whether both sides have sound. Where one has none, comparing them means nothing. */
export const isAudible = (pair: DatasetPair): boolean =>
  !sideNames.some((side) => pair[side].audio?.silent || nearlySilent(pair, side) !== undefined)

/** How much of what is used of a side is silence. */
const silentShareOf = ({ audio }: DatasetSide) => audio?.usedSilentShare ?? audio?.sound?.silentShare ?? 0

/** Both sides of a sparse recording can be silent for nearly all of the time, and still be one performance. */
export const isSparse = (pair: DatasetPair): boolean =>
  pair.sound !== undefined &&
  pair.sound.common !== 'nothing' &&
  sideNames.every((side) => silentShareOf(pair[side]) >= mostlySilentShare)

function nearlySilent(pair: DatasetPair, side: SideName): string | undefined {
  const share = silentShareOf(pair[side])
  if (pair[side].audio?.silent || share < nearlySilentShare) return undefined
  if (isSparse(pair)) return undefined
  return `${Math.floor(share * 100)} % silence`
}

/** Whether only the beginning of a pair is used. Of several clips, silent ones are left out. */
const usesBeginning = ({ plan, clips }: DatasetPair, { windows }: DatasetOptions) =>
  plan.use && (windows === 'first' || clips.all + clips.silent <= 1)

/** Where a side is silent for longer than the clip that is used of it. Digital silence is reported as a problem. */
function silentClip(pair: DatasetPair, side: SideName, options: DatasetOptions): string | undefined {
  const { audio } = pair[side]
  if (!usesBeginning(pair, options) || !audio?.sound || audio.silent) return undefined
  if (audio.sound.silentStartSeconds < options.seconds) return undefined
  return `silent until ${audio.sound.silentStartSeconds.toFixed(1)} s`
}

/** How long both sides are silent. A side that is silent as a whole is reported as a problem. */
function silent(pair: DatasetPair, options: DatasetOptions): string | undefined {
  const sounds = sideNames.flatMap((side) => pair[side].audio?.sound ?? [])
  if (sounds.length < 2 || !isAudible(pair)) return undefined
  const share = Math.min(...sideNames.map((side) => silentShareOf(pair[side])))
  const start = Math.min(...sounds.map(({ silentStartSeconds }) => silentStartSeconds))
  if (share >= mostlySilentShare) return `${Math.round(share * 100)} % silent`
  return usesBeginning(pair, options) && start >= lateStartSeconds ? `starts after ${start.toFixed(1)} s` : undefined
}
