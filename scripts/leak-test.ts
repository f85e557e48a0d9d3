/** Trains for thousands of steps on the small base and watches tensors and memory: `npx tsx scripts/leak-test.ts --steps 20000`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { watchLeaks } from './reliability/leaks.ts'

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '20000' }, backend: { type: 'string', default: 'auto' } },
})
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-leaks-'))
const started = performance.now()
const { backend, tensors, growth, samples } = await watchLeaks({
  folder,
  steps: Number(values.steps),
  backend: values.backend as 'auto',
  onSample: ({ step, tensors, mib }) => {
    if (step % 1000 === 0) console.log(`step ${step}: ${tensors} tensors, ${mib.toFixed(0)} MiB`)
  },
})
rmSync(folder, { recursive: true })
const minutes = ((performance.now() - started) / 60_000).toFixed(1)
console.log(`${samples.at(-1)?.step} steps on ${backend} in ${minutes} min`)
console.log(`tensors: ${tensors.join(', ')} (one number: constant)`)
console.log(`memory after the first thousand steps: ${(100 * growth).toFixed(1)} % growth`)
process.exitCode = tensors.length === 1 && growth < 0.05 ? 0 : 1
