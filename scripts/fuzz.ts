/** Fuzz test: `npx tsx scripts/fuzz.ts --format zip|safetensors|wav|audio|config --count 10000`. Without `--format` it tests all formats. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type FormatName, formatNames } from './reliability/formats.ts'
import { fuzz } from './reliability/fuzz.ts'

const { values } = parseArgs({
  options: {
    format: { type: 'string', multiple: true, default: [...formatNames] },
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
  },
})

for (const format of values.format as FormatName[]) {
  const started = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-fuzz-'))
  const { inputs, refused, findings, slowestSeconds, peakMib } = await fuzz({
    format,
    count: Number(values.count),
    seed: Number(values.seed),
    folder,
  })
  rmSync(folder, { recursive: true })
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(
    `${format}: ${inputs} inputs in ${seconds} s, ${refused} refused, ${findings.length} findings, ` +
      `slowest ${slowestSeconds.toFixed(2)} s, peak memory ${Math.round(peakMib)} MiB`,
  )
  for (const finding of findings.slice(0, 20)) console.log(`  ${finding}`)
  if (findings.length > 0) process.exitCode = 1
}
