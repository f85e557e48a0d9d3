/** Dockerfile and compose.yaml, without Docker: their commands and environment run here, with host names, ports and paths of this machine. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { openDatabase } from '../../src/queue/database.ts'
import { projectPath } from '../cli/bin.ts'
import { needs } from '../needs.ts'
import { hasPostgres, startPostgres } from '../queue/postgres.ts'
import { endpoint, falClient } from './test-server.ts'

type ComposeService = {
  command: string[]
  hostname?: string
  environment: Record<string, string>
  volumes: string[]
  ports?: string[]
  build?: string
  stop_grace_period?: string
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test?: string[]; disable?: boolean }
}

const compose = parse(readFileSync(projectPath('compose.yaml'), 'utf8'), { merge: true }) as {
  services: Record<string, ComposeService>
  volumes: Record<string, unknown>
}
const { postgres: postgresService, ...tools } = compose.services as {
  postgres: ComposeService
} & typeof compose.services

/** The instructions of the Dockerfile, with their arguments. */
const instructions = readFileSync(projectPath('Dockerfile'), 'utf8')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter(Boolean)
  .map((line) => {
    const [, name = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    return { name, rest }
  })
const last = (name: string) => instructions.findLast((instruction) => instruction.name === name)?.rest ?? ''
/** Fails for the shell form, whose process 1 is a shell that passes no signals on. */
const execForm = (text: string) => JSON.parse(text.slice(text.indexOf('['))) as string[]
const imageEnvironment = Object.fromEntries(
  instructions
    .filter(({ name }) => name === 'ENV')
    .flatMap(({ rest }) => rest.split(' ').map((part) => part.split('='))),
) as Record<string, string>

/** What compose puts in the place of `${NAME:?message}`. @throws where the variable is missing. */
const substituted = (text: string, values: Readonly<Record<string, string>>) =>
  text.replace(/\$\{(\w+)(:\?[^}]*)?\}/g, (_, name: string, refusal?: string) => {
    const value = values[name] ?? ''
    if (value === '' && refusal !== undefined) throw new Error(`${name}: ${refusal.slice(2)}`)
    return value
  })

const packed = () => {
  const [{ files }] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: projectPath('.'),
      stdio: 'pipe',
    }).toString(),
  ) as [{ files: { path: string }[] }]
  return files.map(({ path }) => path)
}

