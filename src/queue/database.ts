/** PostgreSQL: a server, or embedded in this process (PGlite) with its data in a folder. */
import { chmodSync, existsSync, mkdirSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { UserError } from '../platform/errors.ts'
import { isPostgresUrl } from './postgres-url.ts'

/** Runs a statement with `$1`, `$2` … for values. Without values, several statements are allowed. @returns the rows of the last one. */
export type RunQuery = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>

export type Database = {
  query: RunQuery
  /** Everything that the work queries is done, or nothing. */
  transaction<T>(work: (query: RunQuery) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** @param location a `postgres:` URL, or a folder, which must be used by one process at a time. @throws UserError where it cannot be opened. */
export const openDatabase = (location: string): Promise<Database> =>
  isPostgresUrl(location) ? connect(location) : openEmbedded(location)

/** More connections than a server uses at once would only wait for each other. */
const maxConnections = 10

async function connect(url: string): Promise<Database> {
  const sockets = new Set<Socket>()
  const stream = () => {
    const socket = new Socket()
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    return socket
  }
  const pool = new pg.Pool({ connectionString: url, max: maxConnections, connectionTimeoutMillis: 10_000, stream })
  pool.on('error', () => {}) // of an idle connection: the next query opens another one
  const run = (client: Pick<pg.PoolClient, 'query'>) => async (text: string, values?: readonly unknown[]) =>
    rowsOf(await client.query(text, values && [...values]))
  const query = run(pool) as RunQuery
  try {
    await query('select 1')
  } catch (cause) {
    for (const socket of sockets) socket.destroy() // without a password, PostgreSQL would wait for it for a minute
    await pool.end()
    const { message } = cause as Error
    const hint = /password must be a string/.test(message)
      ? 'give the password in the URL, or with PGPASSWORD'
      : 'check that PostgreSQL is running, and the user, password and name in the URL'
    throw new UserError(`the database ${withoutPassword(url)} cannot be used: ${message}`, { hint, cause })
  }
  return {
    query,
    transaction: async (work) => {
      const client = await pool.connect()
      client.on('error', ignore) // of a connection that breaks between two queries: the next one fails
      let failure: Error | undefined
      try {
        await client.query('begin')
        const result = await work(run(client) as RunQuery)
        await client.query('commit')
        return result
      } catch (error) {
        failure = error as Error
        await client.query('rollback').catch(() => {})
        throw error
      } finally {
        client.off('error', ignore)
        client.release(failure)
      }
    },
    close: () => pool.end(),
  }
}

/** A new database takes 40 MB. */
const leastFreeBytes = 16 * 2 ** 20

/** The package is loaded only here: it is large, and workers on other machines do not need it. */
async function openEmbedded(folder: string): Promise<Database> {
  requireDatabase(folder)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700) // everyone may write to the files that PGlite creates
  const { PGlite } = await import('@electric-sql/pglite')
  type Client = Pick<InstanceType<typeof PGlite>, 'query' | 'exec'>
  const run = (client: Client) => async (text: string, values?: readonly unknown[]) =>
    values?.length ? (await client.query(text, [...values])).rows : ((await client.exec(text)).at(-1)?.rows ?? [])
  const database = await PGlite.create(folder).catch((cause: unknown) => {
    const { bavail, bsize } = statfsSync(folder)
    if (bavail * bsize < leastFreeBytes)
      throw new UserError(`there is no room for the database in ${folder}`, {
        hint: 'make room on the disk, or choose another folder',
        cause,
        code: 'machine_error',
      })
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    throw new UserError(`the database in ${folder} cannot be opened${why}`, {
      hint: 'restore the folder from a backup, or choose another one',
      cause,
    })
  })
  return {
    query: run(database) as RunQuery,
    transaction: (work) => database.transaction((client) => work(run(client) as RunQuery)),
    close: () => database.close(),
  }
}

/** Whether a server of PostgreSQL cannot be reached now, or has just ended: what was asked for may succeed later. */
export function isUnreachable(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  return unreachableCode.test(code) || /^Connection terminated|^timeout exceeded when trying to connect/.test(message)
}

/** Of the system; of PostgreSQL: a broken connection (08), a server that stops or starts (57P0). */
const unreachableCode = /^(ECONN|EPIPE$|ETIMEDOUT$|EHOSTUNREACH$|ENETUNREACH$|ENOTFOUND$|EAI_AGAIN$|08|57P0)/

const ignore = () => {}

const rowsOf = (result: pg.QueryResult | pg.QueryResult[]) =>
  (Array.isArray(result) ? result.at(-1) : result)?.rows ?? []

/** PGlite would create a new database in a folder that has lost this file, and what was in it would be gone. @throws UserError */
function requireDatabase(folder: string) {
  if (!existsSync(folder)) return
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder} is a file`, { hint: 'choose another folder' })
  if (readdirSync(folder).length === 0 || existsSync(join(folder, 'PG_VERSION'))) return
  throw new UserError(`${folder} holds files, but no database that can be opened`, {
    hint: 'restore the folder from a backup, or choose another one',
  })
}

/** For messages. */
function withoutPassword(url: string): string {
  try {
    const shown = new URL(url)
    if (shown.password) shown.password = '***'
    return shown.href
  } catch {
    return 'that --queue names'
  }
}
