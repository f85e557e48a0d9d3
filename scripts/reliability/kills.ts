/**
 * Real trainings, killed with SIGKILL at random moments, several times each, then resumed to their end and compared with one that was left alone.
 * Every run has a fresh cache, so that kills also meet encoding and the cache's own writing.
 */
import { existsSync, type FSWatcher, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Random, randomFor } from '../../src/platform/random.ts'
import { essenceOf, remainsOf } from './essence.ts'
import { tinyRun, writeTinyData } from './tiny-data.ts'
import { type Running, start } from './tool.ts'

/** What the killed process had come to. */
export type Moment = 'before its first step' | 'while training' | 'while writing a file'

export type KillReport = {
  kills: Record<Moment, number>
  /** Runs that were killed at least once, and then ended in the same bytes. */
  runs: number
  /** Of each run that did not, what differed. */
  failures: string[]
}

export type KillOptions = {
  folder: string
  kills: number
  seed?: number
  /** Of each run; by default between one and five. */
  killsPerRun?: number
  /** Of each run. */
  steps?: number
  backend?: string
  onRun?: (line: string) => void
}

export async function killTest({
  folder,
  kills,
  seed = 1,
  killsPerRun,
  steps = 24,
  backend = 'auto',
  onRun,
}: KillOptions): Promise<KillReport> {
  writeTinyData(folder)
  const random = randomFor(seed, 'kills')
  const command = (run: string) => trainCommand(run, steps, backend)
  const alone = await leftAlone(folder, command)
  const report: KillReport = { kills: { ...nothing }, runs: 0, failures: [] }
  const done = () => Object.values(report.kills).reduce((sum, count) => sum + count)
  for (let number = 1; done() < kills; number++) {
    const run = `run-${number}`
    const wanted = Math.min(killsPerRun ?? 1 + Math.floor(5 * random.uniform()), kills - done())
    const moments = await killedRun(folder, run, { command, wanted, random, seconds: alone.seconds })
    for (const moment of moments) report.kills[moment]++
    const differs = await differences(folder, run, { command, alone: alone.essence })
    if (differs.length > 0) report.failures.push(`${run}: ${differs.join('; ')}`)
    else if (moments.length > 0) report.runs++
    onRun?.(`${run}: ${moments.join(', ') || 'ended before its kill'}${differs.length > 0 ? ', DIFFERS' : ''}`)
    if (differs.length === 0) rmSync(join(folder, run), { recursive: true })
    rmSync(cacheOf(folder, run), { recursive: true, force: true })
  }
  return report
}

const nothing: Record<Moment, number> = { 'before its first step': 0, 'while training': 0, 'while writing a file': 0 }

const cacheOf = (folder: string, run: string) => join(folder, `cache-${run}`)

type Command = (run: string) => string[]

const trainCommand = (run: string, steps: number, backend: string) => [
  ...['train', ...tinyRun, '--rank', '16', '--number-of-steps', String(steps), '--checkpoint-interval', '2'],
  ...['--validation-reference', 'ref.wav', '--validation-prompt', 'noise', '--preview-steps', '1'],
  ...['--preview-interval', String(Math.ceil(steps / 2)), '--backend', backend, '--out', run],
]

async function leftAlone(folder: string, command: Command) {
  const run = 'alone'
  const { code, said, seconds } = await start(command(run), { cwd: folder, cache: cacheOf(folder, run) }).ended
  if (code !== 0) throw new Error(`the run that was left alone ended with ${code}: ${said}`)
  return { essence: essenceOf(join(folder, run)), seconds }
}

/** Starts a run and kills it, again and again; stops early where it comes to its end. */
async function killedRun(
  folder: string,
  run: string,
  { command, wanted, random, seconds }: { command: Command; wanted: number; random: Random; seconds: number },
): Promise<Moment[]> {
  const path = join(folder, run)
  mkdirSync(path)
  const moments: Moment[] = []
  while (moments.length < wanted) {
    const stepsBefore = stepsIn(path)
    const tool = start(commandFor(path, run, command), { cwd: folder, cache: cacheOf(folder, run) })
    await killAtRandom(tool, path, random, seconds)
    const { signal, code, said } = await tool.ended
    if (signal === null && code !== 0) throw new Error(`${run} ended with ${code}: ${said}`)
    if (signal === null) return moments
    moments.push(momentOf(path, stepsBefore))
  }
  return moments
}

const commandFor = (path: string, run: string, command: Command) =>
  existsSync(join(path, 'config.json')) ? ['train', '--resume', run] : command(run)

/** A third anywhere, a third in the midst of training, a third as soon as a half-written file is seen. */
async function killAtRandom(tool: Running, path: string, random: Random, seconds: number) {
  const [kind, moment] = [Math.floor(3 * random.uniform()), random.uniform()]
  const ended = new AbortController()
  void tool.ended.finally(() => ended.abort())
  const pause = (seconds: number) => sleep(1000 * seconds, undefined, { signal: ended.signal }).catch(() => {})
  if (kind === 0) await pause(moment * seconds)
  else {
    const isHalf = kind === 2
    await seen(path, ended.signal, isHalf ? /\.safetensors\.\d+\.tmp$/ : /^metrics\.jsonl$/, 1 + Math.floor(8 * moment))
    if (!isHalf) await pause((moment * seconds) / 4)
  }
  tool.kill('SIGKILL')
}

/** Waits until a file of such a name was touched so many times. */
function seen(path: string, signal: AbortSignal, name: RegExp, times: number): Promise<void> {
  let watcher: FSWatcher | undefined
  return new Promise<void>((resolve) => {
    let count = 0
    signal.addEventListener('abort', () => resolve())
    watcher = watch(path, (_, file) => {
      if (file && name.test(file) && ++count >= times) resolve()
    })
  }).finally(() => watcher?.close())
}

function momentOf(path: string, stepsBefore: number): Moment {
  const isHalfWritten = (readdirSync(path, { recursive: true, encoding: 'utf8' }) as string[]).some((file) =>
    file.endsWith('.tmp'),
  )
  if (isHalfWritten) return 'while writing a file'
  return stepsIn(path) > Math.max(0, stepsBefore) ? 'while training' : 'before its first step'
}

function stepsIn(path: string): number {
  const metrics = join(path, 'metrics.jsonl')
  return existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0
}

/** Resumes the run to its end and says what is not as it should be. */
async function differences(
  folder: string,
  run: string,
  { command, alone }: { command: Command; alone: string[] },
): Promise<string[]> {
  const path = join(folder, run)
  const { code, said } = await start(commandFor(path, run, command), { cwd: folder, cache: cacheOf(folder, run) }).ended
  if (code !== 0) return [`ended with ${code}: ${said.split('\n').slice(-5).join(' | ')}`]
  const essence = essenceOf(path)
  return [
    ...alone.filter((line) => !essence.includes(line)).map((line) => `lacks ${line}`),
    ...essence.filter((line) => !alone.includes(line)).map((line) => `has ${line}`),
    ...(essence.length === alone.length ? [] : [`has ${essence.length} lines, not ${alone.length}`]),
    ...remainsOf(path).map((file) => `left ${file} behind`),
  ].slice(0, 6)
}
