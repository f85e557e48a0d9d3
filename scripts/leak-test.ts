/** Trains thousands of steps on the bundled base and samples the number of tensors and the memory: `npx tsx scripts/leak-test.ts --steps 20000`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Growth } from './reliability/growth.ts'
import { leakTest, type Sample } from './reliability/leaks.ts'

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '20000' }, backend: { type: 'string', default: 'auto' } },
})
/** The test fails if memory grows by more than this fraction. */
const maxGrowth = 0.05

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-leaks-'))
const started = performance.now()
const { backend, tensors, rss, heapAndExternal, samples } = await leakTest({
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
console.log(`growth after the first 1000 steps: RSS ${growthText(rss)};`)
console.log(`heap and external memory ${growthText(heapAndExternal)}`)
const largestGrowth = Math.max(rss.ofMedians, rss.ofTrend, heapAndExternal.ofMedians, heapAndExternal.ofTrend)
process.exitCode = tensors.length === 1 && largestGrowth < maxGrowth ? 0 : 1

function sampleText({ step, tensors, rssBefore, rss, ...other }: Sample) {
  const parts = Object.entries(other).map(([name, mib]) => `${name} ${mib.toFixed(1)}`)
  return `step ${step}: ${tensors} tensors, ${rss.toFixed(0)} MiB RSS (${rssBefore.toFixed(0)} before garbage collection; ${parts.join(', ')})`
}

function growthText({ ofMedians, ofTrend }: Growth) {
  const [medians, trend] = [ofMedians, ofTrend].map((fraction) => `${(100 * fraction).toFixed(1)} %`)
  return `${medians} between medians and ${trend} along the trend`
}
