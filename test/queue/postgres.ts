/** A PostgreSQL server for tests, from the programs of the system. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { openDatabase } from '../../src/queue/database.ts'

/** Debian installs each version into a folder of its own. */
function programFolder(): string | undefined {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  return versions.map((version) => join(root, version, 'bin')).find((folder) => existsSync(join(folder, 'initdb')))
}

export const hasPostgres = programFolder() !== undefined

export type Postgres = {
  /** A `postgres:` URL. */
  location: string
  /** Kills the server with SIGKILL and starts it again, with the same data and port. */
  killAndRestart(): Promise<void>
  stop(): Promise<void>
}

/** A new server in a folder of its own. PostgreSQL refuses to run as root: then it runs as the user `postgres`. */
export async function startPostgres(): Promise<Postgres> {
  const programs = programFolder() as string
  const [uid, gid] =
    process.getuid?.() === 0 ? ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres']))) : []
  const folder = mkdtempSync('/tmp/ltx-a2a-postgres-') // the folder of other tests can be closed to the user postgres
  const user = uid === undefined || gid === undefined ? {} : { uid, gid }
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid)
  const data = join(folder, 'data')
  const options = { ...user, cwd: folder, stdio: 'ignore' } as const
  execFileSync(join(programs, 'initdb'), ['-D', data, '-U', 'test', '-A', 'trust', '--no-sync'], options)
  const port = await freePort()
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, 'fsync=off']
  const flags = ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])]
  const location = `postgres://test@127.0.0.1:${port}/postgres`
  const start = () => startServer(() => spawn(join(programs, 'postgres'), flags, options), location)
  let server = await start()
  const end = async (signal: NodeJS.Signals) => {
    const ended = once(server, 'exit')
    if (server.exitCode === null && server.signalCode === null && server.kill(signal)) await ended
  }
  return {
    location,
    killAndRestart: async () => {
      await end('SIGKILL')
      server = await start()
    },
    stop: async () => {
      await end('SIGINT')
      rmSync(folder, { recursive: true })
    },
  }
}

/** After a kill, the server does not start before the last process of the former one has ended. */
async function startServer(start: () => ChildProcess, location: string): Promise<ChildProcess> {
  let server = start()
  for (let tries = 0; ; tries++) {
    try {
      await (await openDatabase(location)).close()
      return server
    } catch (error) {
      if (tries === 100) throw error
      await setTimeout(100)
      if (server.exitCode !== null || server.signalCode !== null) server = start()
    }
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
