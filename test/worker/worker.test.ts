/** The worker with the built tool and a queue in memory. All trainings have the same parameters, so their runs must have the same bytes. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { comparableContent, leftoverFiles } from '../../scripts/reliability/run-content.ts'
import { writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { lockHolder } from '../../src/platform/lock.ts'
import { type JobFiles, localFiles } from '../../src/worker/job-files.ts'
import { startWorker } from '../../src/worker/worker.ts'
import { projectPath } from '../cli/bin.ts'
import { createFakeQueue, type FakeRequest, textOf, until } from './fake-claim.ts'

const dataFolder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const uploads = join(dataFolder, 'files', 'uploads', 'u')
const env = { LTX_A2A_CACHE: join(dataFolder, 'cache') }

beforeAll(() => {
  mkdirSync(uploads, { recursive: true })
  writeTinyData(uploads)
  writeFileSync(join(uploads, 'page.zip'), '<html>')
  cpSync(projectPath('fixtures/zips/valid/ten-pairs.zip'), join(uploads, 'short.zip'))
})
afterAll(() => rmSync(dataFolder, { recursive: true }))

const file = (name: string) => `server-file:uploads/u/${name}`

const parameters = {
  training_data_url: file('pairs'),
  audio_duration_seconds: 0.5,
  rank: 4,
  number_of_steps: 120, // so many that a training can be interrupted
  checkpoint_interval: 40,
  validation: [{ prompt: 'some wind', reference_audio_url: file('ref.wav') }],
  preview_interval: 0,
  preview_steps: 1,
  preview_cfg: 1,
  stg_scale: 0,
  debug_dataset: true,
  backend: 'wasm',
}

/** So long that no test waits for its end. */
const endless = { ...parameters, number_of_steps: 100_000, checkpoint_interval: 100_000 }

const start = (queue: ReturnType<typeof createFakeQueue>, pollMs = 20) =>
  startWorker({ queue, name: 'test', files: localFiles(dataFolder), env, pollMs, heartbeatMs: 50 })

/** Runs a worker until `isDone`. */
async function work(
  request: Parameters<ReturnType<typeof createFakeQueue>['add']>[0],
  during: (request: FakeRequest) => Promise<void>,
) {
  const queue = createFakeQueue()
  const added = queue.add(request)
  const worker = start(queue)
  try {
    await during(added)
  } finally {
    await worker.close()
  }
  return added
}

const isCompleted = ({ status }: FakeRequest) => status === 'COMPLETED'
const completed = (request: FakeRequest) => until(() => isCompleted(request))
const trainingBegan = (request: FakeRequest) =>
  until(() => request.steps.some(({ stage, done }) => stage === 'Training' && done > 0) || isCompleted(request))

const runOf = ({ id }: Pick<FakeRequest, 'id'>) => join(dataFolder, 'files', 'runs', id)

let undisturbed: FakeRequest
beforeAll(async () => {
  undisturbed = await work({ parameters }, completed)
}, 120_000)

it('a training is completed with the keys of its files, a log for people, and progress', () => {
  const { id, output, error, logs, steps } = undisturbed
  expect(error).toBeUndefined()
  expect(output).toEqual({
    lora_file: `runs/${id}/lora.safetensors`,
    config_file: `runs/${id}/config.json`,
    audio: `runs/${id}/audio.wav`,
    debug_dataset: `runs/${id}/debug_dataset.zip`,
  })
  for (const key of Object.values(output ?? {})) expect(existsSync(join(dataFolder, 'files', String(key)))).toBe(true)
  const log = textOf(undisturbed)
  expect(log).toMatch(/^Inspecting the dataset: 3 of 3 pairs usable/m)
  expect(log).toMatch(/^Memory: about /m)
  expect(log).toMatch(/^Training: \d+\/120 steps .*loss \d\.\d{4} · s\/step/m)
  expect(log).toMatch(/^Training: 120 steps, loss \d\.\d{4}$/m)
  expect(log).not.toContain(dataFolder)
  expect(logs.every(({ timestamp }) => !Number.isNaN(Date.parse(timestamp)))).toBe(true)
  expect(steps.some(({ stage, total, loss }) => stage === 'Training' && total === 120 && Number(loss) > 0)).toBe(true)
  expect(leftoverFiles(runOf(undisturbed))).toEqual([])
})

