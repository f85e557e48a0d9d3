/** Trains for thousands of steps on the small base and watches tensors and memory: `npx tsx scripts/leak-test.ts --steps 20000`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Growth } from './reliability/growth.ts'
import { type Sample, watchLeaks } from './reliability/leaks.ts'

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '20000' }, backend: { type: 'string', default: 'auto' } },
})
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-leaks-'))
const started = performance.now()
const { backend, tensors, resident, held, samples } = await watchLeaks({
  folder,
  steps: Number(values.steps),
  backend: values.backend as 'auto',
  onSample: (sample) => {
    if (sample.step % 1000 === 0) console.log(line(sample))
  },
})
rmSync(folder, { recursive: true })
const minutes = ((performance.now() - started) / 60_000).toFixed(1)
console.log(`${samples.at(-1)?.step} steps on ${backend} in ${minutes} min`)
console.log(`tensors: ${tensors.join(', ')} (one number: constant)`)
console.log(`after the first thousand steps the process grew by ${text(resident)}`)
console.log(`and what JavaScript and TensorFlow.js hold by ${text(held)}`)
const grown = Math.max(resident.ofMedians, resident.ofTrend, held.ofMedians, held.ofTrend)
process.exitCode = tensors.length === 1 && grown < 0.05 ? 0 : 1

function line({ step, tensors, found, resident, ...held }: Sample) {
  const parts = Object.entries(held).map(([name, mib]) => `${name} ${mib.toFixed(1)}`)
  return `step ${step}: ${tensors} tensors, ${resident.toFixed(0)} MiB (before the collection ${found.toFixed(0)}; ${parts.join(', ')})`
}

function text({ ofMedians, ofTrend }: Growth) {
  const [medians, trend] = [ofMedians, ofTrend].map((share) => `${(100 * share).toFixed(1)} %`)
  return `${medians} between medians, ${trend} along the trend`
}
