/**
 * Benchmarks: `npm run bench -- step --blocks 4 --seconds 5`, `start --blocks 4`, `encode --pairs 20`, `preview --blocks 4 --steps 4`, `bundled`,
 * `server --pollers 200 --uploads 20`. Where a ratio to the floor was recorded for the same sizes, backend and processor, it is compared. `--record <version>` records it.
 */
import { parseArgs } from 'node:util'
import { type BackendChoice, startBackend } from '../src/engine/backend.ts'
import { currentPrecision } from '../src/engine/precision.ts'
import { readProcessor } from '../src/machine/hardware.ts'
import type { Checkpointing } from '../src/model/transformer/checkpointing.ts'
import { benchBundled } from './bench/bundled.ts'
import { benchEncode } from './bench/encode.ts'
import { benchPreview } from './bench/preview.ts'
import { recordedRatio, recordRatio } from './bench/recorded.ts'
import { benchServer } from './bench/server.ts'
import { benchStart } from './bench/start.ts'
import { benchStep } from './bench/step.ts'
import type { Duration } from './bench/timing.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    blocks: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '8' },
    pairs: { type: 'string', default: '20' },
    rank: { type: 'string', default: '32' },
    context: { type: 'string', default: '1024' },
    pollers: { type: 'string', default: '200' },
    uploads: { type: 'string', default: '20' },
    megabytes: { type: 'string', default: '8' },
    backend: { type: 'string', default: 'auto' },
    recompute: { type: 'string', default: 'auto' },
    record: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const [blocks, seconds, steps, pairs, rank, contextTokens] = [
  ...[values.blocks, values.seconds, values.steps, values.pairs, values.rank, values.context],
].map(Number) as [number, number, number, number, number, number]

const stepSizes = { blocks, seconds, rank, contextTokens, checkpointing: values.recompute as Checkpointing }
const encodeSizes = { pairs, seconds }
const previewSizes = { blocks, seconds, contextTokens }
const bundledSizes = { seconds, rank, contextTokens }
const serverSizes = {
  ...{ pollers: Number(values.pollers), uploads: Number(values.uploads), uploadMegabytes: Number(values.megabytes) },
  seconds,
}

/** The sizes decide what is measured; the number of steps does not. */
const benches: Record<string, { sizes: object; run: () => Promise<object> }> = {
  step: { sizes: stepSizes, run: () => benchStep({ ...stepSizes, steps }) },
  start: { sizes: stepSizes, run: () => benchStart({ ...stepSizes, steps }) },
  encode: { sizes: encodeSizes, run: () => benchEncode(encodeSizes) },
  preview: { sizes: previewSizes, run: () => benchPreview({ ...previewSizes, steps }) },
  server: { sizes: serverSizes, run: () => benchServer(serverSizes) },
  bundled: { sizes: bundledSizes, run: () => benchBundled({ ...bundledSizes, steps }) },
}

const [name = ''] = positionals
const bench = benches[name]
if (!bench) throw new Error(`choose a benchmark: ${Object.keys(benches).join(', ')}`)
/** A bench of the server computes nothing itself. */
const backend = name === 'server' ? undefined : await startBackend(values.backend as BackendChoice)
if (backend) console.error(backend.description)
const result: object & { ratioToFloor?: number; ratioToRecorded?: number } = await bench.run()
if (backend && result.ratioToFloor !== undefined) compareWithRecorded(backend, bench.sizes, result.ratioToFloor)
if (values.json) console.log(JSON.stringify(result))
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(24)} ${valueText(value)}`)

/** Adds the ratio to a recorded one of the same sizes, backend and processor, and records the new one if asked for. */
function compareWithRecorded(backend: Awaited<ReturnType<typeof startBackend>>, sizes: object, ratioToFloor: number) {
  const kind =
    backend.name === 'tensorflow' ? currentPrecision() : (/\w+ threads?/.exec(backend.description)?.[0] ?? '')
  const sizeTexts = Object.entries(sizes).map(([size, value]) => `${size} ${value}`)
  const measurement = [name, ...sizeTexts, backend.name, kind, readProcessor().model].join(', ')
  const recorded = recordedRatio(measurement)
  if (recorded) {
    result.ratioToRecorded = ratioToFloor / recorded.ratioToFloor
    console.error(`compared with ${recorded.version}, whose ratio to the floor was ${recorded.ratioToFloor}`)
  }
  if (values.record !== undefined) recordRatio(measurement, values.record, ratioToFloor)
}

/** Numbers with four digits; durations as wall time and CPU time. */
function valueText(value: number | string | Duration): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(Number(value.toPrecision(4)))
  return `${valueText(value.seconds)} s (CPU time ${valueText(value.cpuSeconds)} s)`
}
