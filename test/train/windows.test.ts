/** Whole trainings on pairs that are longer than a clip. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noise } from '../../scripts/reliability/tiny-data.ts'
import { decodeWav, encodeWav } from '../../src/audio/wav.ts'
import type { TrainOptions } from '../../src/config/settings.ts'
import type { StepEvent, TrainEvent } from '../../src/train/events.ts'
import { resumeTraining, train } from '../../src/train/train.ts'
import { inFolder } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

beforeAll(() => {
  mkdirSync(join(folder, 'pairs'))
  for (const [name, seconds] of [
    ['long', 2.3],
    ['short', 0.6],
  ] as const)
    for (const side of ['start', 'end'])
      writeFileSync(join(folder, 'pairs', `${name}_${side}.wav`), noise(name + side, seconds))
})

const options = {
  ...{ data: 'pairs', audioDurationSeconds: 0.5, rank: 4, learningRate: 0.01, numberOfSteps: 6 },
  ...{ checkpointInterval: 2, previewInterval: 0, backend: 'wasm' },
} satisfies TrainOptions

async function trained(out: string, windows: 'first' | 'all' | 'random', stopAfter = Number.POSITIVE_INFINITY) {
  const steps: StepEvent[] = []
  const controller = new AbortController()
  const onEvent = (event: TrainEvent) => {
    if (event.type !== 'step') return
    steps.push(event)
    if (event.step === stopAfter) controller.abort()
  }
  await inFolder({ cwd: folder }, () =>
    train({ ...options, windows, out }, { onEvent, signal: controller.signal }),
  ).catch((error) => {
    if (stopAfter > options.numberOfSteps) throw error
  })
  return steps
}

const resumed = (path: string) => inFolder({ cwd: folder }, () => resumeTraining(path))

const loraOf = (run: string) => readFileSync(join(folder, run, 'lora.safetensors'))

describe('a training with --windows all', () => {
  it('goes through all clips of all pairs', async () => {
    const steps = await trained('all', 'all')
    const names = ['long (1 of 4)', 'long (2 of 4)', 'long (3 of 4)', 'long (4 of 4)', 'short']
    expect(
      steps
        .slice(0, 5)
        .flatMap(({ pairs }) => pairs)
        .sort(),
    ).toEqual(names)
  })

  it('gives the same bytes after an interruption', async () => {
    await trained('all-stopped', 'all', 3)
    await resumed('all-stopped')
    expect(loraOf('all-stopped').equals(loraOf('all'))).toBe(true)
  })
})

describe('a training with --windows random', () => {
  it('uses other clips of long pairs than --windows first, and the same ones of short pairs', async () => {
    const [first, random] = [await trained('first', 'first'), await trained('random', 'random')]
    expect(random.map(({ pairs }) => pairs)).toEqual(first.map(({ pairs }) => pairs))
    expect(random.map(({ sigmas }) => sigmas)).toEqual(first.map(({ sigmas }) => sigmas))
    const at = random.findIndex(({ pairs }) => pairs[0] === 'long')
    expect(random[at]?.loss).not.toBe(first[at]?.loss)
    expect(loraOf('random').equals(loraOf('first'))).toBe(false)
  })

  it('gives the same bytes after an interruption', async () => {
    await trained('random-stopped', 'random', 3)
    await resumed('random-stopped')
    expect(loraOf('random-stopped').equals(loraOf('random'))).toBe(true)
  })

  it('is not continued when a recording has changed after its first clip', async () => {
    await trained('random-changed', 'random', 3)
    const path = join(folder, 'pairs', 'long_end.wav')
    const before = readFileSync(path)
    const waveform = decodeWav(before)
    waveform.channels[0]?.fill(0.1, 30_000)
    writeFileSync(path, encodeWav(waveform))
    try {
      await expect(resumed('random-changed')).rejects.toThrow('the pair long has changed')
    } finally {
      writeFileSync(path, before)
    }
  })
})
