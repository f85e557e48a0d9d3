/**
 * Benchmarks: `npm run bench -- step --blocks 4 --seconds 5`, `start --blocks 4`, `encode --pairs 20`, `preview --blocks 4 --steps 4`, `bundled`. Where a
 * ratio to the floor was recorded with the same command and processor, it is compared. `--record <version>` records it.
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
    backend: { type: 'string', default: 'auto' },
    recompute: { type: 'string', default: 'auto' },
    record: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const [blocks, seconds, steps, pairs, rank, contextTokens] = [
  ...[values.blocks, values.seconds, values.steps, values.pairs, values.rank, values.context],
].map(Number) as [number, number, number, number, number, number]

const checkpointing = values.recompute as Checkpointing

const benches: Record<string, () => Promise<object>> = {
  step: () => benchStep({ blocks, seconds, steps, rank, contextTokens, checkpointing }),
  start: () => benchStart({ blocks, seconds, steps, rank, contextTokens, checkpointing }),
  encode: () => benchEncode({ pairs, seconds }),
  preview: () => benchPreview({ blocks, seconds, steps, contextTokens }),
  bundled: () => benchBundled({ seconds, steps, rank, contextTokens }),
}

const bench = benches[positionals[0] ?? '']
if (!bench) throw new Error(`choose a benchmark: ${Object.keys(benches).join(', ')}`)
const backend = await startBackend(values.backend as BackendChoice)
console.error(backend.description)
const result: object & { ratioToFloor?: number; ratioToRecorded?: number } = await bench()
if (result.ratioToFloor !== undefined) compareWithRecorded(result.ratioToFloor)
if (values.json) console.log(JSON.stringify(result))
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(24)} ${valueText(value)}`)

/** The number of steps and the output format do not change what is measured. */
function compareWithRecorded(ratioToFloor: number) {
  const { steps: _, json: __, record, backend: ___, ...options } = values
  const sizes = Object.entries(options).map(([name, value]) => `${name} ${value}`)
  const kind =
    backend.name === 'tensorflow' ? currentPrecision() : (/\w+ threads?/.exec(backend.description)?.[0] ?? '')
  const measurement = [positionals[0], ...sizes, backend.name, kind, readProcessor().model].join(', ')
  const recorded = recordedRatio(measurement)
  if (recorded) {
    result.ratioToRecorded = ratioToFloor / recorded.ratioToFloor
    console.error(`compared with ${recorded.version}, whose ratio to the floor was ${recorded.ratioToFloor}`)
  }
  if (record !== undefined) recordRatio(measurement, record, ratioToFloor)
}

/** Numbers with four digits; durations as wall time and CPU time. */
function valueText(value: number | string | Duration): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(Number(value.toPrecision(4)))
  return `${valueText(value.seconds)} s (CPU time ${valueText(value.cpuSeconds)} s)`
}
