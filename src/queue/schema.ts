/** The tables of the queue beside those of pg-boss. */
import type { Database } from './database.ts'

/** The schemas of the tables here and of pg-boss. */
export const [schema, bossSchema] = ['ltx_a2a', 'ltx_a2a_pgboss']

/** Of an advisory lock, so that servers and workers that start at once create the tables one after another. Any number. */
const lockNumber = 4_802_303

/** Each is applied once, in order. They are never changed afterwards: a new one is appended. */
const migrations = [
  `create table ${schema}.requests (
    id uuid primary key,
    number bigint generated always as identity unique,
    kind text not null,
    endpoint text not null,
    input json not null,
    parameters json not null,
    priority text not null,
    start_timeout double precision,
    time_limit double precision,
    webhook text,
    status text not null default 'IN_QUEUE',
    submitted_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    cancel_requested boolean not null default false,
    worker text,
    attempts integer not null default 0,
    losses integer not null default 0,
    job uuid not null,
    claim uuid,
    progress json,
    output json,
    error json,
    webhook_attempts integer not null default 0,
    webhook_due timestamptz
  );
  create index on ${schema}.requests (status, number);
  create index on ${schema}.requests (webhook_due) where webhook_due is not null;
  create table ${schema}.logs (
    request uuid not null references ${schema}.requests on delete cascade,
    number bigint generated always as identity,
    line json not null,
    primary key (request, number)
  );`,
  `alter table ${schema}.requests
    add column worked_seconds double precision not null default 0,
    add column counted_at timestamptz;
  update ${schema}.requests set worked_seconds = extract(epoch from completed_at - started_at)
    where completed_at is not null and started_at is not null;`,
  `create table ${schema}.identity (id uuid not null);
  insert into ${schema}.identity values (gen_random_uuid());`,
  `alter table ${schema}.identity add column folder uuid;`,
]

/** Creates and updates the tables. */
export async function migrate(database: Database): Promise<void> {
  await database.transaction(async (query) => {
    await query(`select pg_advisory_xact_lock(${lockNumber})`)
    await query(`create schema if not exists ${schema}; create table if not exists ${schema}.version (applied integer)`)
    const [{ applied } = { applied: 0 }] = await query<{ applied: number }>(`select applied from ${schema}.version`)
    for (const migration of migrations.slice(applied)) await query(migration)
    await query(`delete from ${schema}.version; insert into ${schema}.version values (${migrations.length})`)
  })
}

/** What tells this queue from every other one. It is chosen when the tables are created. */
export async function queueId(database: Pick<Database, 'query'>): Promise<string> {
  const [row] = await database.query<{ id: string }>(`select id from ${schema}.identity`)
  return (row as NonNullable<typeof row>).id
}

/**
 * Says which data folder has the files of the requests. The first server of the queue decides.
 * @param folder the id of the folder of this server.
 * @returns the id of the folder that the queue belongs to.
 */
export async function bindFolder(database: Pick<Database, 'query'>, folder: string): Promise<string> {
  const [row] = await database.query<{ folder: string }>(
    `update ${schema}.identity set folder = coalesce(folder, $1) returning folder`,
    [folder],
  )
  return (row as NonNullable<typeof row>).folder
}
