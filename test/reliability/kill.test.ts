/** The short version of `scripts/kill-test.ts`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { killTest } from '../../scripts/reliability/kills.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('a run that is killed three times and resumed gives the same bytes as an uninterrupted run', async () => {
  const { kills, runs, failures } = await killTest({ folder, kills: 3, killsPerRun: 3, steps: 8 })
  expect(failures).toEqual([])
  expect(runs).toBeGreaterThan(0)
  expect(Object.values(kills).reduce((sum, count) => sum + count)).toBe(3)
}, 300_000) // 40 seconds of processor time, in up to ten processes
