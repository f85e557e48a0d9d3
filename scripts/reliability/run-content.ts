/** The content of a run's folder that must be identical whenever the same run is repeated: everything except times. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One line per file with its hash, and one line per step with its metrics. */
export function comparableContent(run: string): string[] {
  const files = (readdirSync(run, { recursive: true, encoding: 'utf8' }) as string[]).map((path) =>
    path.replaceAll('\\', '/'),
  )
  const compared = files.filter((path) => isCompared.test(path)).sort()
  return [...compared.map((path) => `${path} ${hash(readFileSync(join(run, path)))}`), ...metricsOf(run)]
}

/** Temporary files and locks, which a finished run must not leave behind. */
export const leftoverFiles = (run: string) =>
  (readdirSync(run, { recursive: true, encoding: 'utf8' }) as string[]).filter((path) => /\.tmp$|run\.lock$/.test(path))

const isCompared = /^(lora|lora-ema|best|state)\.safetensors$|^checkpoints\/|^previews\/.*\.wav$|^audio\.wav$/

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16)

function metricsOf(run: string): string[] {
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const { seconds: _, ...rest } = JSON.parse(line) as Record<string, unknown>
    return JSON.stringify(rest)
  })
}
