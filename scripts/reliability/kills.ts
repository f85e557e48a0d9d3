/**
 * Runs the built tool, kills each run several times with SIGKILL at random times, resumes it to its end, and compares the result with an uninterrupted
 * run. Every run has a fresh cache, so that encoding and writing to the cache are killed, too.
 */
import { existsSync, type FSWatcher, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Random, randomFor } from '../../src/platform/random.ts'
import { comparableContent, leftoverFiles } from './run-content.ts'
import { tinyRun, writeTinyData } from './tiny-data.ts'
import { type RunningTool, startTool } from './tool.ts'

/** What the process was doing when it was killed. */
export type KillPoint = 'before its first step' | 'while training' | 'while writing a file'

export type KillReport = {
  kills: Record<KillPoint, number>
  /** The number of runs that were killed at least once and gave the same bytes as the uninterrupted run. */
  runs: number
  /** The differences of the other runs. */
  failures: string[]
}

export type KillOptions = {
  folder: string
  kills: number
  seed?: number
  /** The number of kills of each run. Default: random, from 1 to 5. */
  killsPerRun?: number
  /** The number of training steps of each run. */
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
  const uninterrupted = await uninterruptedRun(folder, command)
  const report: KillReport = { kills: { ...noKills }, runs: 0, failures: [] }
  const done = () => Object.values(report.kills).reduce((sum, count) => sum + count)
  for (let number = 1; done() < kills; number++) {
    const run = `run-${number}`
    const killCount = Math.min(killsPerRun ?? 1 + Math.floor(5 * random.uniform()), kills - done())
    const killPoints = await killedRun(folder, run, { command, killCount, random, seconds: uninterrupted.seconds })
    for (const killPoint of killPoints) report.kills[killPoint]++
    const differs = await differences(folder, run, { command, uninterrupted: uninterrupted.content })
    if (differs.length > 0) report.failures.push(`${run}: ${differs.join('; ')}`)
    else if (killPoints.length > 0) report.runs++
    onRun?.(`${run}: ${killPoints.join(', ') || 'exited before its kill'}${differs.length > 0 ? ', DIFFERS' : ''}`)
    if (differs.length === 0) rmSync(join(folder, run), { recursive: true })
    rmSync(cacheOf(folder, run), { recursive: true, force: true })
  }
  return report
}

const noKills: Record<KillPoint, number> = {
  'before its first step': 0,
  'while training': 0,
  'while writing a file': 0,
}

const cacheOf = (folder: string, run: string) => join(folder, `cache-${run}`)

type Command = (run: string) => string[]

const trainCommand = (run: string, steps: number, backend: string) => [
  ...['train', ...tinyRun, '--rank', '16', '--number-of-steps', String(steps), '--checkpoint-interval', '2'],
  ...['--validation-reference', 'ref.wav', '--validation-prompt', 'noise', '--preview-steps', '1'],
  ...['--holdout-data', 'held-out', '--holdout-previews', '0', '--eval-interval', '4', '--ema', '0.9'],
  ...['--preview-interval', String(Math.ceil(steps / 2)), '--backend', backend, '--out', run],
]

async function uninterruptedRun(folder: string, command: Command) {
  const run = 'uninterrupted'
  const { code, output, seconds } = await startTool(command(run), { cwd: folder, cache: cacheOf(folder, run) }).exited
  if (code !== 0) throw new Error(`the uninterrupted run exited with ${code}: ${output}`)
  return { content: comparableContent(join(folder, run)), seconds }
}

/** Starts a run and kills it repeatedly. Stops early when the run finishes. */
async function killedRun(
  folder: string,
  run: string,
  { command, killCount, random, seconds }: { command: Command; killCount: number; random: Random; seconds: number },
): Promise<KillPoint[]> {
  const path = join(folder, run)
  mkdirSync(path)
  const killPoints: KillPoint[] = []
  while (killPoints.length < killCount) {
    const stepsBefore = stepsIn(path)
    const tool = startTool(commandFor(path, run, command), { cwd: folder, cache: cacheOf(folder, run) })
    await killAtRandomTime(tool, path, random, seconds)
    const { signal, code, output } = await tool.exited
    if (signal === null && code !== 0) throw new Error(`${run} exited with ${code}: ${output}`)
    if (signal === null) return killPoints
    killPoints.push(killPointOf(path, stepsBefore))
  }
  return killPoints
}

const commandFor = (path: string, run: string, command: Command) =>
  existsSync(join(path, 'config.json')) ? ['train', '--resume', run] : command(run)

/** One third of the kills come at any time, one third during training, and one third while a file is being written. */
async function killAtRandomTime(tool: RunningTool, path: string, random: Random, seconds: number) {
  const [kind, moment] = [Math.floor(3 * random.uniform()), random.uniform()]
  const exited = new AbortController()
  void tool.exited.finally(() => exited.abort())
  const pause = (seconds: number) => sleep(1000 * seconds, undefined, { signal: exited.signal }).catch(() => {})
  if (kind === 0) await pause(moment * seconds)
  else {
    const isDuringWrite = kind === 2
    await waitForWrites(
      path,
      exited.signal,
      isDuringWrite ? /\.safetensors\.\d+\.tmp$/ : /^metrics\.jsonl$/,
      1 + Math.floor(8 * moment),
    )
    if (!isDuringWrite) await pause((moment * seconds) / 4)
  }
  tool.kill('SIGKILL')
}

/** Waits until files whose name matches were changed the given number of times. */
function waitForWrites(path: string, signal: AbortSignal, name: RegExp, times: number): Promise<void> {
  let watcher: FSWatcher | undefined
  return new Promise<void>((resolve) => {
    let count = 0
    signal.addEventListener('abort', () => resolve())
    watcher = watch(path, (_, file) => {
      if (file && name.test(file) && ++count >= times) resolve()
    })
  }).finally(() => watcher?.close())
}

function killPointOf(path: string, stepsBefore: number): KillPoint {
  const hasTempFile = (readdirSync(path, { recursive: true, encoding: 'utf8' }) as string[]).some((file) =>
    file.endsWith('.tmp'),
  )
  if (hasTempFile) return 'while writing a file'
  return stepsIn(path) > Math.max(0, stepsBefore) ? 'while training' : 'before its first step'
}

function stepsIn(path: string): number {
  const metrics = join(path, 'metrics.jsonl')
  return existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0
}

/** Resumes the run to its end. @returns its differences from the uninterrupted run. */
async function differences(
  folder: string,
  run: string,
  { command, uninterrupted }: { command: Command; uninterrupted: string[] },
): Promise<string[]> {
  const path = join(folder, run)
  const { code, output } = await startTool(commandFor(path, run, command), { cwd: folder, cache: cacheOf(folder, run) })
    .exited
  if (code !== 0) return [`exited with ${code}: ${output.split('\n').slice(-5).join(' | ')}`]
  const content = comparableContent(path)
  return [
    ...uninterrupted.filter((line) => !content.includes(line)).map((line) => `lacks ${line}`),
    ...content.filter((line) => !uninterrupted.includes(line)).map((line) => `has ${line}`),
    ...(content.length === uninterrupted.length ? [] : [`has ${content.length} lines, not ${uninterrupted.length}`]),
    ...leftoverFiles(path).map((file) => `left ${file} behind`),
  ].slice(0, 6)
}
