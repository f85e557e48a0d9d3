/** `ltx-a2a worker`: work on the requests of a server, on another machine. */
import { once } from 'node:events'
import { hostname } from 'node:os'
import { type Command, Option } from 'commander'
import { TransientError } from '../net/retry.ts'
import { UserError } from '../platform/errors.ts'
import type { LogLevel } from '../platform/log.ts'
import { addLogOptions, addQuietOption, pathOption } from './options.ts'
import { openLog, runCommand } from './run-command.ts'
import { dataFolder, postgresUrl, queueOption } from './serve.ts'
import type { LogFormat } from './terminal/log-output.ts'

type WorkerFlags = {
  queue?: string
  server?: string
  key?: string
  data?: string
  name: string
  allowPrivateUrls?: true
  quiet?: true
  logFormat: LogFormat
  logLevel: LogLevel
}

export function addWorker(program: Command) {
  const command = program
    .command('worker')
    .summary('work on the requests of a server, on another machine')
    .description(
      'Takes requests of ltx-a2a serve from its queue, one after another, and works on them on this machine. With --server, inputs come from the server, and runs are saved there with every checkpoint. Without it, --data is the data folder of the server, on a disk that both share. When the worker ends, another one goes on with what it had.',
    )
    .addHelpText('after', examples)
    .addOption(queueOption('the PostgreSQL server of the queue, postgres://…'))
    .option('--server <url>', 'the server, http://… or https://… (default: its data folder is shared)')
    .addOption(new Option('--key <key>', 'the key of the server').env('LTX_A2A_KEY'))
    .addOption(
      pathOption(
        '--data <folder>',
        "for what it works on (default: worker in the user's data folder); without --server, that of the server",
      ),
    )
    .addOption(
      new Option('--name <name>', 'shown with the requests that it has').default(
        hostname(),
        'the name of this machine',
      ),
    )
    .option('--allow-private-urls', 'URLs in requests may lead to addresses of private networks and this machine')
  addQuietOption(command)
  addLogOptions(command)
  command.action(({ quiet, logFormat, logLevel, data, queue, ...flags }: WorkerFlags) => {
    const { log, output } = openLog({ quiet, logFormat, logLevel })
    return runCommand(
      { quiet, output },
      async ({ signal }) => {
        const places = placesOf({ queue, data, server: flags.server })
        const { startRemoteWorker } = await import('../worker/remote-worker.ts')
        const worker = await startRemoteWorker({
          ...{ ...flags, ...places, signal },
          onError: (error) => log('warn', 'retried_error', ...retried(error)),
          log,
        })
        if (!signal.aborted) await once(signal, 'abort')
        await worker.close()
      },
      'stopping; what is running goes on with another worker, or after the next start',
    )
  })
}

/** @throws UserError for flags that do not say where the requests or their files are. */
function placesOf({ queue, data, server }: Pick<WorkerFlags, 'queue' | 'data' | 'server'>) {
  if (queue === undefined)
    throw new UserError('there is no --queue', { hint: 'give the URL that serve has, with --queue or LTX_A2A_QUEUE' })
  if (server === undefined && data === undefined)
    throw new UserError('there is neither --server nor --data', {
      hint: 'name the server with --server, or its data folder, which both share, with --data',
    })
  return { queue: postgresUrl(queue), data: data ?? dataFolder('worker') }
}

/** What is not a fault of this tool needs no stack. */
function retried(error: unknown): [string, { error?: Error }] {
  if (!(error instanceof Error)) return [String(error), {}]
  const isExpected = error instanceof TransientError || error instanceof UserError
  return [error.message, isExpected ? {} : { error }]
}

const examples = `
Examples:
  LTX_A2A_KEY=secret ltx-a2a worker --queue postgres://ltx@db/ltx --server https://trainer.example.org
  ltx-a2a worker --queue postgres://ltx@db/ltx --server http://10.0.0.5:7880 --data /scratch/ltx --name gpu-2
  LTX_A2A_QUEUE=postgres://ltx@db/ltx ltx-a2a worker --data /mnt/ltx`
