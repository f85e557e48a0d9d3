/** How a result tells later what it was made of, so that an interrupted command continues: a key in the comment of the file. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { ApplySettings } from '../config/settings.ts'
import type { BaseModel } from '../model/base-model.ts'
import { sha256OfFile } from '../platform/files.ts'
import { contains } from '../platform/output-file.ts'
import type { OpenedLoras } from '../preview/loras.ts'
import { chooseRenderer } from '../preview/renderer.ts'

/** Written into every result, before the key. */
export const marker = 'ltx-a2a apply'

/** Increase it when the same recording becomes another result. */
const version = 1

/**
 * @returns a function that computes the key of the result from the path of the recording. Same key, same result.
 * @throws UserError for a renderer that the base does not have.
 */
export async function resultKey(
  base: BaseModel,
  settings: ApplySettings,
  { loras, prompt, normalize }: OpenedLoras,
  windowSeconds: number,
): Promise<(path: string) => Promise<string>> {
  const { negativePrompt, mix, seed, steps, cfg, stgScale, sampleRate } = settings
  const loraHashes = await Promise.all(loras.map(({ file: { path } }) => sha256OfFile(path)))
  const strengths = loras.map(({ strength }) => strength)
  const texts = [prompt, negativePrompt]
  const renderer = chooseRenderer(base, settings.renderer)
  const numbers = {
    normalize,
    mix,
    windowSeconds,
    seed,
    steps,
    cfg,
    stgScale,
    sampleRate,
    ...(renderer !== 'vocoder' && { renderer }), // results that were written before there was a choice keep their keys
  }
  const common = JSON.stringify([version, base.fingerprint, loraHashes, strengths, texts, numbers])
  return async (path) =>
    createHash('sha256')
      .update(common)
      .update(await sha256OfFile(path))
      .digest('hex')
      .slice(0, 32)
}

/** What is at the path of a result: nothing, this result, or anything else. */
export function stateOf(path: string, key: string): 'missing' | 'finished' | 'other' {
  if (!existsSync(path)) return 'missing'
  return contains(path, `${marker} ${key}`) ? 'finished' : 'other'
}
