/** What a validation reference should become, where its folder knows: `take_end.flac` beside `take_start.wav`. */
import { existsSync } from 'node:fs'
import { audioExtensions } from '../audio/decode.ts'
import { parseLocation } from '../dataset/location.ts'

/** The path of the target beside a local `<name>_start` file, whatever its format; `undefined` where there is none. */
export function knownTarget(reference: string): string | undefined {
  const place = parseLocation(reference)
  const [, stem] = place.kind === 'path' ? (place.path.match(/^(.+)_start\.[^.]+$/i) ?? []) : []
  if (stem === undefined) return undefined
  return audioExtensions.map((extension) => `${stem}_end${extension}`).find((path) => existsSync(path))
}
