/** The ratios to the floor of earlier versions. They depend less on the machine than durations do. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const path = fileURLToPath(new URL('recorded.json', import.meta.url))

/** Ratios to the floor by what was measured: the benchmark with its sizes, the backend with its precision or threads, and the processor. */
type Recorded = { [measurement: string]: { version: string; ratioToFloor: number } }

const readRecorded = (): Recorded => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {})

export const recordedRatio = (measurement: string) => readRecorded()[measurement]

/** @param version the commit or the version that was measured. */
export function recordRatio(measurement: string, version: string, ratioToFloor: number) {
  const recorded = { ...readRecorded(), [measurement]: { version, ratioToFloor: Number(ratioToFloor.toPrecision(4)) } }
  const sorted = Object.fromEntries(Object.entries(recorded).sort(([a], [b]) => a.localeCompare(b)))
  writeFileSync(path, `${JSON.stringify(sorted, null, 2)}\n`)
}
