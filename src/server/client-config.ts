/** The config of a run as clients get it: a job file for `train --config`, without the places of files on the server. */
import type { Parameter } from '../config/parameter.ts'
import { trainParameters } from '../config/parameters.ts'
import { locationNames } from '../platform/client-text.ts'

/** A config is a page of text. A larger file is no config, and is not read. */
export const largestConfigBytes = 10_000_000

/** Whether a key is that of a run's config. */
export const isRunConfig = (key: string) => /^runs\/[^/]+\/config\.json$/.test(key)

/** @param text of the config; what is not JSON has no places, and is returned as an empty object. */
export function clientConfig(text: string): string {
  try {
    return `${JSON.stringify(withoutPlaces(JSON.parse(text)), null, 2)}\n`
  } catch {
    return '{}\n'
  }
}

/** Files keep their names, which say what to fill in; the folder of the run is left out. */
function withoutPlaces(value: unknown, isPlace = false): unknown {
  if (typeof value === 'string') return isPlace ? locationNames(value).join(',') : value
  if (Array.isArray(value)) return value.map((item) => withoutPlaces(item, isPlace))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'out')
      .map(([name, inner]) => [name, withoutPlaces(inner, isPlace || places.has(name))]),
  )
}

const places = new Set([
  ...Object.entries<Parameter>(trainParameters).flatMap(([name, { isPath }]) => (isPath ? [name] : [])),
  ...['data', 'reference_audio_url'],
])