describe('the Dockerfile', () => {
  const copied = instructions
    .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))
    .flatMap(({ rest }) => rest.split(' ').slice(0, -1))

  it('copies files that exist, and that .dockerignore lets through', () => {
    const allowed: string[] = readFileSync(projectPath('.dockerignore'), 'utf8').match(/(?<=^!).+/gm) ?? []
    expect(copied.filter((path) => !existsSync(projectPath(path)))).toEqual([])
    expect(copied.map((path) => path.replace(/^\.\//, '')).filter((path) => !allowed.includes(path))).toEqual([])
  })

  it('has all files of the package, prebuilt addons apart', () => {
    const final = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'))
    const inside = final
      .filter(({ name }) => name === 'COPY')
      .flatMap(({ rest }) =>
        rest
          .split(' ')
          .filter((part) => !part.startsWith('--'))
          .slice(0, -1),
      )
      .map((path) => path.replace(/^\/app\//, ''))
    const isInside = (path: string) => inside.some((folder) => path === folder || path.startsWith(`${folder}/`))
    const files = packed()
    expect(files.length).toBeGreaterThan(100)
    expect(files.filter((path) => !isInside(path) && !/^(prebuilt\/|README\.md$)/.test(path))).toEqual([])
  })

  it('runs node itself, not as root, with a volume for the data', () => {
    expect(execForm(last('ENTRYPOINT'))).toEqual(['node', '/app/bin/ltx-a2a.js'])
    expect(execForm(last('CMD'))).toEqual(['serve', '--host', '0.0.0.0', '--data', '/data'])
    expect([last('USER'), last('VOLUME'), last('EXPOSE')]).toEqual(['node', '/data', '7880'])
  })
})

describe('compose.yaml', () => {
  it('refuses to start without the key and the password, and has neither in arguments', () => {
    for (const { environment, command } of Object.values(tools)) {
      expect(() => substituted(environment.LTX_A2A_KEY ?? '', {})).toThrow('LTX_A2A_KEY')
      expect(() => substituted(environment.PGPASSWORD ?? '', {})).toThrow('POSTGRES_PASSWORD')
      expect(environment.LTX_A2A_QUEUE).not.toMatch(/:[^/@]*@/)
      expect(command.join(' ')).not.toMatch(/\$|postgres:|--key/)
    }
    expect(() => substituted(postgresService.environment.POSTGRES_PASSWORD ?? '', {})).toThrow('POSTGRES_PASSWORD')
  })

  it('waits for a healthy database and server, and keeps their data in volumes', () => {
    const mounted = Object.values(compose.services).flatMap(({ volumes }) => volumes.map((text) => text.split(':')[0]))
    expect([...new Set(mounted)].sort()).toEqual(Object.keys(compose.volumes).sort())
    expect(postgresService.healthcheck?.test).toContain('pg_isready')
    expect(tools.server?.depends_on?.postgres?.condition).toBe('service_healthy')
    for (const name of ['worker-1', 'worker-2']) {
      expect(tools[name]?.depends_on?.server?.condition).toBe('service_healthy')
      expect(tools[name]).toMatchObject({ hostname: name, volumes: tools.server?.volumes })
    }
    for (const { stop_grace_period } of Object.values(tools))
      expect(Number.parseInt(stop_grace_period ?? '0', 10)).toBeGreaterThanOrEqual(10)
  })
})

describe.skipIf(!hasPostgres)('the commands of compose.yaml', needs('the server programs of PostgreSQL'), () => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-compose-'))
  const running: ChildProcess[] = []
  let postgres: Awaited<ReturnType<typeof startPostgres>> | undefined
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL')
    await postgres?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Starts the command of a service as the image does. @returns the line that says it is ready. */
  async function start(name: string, ready: RegExp, more: readonly string[] = []) {
    const { command, environment } = tools[name] as ComposeService
    const here = (text: string) =>
      text
        .replace('ltx@postgres/ltx', `ltx@${new URL(postgres?.location ?? '').host}/ltx`)
        .replace(/^\/data\b/, folder)
        .replace('0.0.0.0', '127.0.0.1')
    const all = Object.entries({ ...imageEnvironment, ...environment }).map(([variable, text]) => [
      variable,
      here(substituted(text, { LTX_A2A_KEY: 'secret', POSTGRES_PASSWORD: 'p@ss/word' })),
    ])
    const [, script = ''] = execForm(last('ENTRYPOINT'))
    const args = [script.replace(/^\/app\//, projectPath('./')), ...command.map(here), ...more]
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...Object.fromEntries(all) }
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    running.push(child)
    const lines: string[] = []
    const line = await new Promise<string>((resolve, reject) => {
      const reader = createInterface({ input: child.stderr as NonNullable<typeof child.stderr> })
      reader.on('line', (line) => {
        lines.push(line)
        if (ready.test(line)) resolve(line)
      })
      reader.on('close', () => reject(new Error(lines.join('\n'))))
    })
    return { child, line, env }
  }

  it('train, are healthy, and end on SIGTERM with what is running back in the queue', async () => {
    postgres = await startPostgres()
    const database = await openDatabase(postgres.location)
    await database.query("create role ltx login password 'p@ss/word'")
    await database.query('create database ltx owner ltx')
    const [{ hba_file } = { hba_file: '' }] = await database.query<{ hba_file: string }>('show hba_file')
    const rules = "values ('host all test all trust'), ('host all ltx all scram-sha-256')" // this role needs its password
    await database.query(`copy (${rules}) to '${hba_file}'`)
    await database.query('select pg_reload_conf()')
    await database.close()
    const server = await start('server', /^Listening on/, ['--port', '0'])
    const url = server.line.replace('Listening on ', '')
    const workers = [await start('worker-1', /^Waiting/), await start('worker-2', /^Waiting/)]
    const [program = '', flag = '', script = ''] = execForm(last('HEALTHCHECK'))
    expect([program, flag]).toEqual(['node', '-e'])
    const health = async () => {
      const child = spawn(process.execPath, [flag, script.replace('http://127.0.0.1:7880', url)], { stdio: 'ignore' })
      return (await once(child, 'exit'))[0] as number
    }
    expect(await health()).toBe(0)
    const fal = falClient(url, 'secret')
    const zip = new File([readFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip'))], 'pairs.zip')
    const tiny = { audio_duration_seconds: 1, rank: '8', preview_interval: 0, checkpoint_interval: 5, backend: 'wasm' }
    const training_data_url = await fal.storage.upload(zip)
    const input = (number_of_steps: number) => ({ training_data_url, trigger_phrase: 'tone', ...tiny, number_of_steps })
    const { data } = await fal.subscribe(endpoint, { input: input(3), pollInterval: 200 })
    expect((data as Record<string, { file_size: number }>).lora_file?.file_size).toBeGreaterThan(0)
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input: input(5000) })
    const state = join(folder, 'files', 'runs', requestId, 'state.safetensors')
    await vi.waitFor(() => expect(existsSync(state)).toBe(true), { timeout: 60_000, interval: 50 })
    const stopped = [...workers, server].map(async ({ child }) => {
      const ended = once(child, 'exit', { signal: AbortSignal.timeout(10_000) }) // as `docker stop`, which kills then
      child.kill('SIGTERM')
      return (await ended)[0] as number
    })
    expect(await Promise.all(stopped)).toEqual([0, 0, 0])
    expect(await health()).toBe(1)
    const again = await start('server', /^Listening on/, ['--port', '0'])
    const client = falClient(again.line.replace('Listening on ', ''), 'secret')
    expect(await client.queue.status(endpoint, { requestId })).toMatchObject({ status: 'IN_QUEUE' })
    await start('worker-2', /^Waiting/)
    const lines = async () => {
      const { logs = [] } = (await client.queue.status(endpoint, { requestId, logs: true })) as {
        logs?: { message: string }[]
      }
      return logs.map(({ message }) => message).join('\n')
    }
    await vi.waitFor(async () => expect(await lines()).toMatch(/Resuming after step \d+/), {
      timeout: 60_000,
      interval: 200,
    })
  }, 180_000)
})
