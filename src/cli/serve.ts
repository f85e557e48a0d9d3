/** `ltx-a2a serve`: the hosted trainer's API on one's own machine. */
import { once } from 'node:events'
import { join } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { UserError } from '../platform/errors.ts'
import type { LogLevel } from '../platform/log.ts'
import { homeFolder, systemFolder } from '../platform/user-folders.ts'
import { isPostgresUrl } from '../queue/postgres-url.ts'
import { addLogOptions, addQuietOption, pathOption } from './options.ts'
import { openLog, runCommand } from './run-command.ts'
import type { LogFormat } from './terminal/log-output.ts'

type ServeFlags = {
  host: string
  port: number
  data?: string
  key?: string
  publicUrl?: string
  trustProxy?: true
  queue?: string
  workers: number
  retention?: number
  allowLocalPaths?: true
  allowPrivateUrls?: true
  timeLimit?: number
  quiet?: true
  logFormat: LogFormat
  logLevel: LogLevel
}

export function addServe(program: Command) {
  const command = program
    .command('serve')
    .summary('a page and the API of the hosted trainer, on this machine')
    .description(
      "Serves a page to train on and the queue API of fal.ai's hosted trainer: its clients can submit, watch, cancel and download trainings here. Requests wait in a queue and are worked on one after another. What is running when the server stops goes on after the next start.",
    )
    .addHelpText('after', examples)
    .option('--host <address>', 'where to listen; other addresses than 127.0.0.1 need a key', '127.0.0.1')
    .addOption(new Option('--port <port>', 'the port to listen on').argParser(integer(0, 65_535)).default(7880))
    .addOption(pathOption('--data <folder>', "queue, uploads and runs (default: serve in the user's data folder)"))
    .addOption(new Option('--key <key>', 'what clients must send').env('LTX_A2A_KEY'))
    .option('--public-url <url>', 'where clients reach the server, if it is behind a proxy')
    .option('--trust-proxy', 'take the addresses of clients from X-Forwarded-For, which a proxy sets')
    .addOption(queueOption('a PostgreSQL server for the queue, postgres://… (default: embedded)'))
    .addOption(
      new Option('--workers <count>', 'how many requests are worked on at once, on this machine')
        .argParser(integer(0, 64))
        .default(1),
    )
    .addOption(
      new Option('--retention <days>', 'remove completed requests and their files after so many days').argParser(
        integer(1, 36_500),
      ),
    )
    .addOption(
      new Option('--time-limit <hours>', 'stop the work of a request after so many hours').argParser(
        integer(1, 100_000),
      ),
    )
    .option('--allow-local-paths', 'requests may name files of this machine')
    .option('--allow-private-urls', 'URLs in requests may lead to addresses of private networks and this machine')
  addQuietOption(command)
  addLogOptions(command)
  command.action(({ quiet, logFormat, logLevel, data, queue, retention, timeLimit, ...flags }: ServeFlags) => {
    const { log, output } = openLog({ quiet, logFormat, logLevel })
    return runCommand(
      { quiet, output },
      async ({ signal }) => {
        const { startService } = await import('../server/service.ts')
        const folder = data ?? dataFolder('serve')
        output.info(`Opening the ${queue === undefined ? 'queue' : 'files'} in ${folder}`)
        const service = await startService({
          ...{
            ...flags,
            data: folder,
            database: queue === undefined ? queue : postgresUrl(queue),
            retentionDays: retention,
          },
          timeLimit: timeLimit && 3600 * timeLimit,
          log,
        })
        if (!signal.aborted) await once(signal, 'abort')
        await service.close()
      },
      'stopping; what is running goes on after the next start',
    )
  })
}

/** Arguments of a process can be seen by others, and the URL may contain a password. */
export const queueOption = (help: string) => new Option('--queue <url>', help).env('LTX_A2A_QUEUE')

/** @throws UserError for another database. */
export function postgresUrl(text: string): string {
  if (isPostgresUrl(text)) return text
  throw new UserError('--queue is not a postgres:// URL', {
    hint: 'serve has an embedded database without it; worker needs the URL that serve has',
  })
}

/** A folder in the user's data folder. @throws UserError where there is none. */
export function dataFolder(name: string): string {
  const folder = systemFolder('data', process.env, process.platform, homeFolder())
  if (folder === undefined) throw new UserError('there is no home folder', { hint: 'name a folder with --data' })
  return join(folder, name)
}

const integer = (least: number, most: number) => (text: string) => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  return value
}

const examples = `
Examples:
  ltx-a2a serve
  ltx-a2a serve --data /srv/ltx --retention 30
  LTX_A2A_KEY=secret ltx-a2a serve --host 0.0.0.0 --public-url https://trainer.example.org`
