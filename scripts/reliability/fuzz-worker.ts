/** The worker process of the fuzzer. It announces each input before it reads it, so that the parent can attribute hangs and crashes. */
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../../src/platform/errors.ts'
import { randomFor } from '../../src/platform/random.ts'
import { type FormatName, makeFormat } from './formats.ts'

export type WorkerTask = {
  format: FormatName
  seed: number
  from: number
  to: number
  folder: string
  forbidden: string[]
}

export type WorkerMessage =
  | { kind: 'next'; index: number }
  | { kind: 'finding'; index: number; what: string }
  | { kind: 'done'; index: number; refused: boolean; seconds: number; peakMib: number }
  | { kind: 'end' }

const task = JSON.parse(process.argv[2] ?? '') as WorkerTask
const send = (message: WorkerMessage) => process.send?.(message)

let index = task.from
process.on('uncaughtException', (error) => {
  send({ kind: 'finding', index, what: `crashed: ${error.stack}` })
  process.exitCode = 1
  process.disconnect?.()
})

const inputs = join(task.folder, 'input')
const temp = join(task.folder, 'temp')
mkdirSync(inputs, { recursive: true })
mkdirSync(temp, { recursive: true })
process.env.TMPDIR = temp

const format = await makeFormat(task.format, join(task.folder, 'seeds'), task.forbidden)
const environment = () =>
  JSON.stringify([Object.getOwnPropertyNames(Object.prototype), readdirSync(task.folder).sort()])
const before = environment()

for (; index < task.to; index++) {
  send({ kind: 'next', index })
  const path = write(format.make(randomFor(task.seed, task.format, index)))
  const started = performance.now()
  let refused = false
  try {
    await format.use(path)
  } catch (error) {
    refused = error instanceof UserError
    if (!refused) send({ kind: 'finding', index, what: String((error as Error)?.stack ?? error) })
  }
  const seconds = (performance.now() - started) / 1000
  if (seconds > 5) send({ kind: 'finding', index, what: `took ${seconds.toFixed(1)} s` })
  rmSync(path, { force: true })
  const left = readdirSync(temp)
  if (left.length > 0) {
    send({ kind: 'finding', index, what: `left ${left.join(', ')} in the temporary folder` })
    for (const name of left) rmSync(join(temp, name), { recursive: true })
  }
  if (environment() !== before) send({ kind: 'finding', index, what: `changed the environment: ${environment()}` })
  const peakMib = process.resourceUsage().maxRSS / 1024
  send({ kind: 'done', index, refused, seconds, peakMib })
}
send({ kind: 'end' })

function write({ bytes, name, size }: { bytes: Uint8Array; name: string; size?: number }): string {
  const path = join(inputs, name)
  const fd = openSync(path, 'w')
  try {
    writeSync(fd, bytes)
    if (size !== undefined && size > bytes.length) ftruncateSync(fd, size)
  } finally {
    closeSync(fd)
  }
  return path
}
