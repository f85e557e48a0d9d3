/** The advice on a dataset for the terminal: what to fix first, how many pairs each clip length keeps, and how consistent the pairs are. */
import type { ChalkInstance } from 'chalk'
import { type Advice, consistencyText, lengthAdvice } from '../../dataset/advice.ts'
import type { DatasetOptions } from '../../dataset/fit-plan.ts'
import { sampleBuckets } from '../../dataset/fit-plan.ts'
import { type Finding, findingText } from '../../dataset/problem.ts'
import { plain } from '../../platform/text.ts'

const mostBars = 6
const barWidth = 24
const mostNames = 6

export function adviceText(advice: Advice, { options }: { options: DatasetOptions }, chalk: ChalkInstance): string {
  const parts = [
    advice.findings.length > 0 ? findings(advice.findings, chalk) : '',
    advice.buckets.length > 0 ? lengths(advice, options, chalk) : '',
    advice.agreement === null ? '' : consistencyText(advice.agreement),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

function findings(found: readonly Finding[], chalk: ChalkInstance): string {
  const lines = found.map((finding, i) => {
    const number = `${i + 1}.`.padStart(4)
    const text = plain(findingText(finding, mostNames))
    return `${finding.severity === 'warning' ? chalk.yellow(number) : number} ${text}\n     ${chalk.dim(plain(finding.hint))}`
  })
  return [chalk.bold('What to fix first'), ...lines].join('\n')
}

function lengths({ buckets, recommendedSeconds }: Advice, { seconds }: DatasetOptions, chalk: ChalkInstance): string {
  const most = buckets[0]?.pairs ?? 1
  const bars = sampleBuckets(buckets, mostBars).map((bucket) => {
    const filled = Math.round((barWidth * bucket.pairs) / most)
    return `${`${bucket.seconds.toFixed(1)} s`.padStart(8)} ${'█'.repeat(filled)}${chalk.dim('░'.repeat(barWidth - filled))} ${bucket.pairs}`
  })
  return [
    chalk.bold('Pairs that each clip length keeps'),
    ...bars,
    `  ${lengthAdvice(recommendedSeconds, seconds)}`,
  ].join('\n')
}
