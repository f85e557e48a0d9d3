/** Kills real trainings of the built tool at random moments and resumes them: `npx tsx scripts/kill-test.ts --kills 100`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
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
const all = Object.values(kills).reduce((sum, count) => sum + count)
const minutes = ((performance.now() - started) / 60_000).toFixed(1)
const moments = Object.entries(kills).map(([moment, count]) => `${count} ${moment}`)
console.log(`${all} kills in ${minutes} min: ${moments.join(', ')}`)
console.log(`${runs} runs ended in the same bytes as the one left alone, ${failures.length} did not`)
for (const failure of failures) console.log(`  ${failure}`)
if (failures.length === 0) rmSync(folder, { recursive: true })
else console.log(`The runs are in ${folder}`)
process.exitCode = failures.length === 0 ? 0 : 1
