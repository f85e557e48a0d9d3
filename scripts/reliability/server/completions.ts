/** What the kill test observes from outside: every completion, recorded by the database itself, and every webhook. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openDatabase } from '../../../src/queue/database.ts'
import { schema } from '../../../src/queue/schema.ts'

export type RequestRow = {
  id: string
  status: string
  error: unknown
  parameters: Record<string, unknown>
  attempts: number
  losses: number
  completions: number
}

/** Records each change of a request to COMPLETED, and each request that is removed. The tables must exist. */
export async function recordCompletions(location: string) {
  const database = await openDatabase(location)
  await database.query(`
    create table completions (request uuid not null);
    create function record_completion() returns trigger language plpgsql as $$ begin
      if new.status = 'COMPLETED' then insert into completions values (new.id); end if;
      return new;
    end $$;
    create trigger record_completion after update of status on ${schema}.requests
      for each row execute function record_completion();`)
  await database.close()
}

export async function requestsIn(location: string): Promise<RequestRow[]> {
  const database = await openDatabase(location)
  try {
    return await database.query<RequestRow>(
      `select id, status, error, parameters, attempts, losses,
         (select count(*)::integer from completions where request = id) as completions
       from ${schema}.requests order by number`,
    )
  } finally {
    await database.close()
  }
}

/** A receiver of webhooks. */
export async function receiveWebhooks() {
  const received = new Map<string, string[]>()
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const { request_id, status } = JSON.parse(text) as { request_id: string; status: string }
    received.set(request_id, [...(received.get(request_id) ?? []), status])
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    /** The status of each call, by request. */
    received: received as ReadonlyMap<string, readonly string[]>,
    close: () => {
      server.closeAllConnections()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
