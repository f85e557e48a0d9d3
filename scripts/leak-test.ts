/** Trains thousands of steps on the bundled base and samples the number of tensors and the memory: `npx tsx scripts/leak-test.ts --steps 20000`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Growth } from './reliability/growth.ts'
import { type Sample, watchLeaks } from './reliability/leaks.ts'

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '20000' }, backend: { type: 'string', default: 'auto' } },
})
/** The test fails above this share. */
const maxGrowth = 0.05

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-leaks-'))
const started = performance.now()
const { backend, tensors, resident, held, samples } = await watchLeaks({
  folder,
  steps: Number(values.steps),
  backend: values.backend as 'auto',
  onSample: (sample) => {
    if (sample.step % 1000 === 0) console.log(sampleText(sample))
  },
})
rmSync(folder, { recursive: true })
const minutes = ((performance.now() - started) / 60_000).toFixed(1)
console.log(`${samples.at(-1)?.step} steps on ${backend} in ${minutes} min`)
console.log(`numbers of tensors that occurred: ${tensors.join(', ')}`)
console.log(`growth after the first 1000 steps: resident memory ${growthText(resident)};`)
console.log(`memory of JavaScript and TensorFlow.js ${growthText(held)}`)
const largestGrowth = Math.max(resident.ofMedians, resident.ofTrend, held.ofMedians, held.ofTrend)
process.exitCode = tensors.length === 1 && largestGrowth < maxGrowth ? 0 : 1

function sampleText({ step, tensors, found, resident, ...held }: Sample) {
  const parts = Object.entries(held).map(([name, mib]) => `${name} ${mib.toFixed(1)}`)
  return `step ${step}: ${tensors} tensors, ${resident.toFixed(0)} MiB resident (${found.toFixed(0)} before the collection; ${parts.join(', ')})`
}

function growthText({ ofMedians, ofTrend }: Growth) {
  const [medians, trend] = [ofMedians, ofTrend].map((share) => `${(100 * share).toFixed(1)} %`)
  return `${medians} between medians and ${trend} along the trend`
}
