/** Kills trainings of the built tool at random moments, resumes them and compares the results: `npx tsx scripts/kill-test.ts --kills 100`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sum } from '../src/platform/statistics.ts'
import { killTest } from './reliability/kills.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    backend: { type: 'string', default: 'auto' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-kills-'))
const started = performance.now()
const { kills, runs, failures } = await killTest({
  folder,
  kills: Number(values.kills),
  seed: Number(values.seed),
  backend: values.backend,
  onRun: (line) => console.log(line),
})
const total = sum(Object.values(kills))
const minutes = ((performance.now() - started) / 60_000).toFixed(1)
const moments = Object.entries(kills).map(([moment, count]) => `${count} ${moment}`)
console.log(`${total} kills in ${minutes} min: ${moments.join(', ')}`)
console.log(`${runs} runs produced the same bytes as an uninterrupted run, ${failures.length} did not`)
for (const failure of failures) console.log(`  ${failure}`)
if (failures.length === 0) rmSync(folder, { recursive: true })
else console.log(`The runs are in ${folder}`)
process.exitCode = failures.length === 0 ? 0 : 1
