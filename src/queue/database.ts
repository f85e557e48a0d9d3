/** PostgreSQL: a server, or embedded in this process (PGlite) with its data in a folder. */
import { existsSync, readdirSync, statSync } from 'node:fs'
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
  const pool = new pg.Pool({ connectionString: url, max: maxConnections, connectionTimeoutMillis: 10_000 })
  pool.on('error', () => {}) // of an idle connection: the next query opens another one
  const run = (client: Pick<pg.PoolClient, 'query'>) => async (text: string, values?: readonly unknown[]) =>
    rowsOf(await client.query(text, values && [...values]))
  const query = run(pool) as RunQuery
  try {
    await query('select 1')
  } catch (cause) {
    await pool.end()
    throw new UserError(`the database ${withoutPassword(url)} cannot be used: ${(cause as Error).message}`, {
      hint: 'check that PostgreSQL is running, and the user, password and name in the URL',
      cause,
    })
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

/** The package is loaded only here: it is large, and workers on other machines do not need it. */
async function openEmbedded(folder: string): Promise<Database> {
  requireDatabase(folder)
  const { PGlite } = await import('@electric-sql/pglite')
  type Client = Pick<InstanceType<typeof PGlite>, 'query' | 'exec'>
  const run = (client: Client) => async (text: string, values?: readonly unknown[]) =>
    values?.length ? (await client.query(text, [...values])).rows : ((await client.exec(text)).at(-1)?.rows ?? [])
  const database = await PGlite.create(folder).catch((cause: Error) => {
    throw new UserError(`the database in ${folder} cannot be opened: ${cause?.message ?? cause}`, {
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
