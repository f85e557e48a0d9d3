/**
 * What must be as it was for a resumed run to be the same run. It is compared part by part, so that a refusal can name what differs. How many
 * steps there are, and how large they are, is not among it: both may change on the way.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { float32Bytes } from '../checkpoint/dtypes.ts'
import type { EncodedPair, TrainerSettings } from './trainer.ts'

export type Identity = {
  /** By the names people know. */
  settings: Readonly<Record<string, string>>
  /** Each pair's name with the hash of its latents and context. */
  pairs: readonly (readonly [name: string, hash: string])[]
}

/** @param base the fingerprint of the base model. */
export const identityOf = (base: string, pairs: readonly EncodedPair[], settings: TrainerSettings): Identity => ({
  settings: {
    'base model': base,
    rank: String(settings.rank),
    alpha: String(settings.alpha),
    target_modules: settings.targetModules.join(','),
    gradient_accumulation: String(settings.accumulation),
    seed: String(settings.seed),
  },
  pairs: pairs.map((pair) => [pair.name, hashOf(pair)]),
})

/** What differs, in words with both values; nothing where the two are the same. */
export function differences(before: Identity, now: Identity): string[] {
  const names = new Set([...Object.keys(before.settings), ...Object.keys(now.settings)])
  const settings = [...names].flatMap((name) => {
    const [was, is] = [before.settings[name] ?? 'unknown', now.settings[name] ?? 'unknown']
    return was === is ? [] : [`${name} was ${was} and is now ${is}`]
  })
  return [...settings, ...shortened(pairDifferences(new Map(before.pairs), new Map(now.pairs)))]
}

const identitySchema = z.object({
  settings: z.record(z.string(), z.string()),
  pairs: z.array(z.tuple([z.string(), z.string()])),
})

/** An identity that was written as JSON; undefined for anything else. */
export function parseIdentity(text: string): Identity | undefined {
  try {
    return identitySchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function pairDifferences(before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): string[] {
  const gone = [...before.keys()].filter((name) => !now.has(name))
  const added = [...now.keys()].filter((name) => !before.has(name))
  const changed = [...now].filter(([name, hash]) => before.has(name) && before.get(name) !== hash)
  return [
    ...gone.map((name) => `the pair ${name} is gone`),
    ...added.map((name) => `the pair ${name} is new`),
    ...changed.map(([name]) => `the pair ${name} sounds or reads differently`),
  ]
}

const shortened = (list: string[]) =>
  list.length > 3 ? [...list.slice(0, 2), `${list.length - 2} more pairs differ`] : list

function hashOf({ target, reference, context }: EncodedPair): string {
  const hash = createHash('sha256')
  for (const { shape, values } of [target, reference, context]) hash.update(`${shape}:`).update(float32Bytes(values))
  return hash.digest('hex').slice(0, 16)
}
