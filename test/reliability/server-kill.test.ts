/** The short version of `scripts/server-kill-test.ts`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { serverKillTest } from '../../scripts/reliability/server/kills.ts'
import { needs } from '../needs.ts'
import { hasPostgres } from '../queue/postgres.ts'

const folder = mkdtempSync(join(tmpdir(), 'server-kills-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.skipIf(!hasPostgres)('a server with workers', needs('the server programs of PostgreSQL'), () => {
  it('completes every request once, with the bytes of an undisturbed run, whatever is killed', async () => {
    const kills = { workers: 2, server: 1, postgres: 1 }
    const report = await serverKillTest({ folder, jobs: 6, workers: 2, distinct: 2, kills, pause: 2 })
    expect(report.failures).toEqual([])
    expect(report.kills).toEqual({ worker: 2, server: 1, postgres: 1 })
    expect(report.requests).toBeGreaterThanOrEqual(6)
  }, 300_000)
})
