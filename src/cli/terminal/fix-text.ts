/** The repair of a dataset as text for the terminal. */
import { Chalk } from 'chalk'
import { hasAudioExtension } from '../../audio/decode.ts'
import { fileName } from '../../dataset/dataset-file.ts'
import { driftText, lagText } from '../../dataset/findings.ts'
import { findingText } from '../../dataset/problem.ts'
import type { FixPlan, PlannedPair } from '../../dataset/repair/fix-plan.ts'
import { countText, decimalText, listText, plain } from '../../platform/text.ts'

/** How many of the files that are no recordings are named. Recordings and pairs are all named: something may have to be done about each. */
const mostNames = 4

/** @param out the file that was written; null for a dry run. */
export function fixText(plan: FixPlan, out: string | null, { color = false }: { color?: boolean } = {}): string {
  const chalk = new Chalk({ level: color ? 1 : 0 })
  const { pairs, rejected, unused, remaining, counts } = plan
  const changes = pairs.flatMap((pair) => {
    const texts = changesOf(pair)
    return texts.length > 0 ? [`${plain(pair.name)}: ${texts.join('; ')}`] : []
  })
  const recordings = unused.filter(hasAudioExtension)
  const others = unused.filter((path) => !hasAudioExtension(path))
  const sections = [
    changes,
    rejected.map(({ name, kind, reason }) => {
      const what = kind === 'caption' ? 'caption rejected' : 'rejected'
      return `${chalk.yellow(`${plain(name)}: ${what}`)} (${plain(reason)})`
    }),
    rejected.some(({ kind }) => kind === 'clipped')
      ? ['Where the distortion is intended, --keep clipped keeps clipped pairs.']
      : [],
    [...leftOut('recording', recordings, recordings.length), ...leftOut('other file', others, mostNames)],
    remaining.flatMap((finding) => [
      `${chalk.cyan('left to you:')} ${plain(findingText(finding))}`,
      `  ${chalk.dim(finding.hint)}`,
    ]),
  ]
  const all = [`${countText(counts.pairs, 'pair')}`, `${counts.changed} changed`, `${counts.rejected} rejected`].join(
    ', ',
  )
  const summary = `${chalk.bold(out === null ? `${plain(plan.name)} (nothing was written)` : plain(out))}: ${all}`
  return [...sections.filter((lines) => lines.length > 0).map((lines) => lines.join('\n')), summary].join('\n\n')
}

const leftOut = (noun: string, paths: readonly string[], most: number) =>
  paths.length > 0
    ? [`${countText(paths.length, noun)} left out, no part of a pair: ${listText(paths.map(plain), most)}`]
    : []

/** Seconds: less is shown as 0 ms. */
const shownLag = 0.0005

function changesOf(pair: PlannedPair): string[] {
  const { name, reference, target, lagSeconds, driftPpm, trimmed, gainDb, missingDb } = pair
  const isStandard = (from: string, side: string) =>
    fileName(from)
      .normalize('NFC')
      .replace(/\.[^.]*$/, '') === `${name}_${side}`
  const isRenamed = !isStandard(reference.from, 'start') || !isStandard(target.from, 'end')
  return [
    ...(isRenamed ? [`renamed from ${plain(reference.from)} and ${plain(target.from)}`] : []),
    ...(Math.abs(lagSeconds) >= shownLag ? [`lag of ${lagText(lagSeconds)} removed`] : []),
    ...(driftPpm !== 0 ? [`${driftText(driftPpm)} removed by resampling the target`] : []),
    ...(trimmed.start > 0 ? [`${trimmed.start.toFixed(1)} s of silence trimmed at the beginning`] : []),
    ...(trimmed.end > 0 ? [`${trimmed.end.toFixed(1)} s of silence trimmed at the end`] : []),
    ...(gainDb !== 0 ? [`${gainDb > 0 ? '+' : ''}${decimalText(gainDb, 1)} dB on both sides`] : []),
    ...(missingDb > 0
      ? [`the peak allows no more gain, so the target stays ${decimalText(missingDb, 1)} dB below the median loudness`]
      : []),
  ]
}
