/** Which parameters of a resumed run may change. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { comparableContent, leftoverFiles } from '../../scripts/reliability/run-content.ts'
import { noise, tinyOptions, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import type { TrainOptions } from '../../src/config/settings.ts'
import { lockFileName, lockFolder } from '../../src/platform/lock.ts'
import { createRunReport } from '../../src/report/run-report.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { resumeTraining, train } from '../../src/train/train.ts'
import { inFolder, ltxA2a, spawnLtxA2a } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const run = (...args: string[]) => ltxA2a(args, { cwd: folder })
const options = { ...tinyOptions, rank: 8, learningRateSchedule: 'constant' } as const
const trained = (out: string, numberOfSteps: number) =>
  inFolder({ cwd: folder }, () => train({ ...options, numberOfSteps, out }))
const resumed = (path: string, changes: Partial<TrainOptions>) =>
  inFolder({ cwd: folder }, () => resumeTraining(path, { options: changes }))
const configOf = (name: string) => JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8'))

beforeAll(async () => {
  writeTinyData(folder)
  await trained('runs/short', 3)
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('a resumed run', () => {
  it.each<[flags: string[], message: RegExp]>([
    [['--rank', '16'], /rank was 8 and cannot become 16/],
    [['--seed', '7', '--alpha', '9'], /alpha was 8 and cannot become 9; seed was 42 and cannot become 7/],
    [['--target-modules', 'audio_attn1.to_q'], /target_modules was .* and cannot become \["audio_attn1\.to_q"\]/],
    [['--audio-duration-seconds', '0.6'], /audio_duration_seconds was 0\.5 and cannot become 0\.6/],
    [['--trigger-phrase', 'new'], /trigger_phrase was "" and cannot become "new"/],
    [['--out', 'elsewhere'], /out was "runs\/short" and cannot become "elsewhere"/],
    [['--alpha', '9'], /: alpha was 8 and cannot become 9\n/],
    [['--gradient-accumulation', '2'], /gradient_accumulation was 1 and cannot become 2/],
    [['--no-audio-normalize'], /audio_normalize was true and cannot become false/],
    [['--no-audio-preserve-pitch'], /audio_preserve_pitch was true and cannot become false/],
  ])('cannot change %j', async (flags, message) => {
    const { code, stderr } = await run('train', '--resume', 'runs/short', ...flags)
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
  })

  it('names the parameters of a program as the program does', async () => {
    await expect(resumed('runs/short', { gradientAccumulation: 2 })).rejects.toMatchObject({
      message: expect.stringContaining('gradientAccumulation was 1 and cannot become 2'),
    })
  })

  it('cannot change its data; the pairs that differ are named', async () => {
    cpSync(join(folder, 'pairs'), join(folder, 'other'), { recursive: true })
    for (const side of ['start', 'end']) writeFileSync(join(folder, 'other', `new_${side}.wav`), noise(`new ${side}`))
    writeFileSync(join(folder, 'other', 'hiss_end.wav'), noise('changed'))
    const { code, stderr } = await run('train', '--resume', 'runs/short', '--data', 'other')
    expect(stderr).toMatch(/is of another training: the pair new is new; the pair hiss has changed/)
    expect(code).toBe(2)
    expect(leftoverFiles(join(folder, 'runs/short'))).toEqual([]) // no lock either
  })

  it('cannot change one reference', async () => {
    cpSync(join(folder, 'pairs'), join(folder, 'reference'), { recursive: true })
    writeFileSync(join(folder, 'reference', 'wind_start.wav'), noise('changed'))
    await expect(resumed('runs/short', { data: 'reference' })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/is of another training: the pair wind has changed$/),
    })
  })

  it('cannot have fewer steps than it has completed', async () => {
    await expect(resumed('runs/short', { numberOfSteps: 2 })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/has done 3 steps, more than the number_of_steps 2/),
    })
  })

  it('can have more steps, which is recorded, and gives the same result as a run that had them from the start', async () => {
    await trained('uninterrupted', 6)
    const { code } = await run('train', '--resume', 'latest', '--number-of-steps', '6', '--checkpoint-interval', '100')
    expect(code).toBe(0)
    const lora = (name: string) => comparableContent(join(folder, name)).find((line) => line.startsWith('lora'))
    expect(lora('runs/short')).toBe(lora('uninterrupted'))
    expect(leftoverFiles(join(folder, 'runs/short'))).toEqual([])
    const { parameters, changes } = configOf('runs/short')
    expect(parameters).toMatchObject({ number_of_steps: 6, checkpoint_interval: 100, rank: 8 })
    expect(changes).toEqual([
      { after_step: 3, changed: { number_of_steps: { from: 3, to: 6 }, checkpoint_interval: { from: 250, to: 100 } } },
    ])
  })

  it('is refused while another process writes to it, even if the folder was moved', async () => {
    renameSync(join(folder, 'runs/short'), join(folder, 'moved'))
    const lock = lockFolder(join(folder, 'moved'))
    const text = readFileSync(join(folder, 'moved', lockFileName), 'utf8')
    const { code, stderr } = await spawnLtxA2a(['train', '--resume', 'moved'], { cwd: folder })
    expect(stderr).toMatch(new RegExp(`^error: moved is being written by process ${process.pid}`)) // the first line of the output
    expect(code).toBe(2)
    expect(readFileSync(join(folder, 'moved', lockFileName), 'utf8')).toBe(text)
    lock.release()
    expect(leftoverFiles(join(folder, 'moved'))).toEqual([])
    expect(existsSync(join(folder, 'runs/short'))).toBe(false)
  })
})

describe('the previews and the report of a resumed run', () => {
  const withPreviews = {
    ...{ ...options, numberOfSteps: 6, checkpointInterval: 2, previewInterval: 2, previewSteps: 1, previewCfg: 1 },
    validation: [{ referenceAudioUrl: 'ref.wav' }],
  }
  const previewsOf = (name: string) => readdirSync(join(folder, name, 'previews')).sort()
  const bytesOf = (...path: string[]) => readFileSync(join(folder, ...path))

  /** Runs with a report. @param stopAfter aborts the run after this step. @returns the events. */
  async function reported(
    work: (options: { signal: AbortSignal; onEvent: (event: TrainEvent) => Promise<void> }) => Promise<unknown>,
    stopAfter?: number,
  ): Promise<TrainEvent[]> {
    const [events, stop, report] = [[] as TrainEvent[], new AbortController(), createRunReport()]
    const onEvent = async (event: TrainEvent) => {
      events.push(event)
      if (event.type === 'step' && event.step === stopAfter) stop.abort()
      await report(event)
    }
    const done = inFolder({ cwd: folder }, () => work({ signal: stop.signal, onEvent }))
    await (stopAfter === undefined ? done : expect(done).rejects.toThrow('stopped after step'))
    return events
  }

  const infos = (events: TrainEvent[]) => events.flatMap((event) => (event.type === 'info' ? [event.message] : []))

  it('are those of an uninterrupted one, except for times', async () => {
    const whole = await reported((run) => train({ ...withPreviews, out: 'whole/run' }, run))
    const first = await reported((run) => train({ ...withPreviews, out: 'parts/run' }, run), 3)
    const second = await reported((run) => resumeTraining('parts/run', {}, run))
    const losses = (events: TrainEvent[]) =>
      events.flatMap((event) => (event.type === 'step' ? [[event.step, event.loss, event.smoothedLoss]] : []))
    expect(losses([...first, ...second])).toEqual(losses(whole))
    const page = (name: string) =>
      bytesOf(name, 'report.html')
        .toString()
        .replace(/<header>.*<\/header>/s, '')
        .replace(/<figure><figcaption><strong>Seconds per step.*?<\/figure>/s, '')
        .replace(/<dt>metrics\.jsonl.*?<\/dd>/, '')
    expect(page('parts/run')).toBe(page('whole/run'))
    expect(page('whole/run').match(/<audio/g)).toHaveLength(1 + 4)
    const verdicts = (name: string) => JSON.parse(bytesOf(name, 'verdicts.json').toString())
    expect(verdicts('parts/run')).toEqual(verdicts('whole/run'))
    expect(verdicts('whole/run').previews.map(({ word }: { word: unknown }) => word === null)).toEqual([
      ...[true, false, false, false],
    ])
  })

  it('are rendered again where a finished run is resumed with other settings of previews; earlier ones are kept', async () => {
    const [lora, earlier] = [bytesOf('parts/run/lora.safetensors'), bytesOf('parts/run/previews/preview-1-00006.wav')]
    const events = await reported((run) => resumeTraining('parts/run', { options: { previewSteps: 2 } }, run))
    expect(infos(events)).toContainEqual(
      expect.stringMatching(/^preview_steps changed: earlier previews are in .*until-00006$/),
    )
    expect(previewsOf('parts/run')).toEqual(['preview-1-00000.wav', 'preview-1-00006.wav', 'until-00006'])
    expect(bytesOf('parts/run/previews/until-00006/preview-1-00006.wav').equals(earlier)).toBe(true)
    expect(bytesOf('parts/run/lora.safetensors').equals(lora)).toBe(true)
    await reported((run) => train({ ...withPreviews, previewSteps: 2, out: 'other/run' }, run))
    for (const name of ['preview-1-00000.wav', 'preview-1-00006.wav'])
      expect(bytesOf('parts/run/previews', name).equals(bytesOf('other/run/previews', name))).toBe(true)
  })

  it('are not rendered again without a change, and a change without effect is reported', async () => {
    const again = await reported((run) => resumeTraining('other/run', {}, run))
    expect(again.filter(({ type }) => type === 'preview')).toEqual([])
    expect(infos(again).filter((message) => message.startsWith('No previews'))).toEqual([])
    const changed = await reported((run) => resumeTraining('other/run', { options: { previewInterval: 3 } }, run))
    expect(infos(changed)).toContain(
      'No previews are rendered with the changed preview_interval: all 6 steps are done, and the preview of the last one exists',
    )
    await trained('without-references', 1)
    const none = await reported((run) => resumeTraining('without-references', { options: { previewSteps: 2 } }, run))
    expect(infos(none)).toContain(
      'No previews are rendered with the changed preview_steps: the run has no --validation-reference',
    )
  })
})
