/** Pulls what is needed of one file: a checkpoint, or a component of LTX-2.5. */
import { join } from 'node:path'
import { missingComponents } from '../../model/checkpoint-layout.ts'
import type { ByteSource } from '../../net/byte-source.ts'
import type { PullEnv } from '../../net/location.ts'
import { planPull, readHeader } from '../../net/pull.ts'
import { canonicalPath } from '../../platform/output-file.ts'
import type { Reporter } from '../../platform/progress.ts'
import { type NeededPart, neededPartOf } from './needed-part.ts'
import { describePlan, pullAll } from './pull-all.ts'
import type { PullSettings } from './settings.ts'

/**
 * @param source is closed at the end.
 * @returns the path of the file that was written.
 * @throws UserError when nothing of the file is needed, or it cannot be fetched.
 */
export async function pullFile(
  source: ByteSource,
  { out, ...wanted }: PullSettings,
  pullEnv: PullEnv,
  reporter: Reporter,
): Promise<string> {
  try {
    const header = await readHeader(source, reporter.signal)
    const part = neededPartOf(source.name, header, wanted)
    const path = out !== undefined ? canonicalPath(out) : join('models', part.fileName)
    const plan = planPull(source, header, path, part.isNeeded)
    reporter.info(describePlan(plan))
    if (/distilled/i.test(source.name))
      reporter.warn('this looks like the distilled model: train LoRAs on the dev model')
    await pullAll([plan], pullEnv, reporter)
    reporter.info(usage(path, part))
    return path
  } finally {
    await source.close()
  }
}

function usage(path: string, { release, textEncoder, names }: NeededPart): string {
  if (textEncoder) return `Use it with --text-encoder ${path}`
  const missing = release === '2.5' ? missingComponents(names) : []
  const others = [
    ...(missing.includes('audio stream') ? ['the file of the transformer'] : []),
    ...(missing.includes('audio VAE decoder') ? ['the file of the audio VAE'] : []),
  ]
  const rest = others.length > 0 ? ` and ${others.join(' and ')}, separated by commas` : ''
  return `Train on it with --model ${path}${rest}${release === '2.5' ? ', and the packed text encoder with --text-encoder' : ''}`
}
