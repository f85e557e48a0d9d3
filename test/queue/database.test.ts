/** Connections to a PostgreSQL server that break. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/queue/database.ts'
import { needs } from '../needs.ts'
import { hasPostgres, type Postgres, startPostgres } from './postgres.ts'

describe.skipIf(!hasPostgres)('a PostgreSQL server', needs('the server programs of PostgreSQL'), () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres?.stop())

  it('that is killed between two queries of a transaction fails the transaction, not the process', async () => {
    const database = await openDatabase(postgres.location)
    const broken = database.transaction(async (query) => {
      await query('create table kept (n integer)')
      await postgres.killAndRestart()
      await sleep(100)
      await query('insert into kept values (1)')
    })
    await expect(broken).rejects.toThrow()
    expect(await database.query("select to_regclass('kept') as kept")).toEqual([{ kept: null }])
    await database.close()
  })
})
