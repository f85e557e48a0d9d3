/** Training and previews on a base of LTX-2.5, and LoRAs of one release on a base of the other. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { comparableContent } from '../../scripts/reliability/run-content.ts'
import { tinyOptions, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { openBase } from '../../src/model/base-model.ts'
import { readLora } from '../../src/model/lora-file.ts'
import { preview } from '../../src/preview/preview.ts'
import { resumeTraining, train } from '../../src/train/train.ts'
import { inFolder, ltxA2a } from '../cli/bin.ts'
import { ltx23, ltx25 } from '../golden/golden.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-releases-'))
afterAll(() => rmSync(folder, { recursive: true }))

const options = {
  ...tinyOptions,
  ...ltx25.base,
  rank: 8,
  learningRateSchedule: 'constant',
  triggerPhrase: 'n0ise',
} as const
const trained = (out: string, changes: object, cache = 'cache') =>
  inFolder({ cwd: folder, env: { LTX_A2A_CACHE: join(folder, cache) } }, () => train({ ...options, ...changes, out }))
const lora = (run: string) => join(folder, run, 'lora.safetensors')

beforeAll(async () => {
  writeTinyData(folder)
  await trained('runs/whole', { numberOfSteps: 4 })
})

describe('a training on LTX-2.5', () => {
  it('writes a LoRA with the keys of LTX-2.3 that names the version of its base', async () => {
    await trained('runs/other', { ...ltx23.base, numberOfSteps: 4 })
    const [here, there] = [readLora(lora('runs/whole')), readLora(lora('runs/other'))]
    expect([...here.modules.keys()]).toEqual([...there.modules.keys()])
    expect(here.metadata).toMatchObject({ base_model: openBase(ltx25.base).fingerprint, base_version: '2.5.0' })
    expect(there.metadata.base_version).toBeUndefined() // as before
  })

  it('gives the same bytes when it is resumed', async () => {
    await trained('runs/resumed', { numberOfSteps: 2 })
    await inFolder({ cwd: folder, env: { LTX_A2A_CACHE: join(folder, 'cache') } }, () =>
      resumeTraining('runs/resumed', { options: { numberOfSteps: 4 } }),
    )
    const [resumed, whole] = ['runs/resumed', 'runs/whole'].map((run) =>
      comparableContent(join(folder, run)).filter((line) => line.includes('.safetensors ')),
    )
    expect(resumed).toEqual(whole)
  })

  it('gives the same bytes with captions from the cache or encoded elsewhere, without the text encoder', async () => {
    const whole = readFileSync(lora('runs/whole'))
    await trained('runs/cached', { numberOfSteps: 4, textEncoder: undefined })
    expect(readFileSync(lora('runs/cached')).equals(whole)).toBe(true)

    const { model, textEncoder } = ltx25.base
    const encoding = ['--data', 'pairs', '--trigger-phrase', 'n0ise', '--model', model, '--text-encoder', textEncoder]
    const { code, stderr } = await ltxA2a(['encode-captions', ...encoding], {
      cwd: folder,
      env: { LTX_A2A_CACHE: join(folder, 'empty') },
    })
    expect(code, stderr).toBe(0)
    const texts = { textEncoder: undefined, textEmbeddings: 'captions.safetensors' }
    await trained('runs/elsewhere', { numberOfSteps: 4, ...texts }, 'another')
    expect(readFileSync(lora('runs/elsewhere')).equals(whole)).toBe(true)
  })

  it('is refused without a text encoder, with the command that downloads it', async () => {
    await expect(trained('runs/none', { numberOfSteps: 4, textEncoder: undefined }, 'none')).rejects.toMatchObject({
      message: expect.stringMatching(/needs a text encoder: "n0ise/),
      hint: expect.stringContaining('ltx-a2a pull --base 2.5 downloads'),
    })
  })
})

describe('a preview', () => {
  const reference = 'pairs/hiss_start.wav'
  const warningsOf = async (base: typeof ltx23.base, run: string) => {
    const warnings: string[] = []
    await inFolder({ cwd: folder, env: { LTX_A2A_CACHE: join(folder, 'cache') } }, () =>
      preview(
        { ...base, lora: lora(run), reference, prompt: 'n0ise', steps: 2 },
        { onEvent: (event) => void (event.type === 'warning' && warnings.push(event.message)) },
      ),
    )
    return warnings
  }

  it('of a LoRA of LTX-2.5 on its base has no warnings', async () => {
    expect(await warningsOf(ltx25.base, 'runs/whole')).toEqual([])
  })

  it.each([
    ['LTX-2.5', 'LTX-2.3', ltx23.base, 'runs/whole'],
    ['LTX-2.3', 'LTX-2.5', ltx25.base, 'runs/other'],
  ])('of a LoRA of %s on a base of %s warns, because its shapes fit', async (from, to, base, run) => {
    const expected = new RegExp(`lora\\.safetensors was trained on ${from}, but this base is ${to}: `)
    expect(await warningsOf(base, run)).toEqual([expect.stringMatching(expected)])
  })
})
