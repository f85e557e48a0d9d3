/** Carries out the plans of a pull. */
import { dirname } from 'node:path'
import type { PullEnv } from '../../net/location.ts'
import { isPulled, type Plan, pull, requireSpace } from '../../net/pull.ts'
import type { Reporter } from '../../platform/progress.ts'
import { sum } from '../../platform/statistics.ts'
import { sizeText } from '../../platform/text.ts'

const megabyte = 1e6

/**
 * Fetches what is missing of these files, one after another.
 * @param plans of files on one disk.
 * @throws UserError before anything is written when another file has the name of one, or they do not all fit on the disk.
 */
export async function pullAll(plans: readonly Plan[], { freeBytes }: PullEnv, reporter: Reporter) {
  const missing = plans.filter((plan) => !isPulled(plan))
  if (missing.length === 0) return reporter.info('Everything has been pulled already')
  requireSpace(missing, freeBytes)
  const total = sum(missing.map(({ size, head }) => size - head.length))
  const stage = reporter.stage('Pulling', Math.ceil(total / megabyte), 'MB')
  let done = 0
  const onBytes = (bytes: number) => {
    done += bytes
    stage.update(done / megabyte)
  }
  for (const plan of missing) await pull(plan, { signal: reporter.signal, onBytes })
  stage.finish(`${sizeText(total)} in ${dirname(missing[0]?.path ?? '.')}`)
}

/** One line for the log. */
export const describePlan = ({ source, tensors, size }: Plan) =>
  `${source.location}: ${tensors} tensors, ${sizeText(size)} of ${sizeText(source.size)}`
