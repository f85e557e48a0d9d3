/**
 * A server on PostgreSQL, workers with folders of their own, and clients, while random ones of them and PostgreSQL are killed with SIGKILL and started again.
 * Every request must be completed once, with the bytes of an undisturbed run.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { filesBelow, isLeftover } from '../../../src/platform/files.ts'
import { type Random, randomFor, shuffled } from '../../../src/platform/random.ts'
import { sum } from '../../../src/platform/statistics.ts'
import { freePort, type Postgres, startPostgres } from '../../../test/queue/postgres.ts'
import { pick } from '../mutation.ts'
import { comparableContent } from '../run-content.ts'
import { type RequestRow, receiveWebhooks, recordCompletions, requestsIn } from './completions.ts'
import { createProcess, type KilledProcess, type KillKind, processesOf } from './processes.ts'
import { createClient, type Training, trainings, undisturbed, writeZip } from './requests.ts'

export type ServerKillOptions = {
  /** An empty folder. */
  folder: string
  jobs: number
  kills: { workers: number; server: number; postgres: number }
  /** On other machines. */
  workers: number
  /** In the process of the server. */
  serverWorkers?: number
  /** How many trainings differ. */
  distinct?: number
  /** The mean of the seconds between two kills. */
  pause?: number
  seed?: number
  onLine?: (line: string) => void
}

export type ServerKillReport = {
  kills: Record<Victim, number>
  /** The number of kills while a request was being worked on. */
  killsAtWork: number
  requests: number
  /** Submitted again by their client, because the server was killed before it had answered. */
  doubled: number
  /** Claims of requests, and those that were lost by a kill. */
  attempts: number
  losses: number
  webhookCalls: number
  seconds: number
  failures: string[]
}

type Victim = 'worker' | 'server' | 'postgres'

export async function serverKillTest(options: ServerKillOptions): Promise<ServerKillReport> {
  const { folder, seed = 1, jobs, workers, distinct = 10, serverWorkers = 0, onLine = () => {} } = options
  const zip = join(folder, 'pairs.zip')
  await writeZip(zip)
  const expected = new Map<number, string[]>()
  const different = trainings(Math.min(distinct, jobs))
  for (const training of different) expected.set(training.seed as number, await undisturbed(folder, zip, training))
  onLine(`${different.length} undisturbed runs are done`)

  const failures: string[] = []
  const postgres = await startPostgres()
  const webhooks = await receiveWebhooks()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const create = (name: string, ready: RegExp, ...args: string[]) => {
    const place = join(folder, name)
    const all = [...args, '--queue', postgres.location, '--data', join(place, 'data')]
    return createProcess({ name, ready, folder: place, args: all, onUnexpectedEnd: (end) => failures.push(end) })
  }
  const serve = ['serve', '--port', String(port), '--workers', String(serverWorkers), '--allow-private-urls']
  const server = create('server', /^Listening on/, ...serve)
  const machines = Array.from({ length: workers }, (_, i) => {
    const name = `worker-${i + 1}`
    return create(name, /^Waiting for requests/, 'worker', '--server', url, '--name', name)
  })
  try {
    const started = performance.now()
    await server.start()
    await recordCompletions(postgres.location)
    await Promise.all(machines.map((machine) => machine.start()))
    const client = createClient(url)
    const submitted = submitAll(client, zip, { jobs, different, webhook: webhooks.url })
    const places = { server, machines, postgres, runs: join(folder, 'server', 'data', 'files', 'runs') }
    const killed = await killAll(places, { ...options, random: randomFor(seed, 'server kills'), onLine })
    const ids = await submitted
    await until(async () => (await requestsIn(postgres.location)).every(({ status }) => status === 'COMPLETED'))
    const rows = await requestsIn(postgres.location)
    await until(() => rows.every(({ id }) => webhooks.received.has(id)))
    const seconds = (performance.now() - started) / 1000

    for (const id of ids) if (!rows.some((row) => row.id === id)) failures.push(`request ${id} is lost`)
    for (const row of rows) {
      const run = join(places.runs, row.id)
      failures.push(...faultsOf(row, run, expected), ...webhookFaults(row, webhooks.received.get(row.id) ?? []))
      const lora = await client.lora(row.id)
      if (!lora.equals(readIfThere(join(run, 'lora.safetensors'))))
        failures.push(`request ${row.id}: the LoRA that clients download is not that of the run`)
    }
    for (const tool of [...machines, server]) {
      const code = await tool.stop()
      if (code !== 0) failures.push(`${tool.name} ended with ${code} on SIGTERM`)
    }
    failures.push(...leftovers(folder, machines))
    return {
      ...killed,
      requests: rows.length,
      doubled: rows.length - ids.length,
      attempts: sum(rows.map(({ attempts }) => attempts)),
      losses: sum(rows.map(({ losses }) => losses)),
      webhookCalls: sum([...webhooks.received.values()].map(({ length }) => length)),
      seconds,
      failures,
    }
  } finally {
    for (const tool of [...machines, server]) await tool.kill('machine').catch(() => undefined)
    await webhooks.close()
    await postgres.stop()
  }
}

type Places = { server: KilledProcess; machines: readonly KilledProcess[]; postgres: Postgres; runs: string }

