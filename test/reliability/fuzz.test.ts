/** The short version of `scripts/fuzz.ts`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import type { FormatName } from '../../scripts/reliability/formats.ts'
import { fuzz } from '../../scripts/reliability/fuzz.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

it.each<[FormatName, number]>([
  ['zip', 300],
  ['safetensors', 300],
  ['wav', 100],
  ['audio', 120],
  ['config', 300],
])('%s: %i mutated inputs are read or refused with a UserError, without other effects', async (format, count) => {
  const report = await fuzz({ format, count, seed: 2, folder: join(folder, format) })
  expect(report.findings).toEqual([])
  expect(report.inputs).toBe(count)
  expect(report.refused).toBeGreaterThan(count / 20)
  expect(report.refused).toBeLessThan(count)
})