it.each([
  ['page.zip', { code: 'invalid_archive', msg: 'page.zip is not a zip archive' }],
  [
    'short.zip',
    {
      code: 'audio_duration_too_short',
      msg: expect.stringMatching(/^short\.zip: no pair has 5 s on both sides/),
      ctx: { min_duration: 5, provided_duration: 1 },
    },
  ],
  ['gone.zip', { code: 'file_download_error', msg: 'the file gone.zip is no longer on the server' }],
] as const)('%s: an input that cannot be used is a 422 with its field and type', async (name, { code, ...detail }) => {
  const { error } = await work(
    { parameters: { ...parameters, training_data_url: file(name), audio_duration_seconds: 5 } },
    completed,
  )
  expect(error).toEqual({
    status: 422,
    detail: [{ loc: ['body', 'training_data_url'].slice(0, 2), type: code, ...detail }],
  })
})

it('a parameter that does not fit the data is a 422 with its name', async () => {
  const { error } = await work(
    { parameters: { ...parameters, training_data_url: file('short.zip'), holdout: 9 } },
    completed,
  )
  expect(error).toMatchObject({ status: 422, detail: [{ loc: ['body', 'holdout'], type: 'value_error' }] })
})

it('a key that leads out of the files is refused', async () => {
  const { error } = await work({ parameters: { ...parameters, training_data_url: 'server-file:../cache' } }, completed)
  expect(error).toMatchObject({ status: 422, detail: [{ type: 'file_download_error' }] })
})

it('a cancelled training stops after its step, fails as cancelled, and can be resumed', async () => {
  const request = await work({ parameters: endless }, async (request) => {
    await trainingBegan(request)
    request.cancelRequested = true
    await completed(request)
  })
  expect(request.error).toEqual({ status: 499, detail: 'Request was cancelled', type: 'client_cancelled' })
  expect(textOf(request)).toMatch(/^Cancelled after step \d+; the run is kept$/m)
  expect(readdirSync(runOf(request))).toContain('state.safetensors')
  expect(lockHolder(runOf(request))).toBeUndefined()
})

it('a training that takes longer than its time limit stops and fails', async () => {
  const request = await work({ parameters: endless, timeLimit: 0.01 }, completed)
  expect(request.error).toEqual({
    status: 504,
    detail: 'Request exceeded its time limit of 0.01 s',
    type: 'request_timeout',
  })
})

it('the time limit counts the work, not the time that a request waits between two workers', async () => {
  const short = { ...parameters, number_of_steps: 2, checkpoint_interval: 0 }
  const startedAt = new Date(Date.now() - 24 * 3600 * 1000)
  const waited = await work({ parameters: short, startedAt, workedSeconds: 5, timeLimit: 3600 }, completed)
  expect(waited.error).toBeUndefined()
  const worked = await work(
    { parameters: endless, startedAt: new Date(), workedSeconds: 3601, timeLimit: 3600 },
    completed,
  )
  expect(worked.error).toMatchObject({ status: 504, type: 'request_timeout' })
})

it('a request that another worker has is left at once: its process is killed, and nothing is written', async () => {
  const request = await work({ parameters: endless }, async (request) => {
    await trainingBegan(request)
    request.isLost = true
    await until(() => lockHolder(runOf(request)) === 'gone')
  })
  expect(readdirSync(runOf(request))).not.toContain('state.safetensors')
  expect([request.status, request.releases, request.error, request.output]).toEqual([
    'IN_PROGRESS',
    0,
    undefined,
    undefined,
  ])
})