async function submitAll(
  client: ReturnType<typeof createClient>,
  zip: string,
  { jobs, different, webhook }: { jobs: number; different: readonly Training[]; webhook: string },
): Promise<string[]> {
  const data = await client.upload(zip)
  const ids: string[] = []
  for (let i = 0; i < jobs; i++)
    ids.push(await client.submit(data, different[i % different.length] as Training, webhook))
  return ids
}

/** Kills in a random order at random moments, and starts what was killed again after a random time. */
async function killAll(
  { server, machines, postgres, runs }: Places,
  { kills, pause = 4, random, onLine }: ServerKillOptions & { random: Random; onLine: (line: string) => void },
): Promise<Pick<ServerKillReport, 'kills' | 'killsAtWork'>> {
  const done: Record<Victim, number> = { worker: 0, server: 0, postgres: 0 }
  let killsAtWork = 0
  const victims = [
    ...Array.from({ length: kills.workers }, () => 'worker' as const),
    ...Array.from({ length: kills.server }, () => 'server' as const),
    ...Array.from({ length: kills.postgres }, () => 'postgres' as const),
  ]
  const planned = shuffled(random, victims.length).map((i) => victims[i] as Victim)
  const restarts: Promise<void>[] = []
  const busy = new Set<KilledProcess>() // those that are being started
  for (const victim of planned) {
    await sleep(2000 * pause * random.uniform())
    if (random.uniform() < 0.5) await nextSave(runs)
    const requests = await requestsIn(postgres.location)
    const running = requests.filter(({ status }) => status === 'IN_PROGRESS').length
    if (running > 0) killsAtWork++
    done[victim]++
    const state = `${requests.filter(({ status }) => status === 'COMPLETED').length} completed, ${running} running`
    if (victim === 'postgres') {
      onLine(`PostgreSQL is killed: ${state}`)
      await postgres.killAndRestart()
      continue
    }
    const kind: KillKind = random.uniform() < 0.5 ? 'process' : 'machine'
    const down = 1500 * random.uniform()
    const choice = victim === 'server' ? server : pick(random, machines)
    await until(() => !busy.has(choice))
    const count = await choice.kill(kind)
    onLine(`${choice.name} is killed (${count} processes): ${state}`)
    busy.add(choice)
    restarts.push(
      sleep(down)
        .then(choice.start)
        .finally(() => busy.delete(choice)),
    )
  }
  await Promise.all(restarts)
  return { kills: done, killsAtWork }
}

/** Waits until a worker saves a state on the server, some seconds at most. */
async function nextSave(runs: string) {
  const newest = () =>
    Math.max(
      0,
      ...(existsSync(runs) ? readdirSync(runs) : []).map(
        (id) => statSync(join(runs, id, 'state.safetensors'), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      ),
    )
  const before = newest()
  for (let tries = 0; tries < 300 && newest() === before; tries++) await sleep(10)
}

function faultsOf(
  { id, status, error, completions, parameters }: RequestRow,
  run: string,
  expected: ReadonlyMap<number, string[]>,
): string[] {
  const faults: string[] = []
  if (status !== 'COMPLETED' || error !== null) faults.push(`is ${status} with ${JSON.stringify(error)}`)
  if (completions !== 1) faults.push(`was completed ${completions} times`)
  const content = existsSync(run) ? comparableContent(run) : []
  const right = expected.get(parameters.seed as number) ?? []
  if (content.join('\n') !== right.join('\n')) {
    const wrong = content.filter((line) => !right.includes(line))
    const missing = right.filter((line) => !content.includes(line))
    faults.push(
      `differs from an undisturbed run: has ${wrong.slice(0, 3).join('; ')}, lacks ${missing.slice(0, 3).join('; ')}`,
    )
  }
  return faults.map((fault) => `request ${id} ${fault}`)
}

/** A receiver may get a webhook more than once, but always with the same result. */
const webhookFaults = ({ id }: RequestRow, calls: readonly string[]) =>
  calls.length > 0 && calls.every((status) => status === 'OK')
    ? []
    : [`request ${id}: its webhook was called with ${JSON.stringify(calls)}`]

/** What must not be there after the end: processes, copies of runs and inputs, temporary files, locks. */
function leftovers(folder: string, machines: readonly KilledProcess[]): string[] {
  const copies = machines.flatMap(({ name }) =>
    ['runs', 'inputs', 'downloads'].flatMap((kind) => {
      const place = join(folder, name, 'data', kind)
      return existsSync(place) ? readdirSync(place).map((id) => `${name} left ${kind}/${id}`) : []
    }),
  )
  const files = [...machines.map(({ name }) => name), 'server'].flatMap((name) =>
    filesBelow(join(folder, name, 'data'))
      .filter((path) => isLeftover(path) || /run\.lock$|\.(partial|unfinished)$/.test(path))
      .map((path) => `${name} left ${path}`),
  )
  return [...processesOf(folder).map((pid) => `process ${pid} still runs`), ...copies, ...files]
}

async function until(isSo: () => Promise<boolean> | boolean) {
  while (!(await isSo())) await sleep(300)
}

const readIfThere = (path: string) => (existsSync(path) ? readFileSync(path) : Buffer.alloc(0))
