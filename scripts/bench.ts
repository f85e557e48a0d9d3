/** Benchmarks: `npm run bench -- step --blocks 4 --seconds 5`, `start --blocks 4`, `encode --pairs 20`, `preview --blocks 4 --steps 4`. */
import { parseArgs } from 'node:util'
import { type BackendChoice, startBackend } from '../src/engine/backend.ts'
import type { Checkpointing } from '../src/model/transformer/checkpointing.ts'
import { benchEncode } from './bench/encode.ts'
import { benchPreview } from './bench/preview.ts'
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
}

const bench = benches[positionals[0] ?? '']
if (!bench) throw new Error(`choose a benchmark: ${Object.keys(benches).join(', ')}`)
const backend = await startBackend(values.backend as BackendChoice)
console.error(backend.description)
const result = await bench()
if (values.json) console.log(JSON.stringify(result))
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(24)} ${valueText(value)}`)

/** Numbers with four digits; durations as wall time and CPU time. */
function valueText(value: number | string | Duration): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(Number(value.toPrecision(4)))
  return `${valueText(value.seconds)} s (CPU time ${valueText(value.cpuSeconds)} s)`
}
