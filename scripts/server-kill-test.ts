/**
 * Kills a server, its workers and PostgreSQL at random moments while they train, and compares every LoRA with that of an undisturbed run:
 * `LTX_A2A_BASE=test/base npx tsx scripts/server-kill-test.ts --jobs 30 --workers 3`. Needs the server programs of PostgreSQL, and Linux.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { hasPostgres } from '../test/queue/postgres.ts'
import { serverKillTest } from './reliability/server/kills.ts'

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '30' },
    workers: { type: 'string', default: '3' },
    'server-workers': { type: 'string', default: '0' },
    'worker-kills': { type: 'string', default: '14' },
    'server-kills': { type: 'string', default: '6' },
    'postgres-kills': { type: 'string', default: '4' },
    distinct: { type: 'string', default: '10' },
    pause: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
})
if (!hasPostgres) {
  console.error('The server programs of PostgreSQL are not installed: apt-get install postgresql')
  process.exit(2)
}
if (process.env.LTX_A2A_BASE) process.env.LTX_A2A_BASE = resolve(process.env.LTX_A2A_BASE) // the processes have folders of their own
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-kills-'))
const started = performance.now()
const report = await serverKillTest({
  folder,
  jobs: Number(values.jobs),
  workers: Number(values.workers),
  serverWorkers: Number(values['server-workers']),
  kills: {
    workers: Number(values['worker-kills']),
    server: Number(values['server-kills']),
    postgres: Number(values['postgres-kills']),
  },
  distinct: Number(values.distinct),
  pause: Number(values.pause),
  seed: Number(values.seed),
  onLine: (line) => console.log(`${((performance.now() - started) / 1000).toFixed(0)} s: ${line}`),
})
const { kills, failures } = report
console.log(`
${report.requests} requests on ${values.workers} workers and ${values['server-workers']} of the server, ${report.seconds.toFixed(0)} s
kills: ${kills.worker} of workers, ${kills.server} of the server, ${kills.postgres} of PostgreSQL; ${report.killsAtWork} of them during trainings
requests that a client submitted again because it got no answer: ${report.doubled}
claims: ${report.attempts}, of which ${report.losses} were lost by kills
calls of webhooks: ${report.webhookCalls}
${failures.length === 0 ? 'Every request was completed once, with the bytes of an undisturbed run. Nothing was left behind.' : `${failures.length} failures:`}`)
for (const failure of failures) console.log(`  ${failure}`)
if (failures.length === 0) rmSync(folder, { recursive: true })
else console.log(`The folders are in ${folder}`)
process.exitCode = failures.length === 0 ? 0 : 1