it('a worker that is closed releases its training, and another goes on: the run has the same bytes, although the database was down', async () => {
  const queue = createFakeQueue()
  const request = queue.add({ parameters })
  const first = start(queue)
  await trainingBegan(request)
  await first.close()
  expect([request.status, request.releases]).toEqual(['IN_QUEUE', 1])
  queue.isDown = true
  const second = start(queue)
  await sleep(100)
  queue.isDown = false
  await until(() => request.status === 'IN_PROGRESS')
  queue.isDown = true
  await sleep(300)
  queue.isDown = false
  await completed(request)
  await second.close()
  expect(request.error).toBeUndefined()
  expect(textOf(request)).toMatch(/^Resuming after step \d+$/m)
  expect(comparableContent(runOf(request))).toEqual(comparableContent(runOf(undisturbed)))
})

it('the process of a worker that is killed ends, and another worker goes on: the run has the same bytes', async () => {
  const id = randomUUID()
  const args = ['--import', 'tsx', projectPath('test/worker/killed-worker.ts'), dataFolder]
  const slow = { ...parameters, number_of_steps: 120 }
  const worker = spawn(process.execPath, [...args, JSON.stringify({ id, parameters: slow })], {
    env: { ...process.env, ...env },
    stdio: 'inherit',
  })
  const closed = new Promise((resolve) => worker.on('close', resolve))
  const run = runOf({ id })
  const metrics = join(run, 'metrics.jsonl')
  await until(
    () => worker.exitCode !== null || (existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"step":2')),
  )
  expect(lockHolder(run)).toMatch(/^process \d+$/)
  worker.kill('SIGKILL')
  await closed
  const request = await work({ id, parameters: slow, attempts: 1 }, completed)
  expect(request.error).toBeUndefined()
  expect(textOf(request)).toMatch(/^Resuming after step \d+$/m)
  expect(comparableContent(run)).toEqual(comparableContent(runOf(undisturbed)))
})

it('a process that the system kills is an internal error that says so', async () => {
  const request = await work({ parameters: endless }, async (request) => {
    await trainingBegan(request)
    process.kill(Number(lockHolder(runOf(request))?.split(' ')[1]), 'SIGKILL')
    await completed(request)
  })
  expect(request.error).toEqual({
    status: 500,
    detail: 'The process was killed (SIGKILL), probably because memory ran out',
    type: 'internal_error',
  })
})

it('a training that is finished waits until it is saved, and then its copy is removed', async () => {
  const local = localFiles(dataFolder)
  const calls: string[] = []
  let failures = 3
  const files: JobFiles = {
    open: async (id, attempt) => ({
      ...(await local.open(id, attempt)),
      load: async () => void calls.push('load'),
      save: async () => {
        if (failures-- > 0) throw new Error('the server is down')
        calls.push(`save ${request.status}`)
      },
    }),
    discard: async () => void calls.push(`discard ${request.status}`),
    freeBytes: () => Number.POSITIVE_INFINITY,
  }
  const queue = createFakeQueue()
  const request = queue.add({ parameters: { ...parameters, number_of_steps: 2, checkpoint_interval: 0 } })
  const worker = startWorker({ queue, name: 'test', files, env, pollMs: 20, heartbeatMs: 50 })
  await completed(request)
  await worker.close()
  expect(calls).toEqual(['load', 'save IN_PROGRESS', 'discard COMPLETED'])
  expect(request.output).toMatchObject({ lora_file: `runs/${request.id}/lora.safetensors` })
})

it('a recording is transformed with the LoRA of a training', async () => {
  const parameters = {
    inputs: [file('ref.wav')],
    lora: [`server-file:runs/${undisturbed.id}/lora.safetensors`],
    prompt: '--force of wind',
    ...{ steps: 1, cfg: 1, stg_scale: 0, backend: 'wasm' },
  }
  const { id, output, error } = await work({ kind: 'apply', parameters }, completed)
  expect(error).toBeUndefined()
  expect(output).toEqual({ audio: `runs/${id}/ref.wav`, audio_files: [`runs/${id}/ref.wav`] })
})
