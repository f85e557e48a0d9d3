/** Benchmarks: `npm run bench -- step --blocks 4 --seconds 5`. */
import { parseArgs } from 'node:util'
import { type BackendChoice, startBackend } from '../src/engine/backend.ts'
import { chooseRecompute } from '../src/engine/keeping.ts'
import { benchStep } from './bench/step.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    blocks: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '8' },
    rank: { type: 'string', default: '32' },
    context: { type: 'string', default: '1024' },
    backend: { type: 'string', default: 'auto' },
    recompute: { type: 'boolean' },
    json: { type: 'boolean', default: false },
  },
})

const [what] = positionals
if (what !== 'step') throw new Error('bench knows: step')
const backend = await startBackend(values.backend as BackendChoice)
console.error(backend.description)
if (values.recompute !== undefined) chooseRecompute(values.recompute)
const result = await benchStep({
  blocks: Number(values.blocks),
  seconds: Number(values.seconds),
  steps: Number(values.steps),
  rank: Number(values.rank),
  contextTokens: Number(values.context),
})
if (values.json) console.log(JSON.stringify(result))
else
  for (const [name, value] of Object.entries(result))
    console.log(`${name.padEnd(18)} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`)
