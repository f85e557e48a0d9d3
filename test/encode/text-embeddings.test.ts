/** Training without a text encoder: with encoded captions from a file or from the cache of an earlier run. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import type { TrainOptions } from '../../src/config/settings.ts'
import { openTextEmbeddings } from '../../src/encode/captions.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { openBase } from '../../src/model/base-model.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { train } from '../../src/train/train.ts'
import { inFolder, ltxA2a, projectPath } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-embeddings-'))
const model = projectPath('test/base/ltx-2.3-tiny-audio.safetensors')
const textEncoder = projectPath('test/base/gemma3-tiny')

beforeAll(() => {
  mkdirSync(join(folder, 'pairs'))
  for (const name of ['hiss', 'rush']) {
    for (const side of ['start', 'end']) writeFileSync(join(folder, 'pairs', `${name}_${side}.wav`), noise(name + side))
    writeFileSync(join(folder, 'pairs', `${name}.txt`), `some ${name}`)
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

const noise = (name: string) =>
  encodeWav({ sampleRate: 16_000, channels: [normals(randomFor(1, name), 9600).map((value) => value / 10)] })

/** Runs `ltx-a2a` with the named cache folder. */
const run = (cache: string, ...args: string[]) =>
  ltxA2a(args, { cwd: folder, env: { LTX_A2A_CACHE: join(folder, cache) } })

const job = ['--data', 'pairs', '--trigger-phrase', 'n0ise']
const training = [...job, '--audio-duration-seconds', '0.5', '--rank', '4', '--number-of-steps', '3']
const lora = (out: string) => readFileSync(join(folder, out, 'lora.safetensors'))

describe('a run without a text encoder', () => {
  it('produces the same LoRA with encoded captions from a file or from the cache of an earlier run', async () => {
    const trained = async (cache: string, out: string, texts: Pick<TrainOptions, 'textEncoder' | 'textEmbeddings'>) => {
      const sizes = { audioDurationSeconds: 0.5, rank: 8, numberOfSteps: 3 } as const
      const options = { data: 'pairs', triggerPhrase: 'n0ise', ...sizes, model, ...texts, out }
      await inFolder({ cwd: folder, env: { LTX_A2A_CACHE: join(folder, cache) } }, () => train(options))
      return lora(out)
    }
    const whole = await trained('a', 'whole', { textEncoder })
    expect((await trained('a', 'again', {})).equals(whole)).toBe(true)

    const encoded = await run('b', 'encode-captions', ...job, '--model', model, '--text-encoder', textEncoder)
    expect([encoded.code, encoded.stdout], encoded.stderr).toEqual([0, 'captions.safetensors\n'])
    expect((await trained('c', 'elsewhere', { textEmbeddings: 'captions.safetensors' })).equals(whole)).toBe(true)
  })

  it('is refused before anything is written when a caption is not encoded yet', async () => {
    const { code, stderr } = await run('d', 'train', ...training, '--model', model, '--out', 'refused')
    expect(stderr).toMatch(/needs a text encoder: "n0ise some hiss" and 1 more is not encoded yet\n/)
    expect(stderr).toMatch(/hint: add --text-encoder .* ltx-a2a pull --text-encoder .* or --text-embeddings <file>/)
    expect(code).toBe(2)
    expect(existsSync(join(folder, 'refused'))).toBe(false)
  })

  it('is refused when the text encoder does not exist and captions are not encoded', async () => {
    const { code, stderr } = await run('d', 'train', ...training, '--model', model, '--text-encoder', 'gone')
    expect(stderr).toContain('the text encoder gone does not exist')
    expect(code).toBe(2)
  })
})

describe('encoded captions', () => {
  const { fingerprint } = openBase()

  it('include those of all pairs, the trigger phrase and the extra prompts', async () => {
    const { code } = await run('b', 'encode-captions', ...job, '--prompt', 'one more', '--out', 'more.safetensors')
    expect(code).toBe(0)
    const embeddings = openTextEmbeddings(join(folder, 'more.safetensors'), fingerprint)
    expect(['n0ise some hiss', 'n0ise some rush', 'n0ise', 'one more'].map(embeddings.has)).toEqual(Array(4).fill(true))
    expect(embeddings.has('something else')).toBe(false)
    expect(embeddings.get('something else')).toBeUndefined()
    embeddings.close()
  })

  it('include the validation prompts of a job file', async () => {
    const validation = [{ prompt: 'a whisper', reference_audio_url: 'ref.wav' }]
    writeFileSync(join(folder, 'job.json'), JSON.stringify({ training_data_url: 'pairs', rank: 8, validation }))
    const { code, stderr } = await run('b', 'encode-captions', '--config', 'job.json', '--out', 'job.safetensors')
    expect(code, stderr).toBe(0)
    const embeddings = openTextEmbeddings(join(folder, 'job.safetensors'), fingerprint)
    expect(['some hiss', 'a whisper'].map(embeddings.has)).toEqual([true, true])
    embeddings.close()
  })

  it('are not written when a caption is not text, rather than without it', async () => {
    mkdirSync(join(folder, 'odd'))
    for (const side of ['start', 'end']) writeFileSync(join(folder, 'odd', `a_${side}.wav`), noise(side))
    writeFileSync(join(folder, 'odd', 'a.txt'), Uint8Array.of(0x61, 0xff))
    const { code, stderr } = await run('b', 'encode-captions', '--data', 'odd', '--out', 'odd.safetensors')
    expect([code, existsSync(join(folder, 'odd.safetensors'))]).toEqual([2, false])
    expect(stderr).toContain('a.txt is not UTF-8 text')
  })

  it('are refused for another base model, and when the file contains something else', async () => {
    const path = join(folder, 'other.safetensors')
    const made = openSafetensors(join(folder, 'captions.safetensors'))
    writeSafetensors(path, new Map([...made.tensors.keys()].map((name) => [name, made.read(name)])), {
      ...made.metadata,
      base_model: '0123',
    })
    made.close()
    const refused = await run('d', 'train', ...training, '--text-embeddings', path)
    expect(refused.stderr).toMatch(
      /other\.safetensors was encoded for another base model \(0123, this one is [0-9a-f]{16}\)/,
    )
    expect(refused.code).toBe(2)
    expect(() => openTextEmbeddings(model, fingerprint)).toThrow('does not contain encoded captions')
  })
})

describe('a dry run', () => {
  it('prints the time, memory and disk space of the run and writes nothing', async () => {
    const before = readdirSync(folder)
    const { code, stdout, stderr } = await run('a', 'train', ...training, '--dry-run', '--out', 'dry')
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/Memory: about \d+ MB of .* \(weights .*, LoRA and optimizer .*, a step .*\)\n/)
    expect(stderr).toMatch(/Disk: about .* for the run, .* for the cache, of .*\n/)
    expect(stdout).toMatch(/^Time: [\d.]+ s a step, .* for 3 steps\nMemory at its peak so far: [\d.]+ [MG]B\n$/)
    expect(readdirSync(folder)).toEqual(before)
  })
})
