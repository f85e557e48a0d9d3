/** What of a run's folder must be the same whenever the same run ends: everything but times. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Lines to compare: a hash for each file, the metrics in words. */
export function essenceOf(run: string): string[] {
  const files = (readdirSync(run, { recursive: true, encoding: 'utf8' }) as string[]).map((path) =>
    path.replaceAll('\\', '/'),
  )
  const kept = files.filter((path) => isKept.test(path)).sort()
  return [...kept.map((path) => `${path} ${hash(readFileSync(join(run, path)))}`), ...metricsOf(run)]
}

/** What a finished run must not leave behind. */
export const remainsOf = (run: string) =>
  (readdirSync(run, { recursive: true, encoding: 'utf8' }) as string[]).filter((path) => /\.tmp$|run\.lock$/.test(path))

const isKept = /^(lora|state)\.safetensors$|^checkpoints\/|^previews\/.*\.wav$|^audio\.wav$/

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16)

function metricsOf(run: string): string[] {
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const { seconds: _, ...rest } = JSON.parse(line) as Record<string, unknown>
    return JSON.stringify(rest)
  })
}
