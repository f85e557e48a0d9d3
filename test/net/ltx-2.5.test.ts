/** Pulls of LTX-2.5: its three files from a hub, a server and a folder, and single files that are recognized by their content. */

import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { released25 } from '../../scripts/bench/released-2.5.ts'
import { bytesPerElement, type Dtype, elementCount } from '../../src/formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { encodeHeader, type HeaderEntry, type Metadata } from '../../src/formats/safetensors-header.ts'
import { openBase } from '../../src/model/base-model.ts'
import { openTextEncoder } from '../../src/model/text/text-encoder.ts'
import { UserError } from '../../src/platform/errors.ts'
import type { ProgressEvent } from '../../src/platform/progress.ts'
import { sizeText } from '../../src/platform/text.ts'
import type { PullSettings } from '../../src/setup/pull/settings.ts'
import { pullModel } from '../../src/setup/pull-model.ts'
import { ltxA2a } from '../cli/bin.ts'
import { goldenPath, ltx25 } from '../golden/golden.ts'
import { type RangeServer, type ServedFile, serveRanges, textFile } from './range-server.ts'

const transformer = 'diffusion_models/ltx-2.5-22b-dev-transformer-bf16.safetensors'
const audioVae = 'vae/ltx-2.5-audio-vae-bf16.safetensors'
const textEncoder = 'text_encoders/gemma4-12b-with-proj-ltx-2.5-bf16.safetensors'
const released = [transformer, audioVae, textEncoder]

const pulledTransformer = 'ltx-2.5-22b-dev-transformer-bf16-audio.safetensors'
const pulledAudioVae = 'ltx-2.5-audio-vae-bf16.safetensors'
const pulledTextEncoder = 'gemma4-12b-with-proj-ltx-2.5-bf16-text.safetensors'
const pulled = [pulledTransformer, pulledAudioVae, pulledTextEncoder]

/** The miniature under the names of the released files. */
const original = mkdtempSync(join(tmpdir(), 'ltx-a2a-2.5-'))
const onHub = 'Lightricks/LTX-2.5/resolve/main/'
let server: RangeServer
let folder: string
let out: string

beforeAll(async () => {
  for (const file of released) {
    mkdirSync(join(original, dirname(file)))
    cpSync(ltx25.onlyFileIn(`base/${dirname(file)}`), join(original, file))
  }
  server = await serveRanges()
})
afterAll(async () => {
  await server.close()
  rmSync(original, { recursive: true })
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-2.5-'))
  out = join(folder, 'out')
  server.files.clear()
  for (const file of released) server.files.set(onHub + file, served(join(original, file)))
})
afterEach(() => {
  Object.assign(server, { requests: [], sent: 0, intercept: undefined })
  rmSync(folder, { recursive: true })
})

const served = (path: string) => textFile(readFileSync(path), `"${basename(path)}"`)

/** Pulls from the served hub. @returns the path and the messages. */
async function pullFrom(
  settings: PullSettings,
  { signal, freeBytes }: { signal?: AbortSignal; freeBytes?: number } = {},
) {
  const messages: string[] = []
  const onEvent = (event: ProgressEvent) => {
    if (event.type !== 'stage') messages.push(event.message)
  }
  const pullEnv = {
    env: { HF_ENDPOINT: server.url('').replace(/\/$/, '') },
    sleep: async () => {},
    ...(freeBytes !== undefined && { freeBytes: () => freeBytes }),
  }
  const path = await pullModel(settings, { onEvent, ...(signal && { signal }) }, pullEnv)
  return { path, messages }
}

const pull25 = (settings: PullSettings = {}) => pullFrom({ base: '2.5', out, ...settings })

async function expectRefusal(sentence: string | RegExp, settings: PullSettings, options: { freeBytes?: number } = {}) {
  const error = await pullFrom(settings, options).then(
    () => undefined,
    (error) => error,
  )
  expect(error).toBeInstanceOf(UserError)
  expect(`${error.message} / ${error.hint}`).toMatch(sentence)
  expect(existsSync(out)).toBe(false)
}

const hashOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')
const contentsOf = (folder: string) => readdirSync(folder).map((name) => [name, hashOf(join(folder, name))])

/** Where the data of a served file begins. */
const dataStart = (path: string) => 8 + Number(Buffer.from(server.files.get(path)?.bytes(0, 8) ?? []).readBigUInt64LE())

/** The identity of the weights, and of the text encoder that is found or given. */
function identityOf(options: { model: string; textEncoder?: string }) {
  const base = openBase(options)
  const encoder = openTextEncoder(base.textEncoder ?? '')
  try {
    return {
      release: base.release,
      base: base.fingerprint,
      textEncoder: encoder.fingerprint(),
      notNeeded: base.notNeeded,
    }
  } finally {
    encoder.close()
    base.close()
  }
}

type Tensors = Map<string, StoredTensor>
type Edit = { metadata?: (metadata: Metadata) => Metadata; tensors?: (tensors: Tensors) => void }

/** Copies a released file with other metadata or tensors. */
function rewrite(file: string, to: string, edit: Edit) {
  const stored = openSafetensors(join(original, file))
  const tensors: Tensors = new Map([...stored.tensors.keys()].map((name) => [name, stored.read(name)]))
  edit.tensors?.(tensors)
  writeSafetensors(to, tensors, edit.metadata?.(stored.metadata) ?? stored.metadata)
  stored.close()
}

const tensor = (dtype: Dtype, size: number): StoredTensor => ({
  dtype,
  shape: [size],
  bytes: new Uint8Array(size * bytesPerElement[dtype]),
})

/** With another `gemma_version`, or without one. */
const gemmaVersion = (version: string | undefined): Edit => ({
  metadata: ({ gemma_config: config = '', ...others }) => ({
    ...others,
    gemma_config: JSON.stringify({ ...JSON.parse(config), gemma_version: version }),
  }),
})
const googlesOwn = gemmaVersion(undefined)

describe('pull --base 2.5', () => {
  it('fetches what is needed of the three files of the hub, which open as the same base', async () => {
    const { path, messages } = await pull25()
    expect(path).toBe(out)
    expect(readdirSync(out).sort()).toEqual([...pulled].sort())
    expect(identityOf({ model: out })).toEqual(identityOf({ model: original }))
    const names = pulled.flatMap((name) => {
      const file = openSafetensors(join(out, name))
      file.close()
      return [...file.tensors.keys()]
    })
    expect(
      names.filter((name) => /video|vision|projector|model\.transformer_blocks\.\d+\.attn|keyframes/.test(name)),
    ).toEqual([])
    expect(names).toContain('tokenizer_json')
    expect(messages.at(-1)).toBe(`Train on it with --model ${out}`)
  })

  it('states the bytes of each file and their sum, which are those that it writes', async () => {
    const { messages } = await pull25()
    const sizes = pulled.map((name) => statSync(join(out, name)).size)
    const tensors = pulled.map((name) => {
      const file = openSafetensors(join(out, name))
      file.close()
      return file.tensors.size
    })
    expect(messages.slice(0, 4)).toEqual([
      ...released.map(
        (file, i) =>
          `${server.url(onHub + file)}: ${tensors[i]} tensors, ${sizeText(sizes[i] as number)} of ${sizeText(statSync(join(original, file)).size)}`,
      ),
      `Together ${sizeText(sizes.reduce((sum, size) => sum + size))}`,
    ])
  })

  it.each([
    ['a local folder', () => original],
    ['the page of the repository', () => server.url('Lightricks/LTX-2.5')],
    ['its list of files', () => server.url('Lightricks/LTX-2.5/tree/main')],
    ['the URL of a folder', () => server.url('mirror/of/LTX')],
  ])('writes the same bytes from %s', async (_, from) => {
    await pull25()
    for (const file of released) server.files.set(`mirror/of/LTX/${file}`, served(join(original, file)))
    const other = join(folder, 'other')
    await pull25({ from: from(), out: other })
    expect(contentsOf(other)).toEqual(contentsOf(out))
  })

  it('continues after an interruption without fetching a complete file again', async () => {
    const controller = new AbortController()
    server.intercept = ({ url = '' }) => {
      const isData = Number(server.requests.at(-1)?.start) >= dataStart(onHub + textEncoder)
      if (url.includes(textEncoder) && isData) controller.abort()
      return controller.signal.aborted
    }
    const stopped = pullFrom({ base: '2.5', out }, { signal: controller.signal })
    await expect(stopped).rejects.toThrow('stopped; what has arrived is kept')
    expect(readdirSync(out).sort()).toEqual(
      [
        pulledTransformer,
        pulledAudioVae,
        `${pulledTextEncoder}.partial`,
        `${pulledTextEncoder}.partial.journal`,
      ].sort(),
    )
    Object.assign(server, { requests: [], sent: 0, intercept: undefined })
    await pull25()
    expect(identityOf({ model: out })).toEqual(identityOf({ model: original }))
    const dataRequests = server.requests.filter(({ path, start }) => start >= dataStart(path))
    expect(new Set(dataRequests.map(({ path }) => path))).toEqual(new Set([onHub + textEncoder]))
    expect((await pull25()).messages).toContain('Everything has been pulled already')
  })

  it('--no-text-encoder leaves out the text encoder, which --text-encoder fetches alone', async () => {
    const first = await pull25({ textEncoder: false })
    expect(readdirSync(out).sort()).toEqual([pulledTransformer, pulledAudioVae].sort())
    expect([first.path, first.messages.at(-1)]).toEqual([
      out,
      `Train on it with --model ${out} and a text encoder, which ltx-a2a pull --base 2.5 --text-encoder downloads`,
    ])
    const second = await pull25({ textEncoder: true })
    const path = join(out, pulledTextEncoder)
    expect([second.path, second.messages.at(-1)]).toEqual([path, `Use it with --text-encoder ${path}`])
    expect(identityOf({ model: out })).toEqual(identityOf({ model: original }))
    expect((await pull25({ textEncoder: false })).messages.at(-1)).toBe(`Train on it with --model ${out}`)
  })

  it('names the files where the folder has others as well', async () => {
    mkdirSync(out)
    cpSync(goldenPath('tiny-ltx-2.3.safetensors'), join(out, 'ltx-2.3.safetensors'))
    const { messages } = await pull25()
    const [, model = '', encoder = ''] = /--model (\S+) --text-encoder (\S+)$/.exec(messages.at(-1) ?? '') ?? []
    expect(identityOf({ model, textEncoder: encoder })).toEqual(identityOf({ model: original }))
  })

  it('writes to models/<name of the repository> by default and prints that path', async () => {
    const env = { HF_ENDPOINT: server.url('') }
    const { code, stdout } = await ltxA2a(['pull', '--base', '2.5', '--quiet'], { cwd: folder, env })
    expect([code, stdout]).toEqual([0, `${join('models', 'LTX-2.5')}\n`])
    expect(readdirSync(join(folder, 'models', 'LTX-2.5')).sort()).toEqual([...pulled].sort())
  })

  it('keeps a file that has the name of one that it would write', async () => {
    mkdirSync(out)
    writeFileSync(join(out, pulledTextEncoder), 'mine')
    await expect(pull25()).rejects.toThrow(`${pulledTextEncoder} exists already, and is not what would be pulled`)
    expect(readdirSync(out)).toEqual([pulledTextEncoder])
  })
})

describe('pull --base 2.5 writes nothing when', () => {
  const edited: [string, RegExp, string, Edit][] = [
    [
      'the text encoder is of another version',
      /^gemma4-12b\S+ is gemma4-other, but ltx-2\.5-22b-dev\S+ needs gemma4-/,
      textEncoder,
      gemmaVersion('gemma4-other'),
    ],
    ["the text encoder is Google's", /is Google's own Gemma 4, without a gemma_version/, textEncoder, googlesOwn],
    [
      'the text encoder has no projection',
      /the files of .* have no text projection/,
      textEncoder,
      { tensors: (tensors) => void tensors.delete('text_embedding_projection.audio_aggregate_embed.weight') },
    ],
    [
      'the transformer does not name its text encoder',
      /does not name the text encoder that it was trained with/,
      transformer,
      { metadata: ({ gemma_source_checkpoint: _, ...others }) => others },
    ],
    [
      'the transformer does not show its release',
      /does not say that it belongs to LTX-2\.5/,
      transformer,
      {
        metadata: ({ config = '' }) => ({ config }),
        tensors: (tensors) => {
          for (const name of tensors.keys()) if (/keyframes|\.ff\./.test(name)) tensors.delete(name)
        },
      },
    ],
    [
      'the transformer is quantized',
      /holds quantized weights.* I8 \/ use the bfloat16 file/,
      transformer,
      {
        tensors: (tensors) => void tensors.set('model.diffusion_model.audio_patchify_proj.weight', tensor('I8', 64)),
      },
    ],
    [
      'the transformer has no connector',
      /the files of .* have no audio connector \//,
      transformer,
      {
        tensors: (tensors) =>
          void [...tensors.keys()].filter((name) => /connector/.test(name)).map((name) => tensors.delete(name)),
      },
    ],
    [
      'the audio VAE is of LTX-2.3',
      /ltx-2\.5-audio-vae\S+ is of LTX-2\.3, not LTX-2\.5/,
      audioVae,
      { metadata: (metadata) => ({ ...metadata, model_version: '2.3.0' }) },
    ],
    [
      'the audio VAE is one for video',
      /is a video VAE, which is not needed for sound/,
      audioVae,
      {
        tensors: (tensors) => {
          tensors.clear()
          tensors.set('encoder.conv_in.conv.weight', tensor('F16', 8))
        },
      },
    ],
  ]
  it.each(edited)('%s', async (_, sentence, file, edit) => {
    rewrite(file, join(folder, 'edited.safetensors'), edit)
    server.files.set(onHub + file, served(join(folder, 'edited.safetensors')))
    await expectRefusal(sentence, { base: '2.5', out })
    for (const { path, end } of server.requests) expect(end, path).toBeLessThanOrEqual(dataStart(path))
  })

  it.each(released)('%s is missing', async (file) => {
    server.files.delete(onHub + file)
    await expectRefusal(`Lightricks/LTX-2.5 has no ${file} / name a folder or repository with the layout of`, {
      base: '2.5',
      out,
    })
  })

  it('the repository is gated', async () => {
    server.intercept = (_, response) => {
      response.writeHead(401, { 'x-error-code': 'GatedRepo' }).end()
      return true
    }
    await expectRefusal(/accept the licence at .*\/Lightricks\/LTX-2\.5, and set HF_TOKEN/, { base: '2.5', out })
  })

  it('the text encoder is a folder of a Gemma as Google publishes it', async () => {
    const { gemma_config: config = '' } = openSafetensors(join(original, textEncoder)).metadata
    const settings: PullSettings = { base: '2.5', textEncoder: true, from: 'google/gemma-4-12b-it', out }
    const path = 'google/gemma-4-12b-it/resolve/main/config.json'
    server.files.set(path, textFile(JSON.stringify({ ...JSON.parse(config), gemma_version: undefined })))
    await expectRefusal(/^gemma-4-12b-it is Google's own Gemma 4, without a gemma_version; LTX-2\.5 needs/, settings)
    server.files.set(path, textFile(readFileSync(goldenPath('tiny-gemma3/config.json'))))
    await expectRefusal(/^gemma-4-12b-it is a Gemma 3, which belongs to LTX-2\.3/, settings)
    server.files.set(path, textFile('{'))
    await expectRefusal(/^config\.json in google\/gemma-4-12b-it is not JSON/, settings)
  })

  it('the source is neither a folder nor a safetensors file', async () => {
    await expectRefusal(/owner\/name\/folder is neither a safetensors file nor a folder/, {
      base: '2.5',
      from: 'owner/name/folder',
      out,
    })
  })
})

describe('at the released size', () => {
  type Manifest = {
    files: Record<
      string,
      {
        groups: { prefix: string; index: number[]; names: Record<string, [Dtype, number[]]> }[]
        tensors: Record<string, [Dtype, number[]]>
      }
    >
  }
  const manifest = ltx25.json('manifest-22b-audio.json') as Manifest

  /** A file with the tensors of the released one and some that are not needed, of which only the header can be read. */
  function headerOnly(file: string, metadata: Metadata, unneeded: string[]): ServedFile {
    const { groups, tensors } = manifest.files[file] as Manifest['files'][string]
    const entries = new Map<string, HeaderEntry>()
    const add = (name: string, [dtype, shape]: [Dtype, number[]]) => entries.set(name, { dtype, shape })
    for (const { prefix, index, names } of groups)
      for (const i of index) for (const [name, entry] of Object.entries(names)) add(`${prefix}${i}.${name}`, entry)
    for (const [name, entry] of Object.entries(tensors)) add(name, entry)
    for (const name of unneeded) add(name, ['BF16', [1000, 1000, 1000]])
    const header = encodeHeader(entries, { ...metadata, 'hf_asset__tokenizer_config.json': '{}' })
    const sizes = [...entries.values()].map(({ dtype, shape }) => elementCount(shape) * bytesPerElement[dtype])
    const size = header.length + sizes.reduce((sum, bytes) => sum + bytes)
    return { size, bytes: (start, end) => header.subarray(start, end) }
  }

  it('32.4 GB are planned, and a disk that is too small for all of them is refused', async () => {
    const block = 'model.diffusion_model.transformer_blocks.0.'
    const unneeded = {
      transformer: [
        'model.diffusion_model.keyframes_abs_pos_embedding',
        `${block}attn1.to_q.weight`,
        `${block}ff.net.0.proj.weight`,
        `${block}audio_to_video_attn.to_q.weight`,
        `${block}scale_shift_table_a2v_ca_audio`,
        'model.diffusion_model.av_ca_audio_scale_shift_adaln_single.linear.weight',
        'model.diffusion_model.video_embeddings_connector.learnable_registers',
      ],
      textEncoder: [
        'vision_model.patch_dense.weight',
        'multi_modal_projector.embedding_projection.weight',
        'audio_projector.embedding_projection.weight',
        'text_embedding_projection.video_aggregate_embed.weight',
      ],
    }
    server.files.set(onHub + transformer, headerOnly('transformer', released25.transformer, unneeded.transformer))
    server.files.set(onHub + audioVae, headerOnly('audio', released25.audioVae, []))
    server.files.set(onHub + textEncoder, headerOnly('text_encoder', released25.textEncoder, unneeded.textEncoder))
    const messages: string[] = []
    const onEvent = (event: ProgressEvent) => void (event.type === 'info' && messages.push(event.message))
    const pullEnv = { env: { HF_ENDPOINT: server.url('') }, freeBytes: () => 30e9 }
    await expect(pullModel({ base: '2.5', out }, { onEvent }, pullEnv)).rejects.toThrow(
      `${out} needs 32.36 GB for it, but its disk has 30.00 GB free`,
    )
    expect(messages.map((message) => message.replace(/^.*\//, ''))).toEqual([
      'ltx-2.5-22b-dev-transformer-bf16.safetensors: 1586 tensors, 7.38 GB of 21.38 GB',
      'ltx-2.5-audio-vae-bf16.safetensors: 1329 tensors, 365 MB of 365 MB',
      'gemma4-12b-with-proj-ltx-2.5-bf16.safetensors: 669 tensors, 24.62 GB of 32.62 GB',
      'Together 32.36 GB',
    ])
    expect(existsSync(out)).toBe(false)
  })
})

describe('one file of LTX-2.5 is recognized by its content:', () => {
  const copyTo = (file: string, name: string) => {
    cpSync(join(original, file), join(folder, name))
    return join(folder, name)
  }

  it.each([
    [
      transformer,
      pulledTransformer,
      '--model',
      ' and the file of the audio VAE, separated by commas, and the packed text encoder with --text-encoder',
    ],
    [audioVae, pulledAudioVae, '--model', ' and the file of the transformer, separated by commas'],
    [textEncoder, pulledTextEncoder, '--text-encoder', ''],
  ])('%s', async (file, inWhole, flag, rest) => {
    await pull25()
    const from = copyTo(file, basename(file)) // the provenance has the name of the source
    const { path, messages } = await pullFrom({ from, out: join(folder, 'one.safetensors') })
    expect(hashOf(path)).toBe(hashOf(join(out, inWhole)))
    expect(messages.at(-1)).toMatch(new RegExp(`it with ${flag} ${path}${rest}`))
  })

  it('also by another name, from which the name of the result is made', async () => {
    const cwd = folder
    const names = {
      [transformer]: 'a-audio.safetensors',
      [audioVae]: 'a.safetensors',
      [textEncoder]: 'a-text.safetensors',
    }
    for (const [file, name] of Object.entries(names)) {
      copyTo(file, 'a.safetensors')
      const { code, stdout } = await ltxA2a(['pull', 'a.safetensors'], { cwd })
      expect([code, stdout]).toEqual([0, `${join('models', name)}\n`])
    }
    const models = join(folder, 'models')
    expect(identityOf({ model: models })).toEqual(identityOf({ model: original }))
  })

  it('a packed text encoder also with --text-encoder', async () => {
    const from = copyTo(textEncoder, 'a.safetensors')
    for (const base of [undefined, '2.5'] as const) {
      const { path } = await pullFrom({ from, textEncoder: true, base, out: join(folder, `${base}.safetensors`) })
      const encoder = openTextEncoder(path)
      expect(encoder.fingerprint()).toBe(identityOf({ model: original }).textEncoder)
      encoder.close()
    }
  })

  it('a distilled one by its name only', async () => {
    const from = copyTo(transformer, 'ltx-2.5-distilled.safetensors')
    const { messages } = await pullFrom({ from, out })
    expect(messages).toContain('this looks like the distilled model: train LoRAs on the dev model')
  })

  it.each<[string, RegExp, Record<string, StoredTensor>]>([
    [
      'a video VAE',
      /^x\.safetensors is a video VAE, which is not needed for sound/,
      { 'decoder.conv_in.conv.weight': tensor('F16', 8) },
    ],
    [
      'a duration head',
      /^x\.safetensors is a duration head, which is not needed for sound/,
      { 'duration_head.proj.weight': tensor('F16', 8) },
    ],
    [
      'a LoRA',
      /^x\.safetensors is a LoRA, which is not needed for sound/,
      { 'diffusion_model.transformer_blocks.0.audio_attn1.to_q.lora_A.weight': tensor('F16', 8) },
    ],
    [
      'one of the files of a Gemma',
      /^x\.safetensors is a text encoder without its config and tokenizer \/ pull the folder that it is in/,
      { 'model.embed_tokens.weight': tensor('F16', 8) },
    ],
  ])('%s is refused', async (_, sentence, tensors) => {
    const from = join(folder, 'x.safetensors')
    writeSafetensors(from, new Map(Object.entries(tensors)))
    await expectRefusal(sentence, { from, out })
    await expectRefusal(sentence, { from, out, base: '2.5' })
  })

  it("a packed text encoder that is Google's own is refused", async () => {
    const from = join(folder, 'gemma.safetensors')
    rewrite(textEncoder, from, googlesOwn)
    const sentence = /^gemma\.safetensors is Google's own Gemma 4, without a gemma_version; LTX-2\.5 needs/
    await expectRefusal(sentence, { from, out })
    server.files.set(onHub + textEncoder, served(from))
    await expectRefusal(/is Google's own Gemma 4/, { base: '2.5', textEncoder: true, out })
  })

  it('another one than was asked for is refused', async () => {
    const [dit, encoder] = [copyTo(transformer, 'dit.safetensors'), copyTo(textEncoder, 'gemma.safetensors')]
    await expectRefusal(/^dit\.safetensors is of LTX-2\.5, not LTX-2\.3 \//, { from: dit, base: '2.3', out })
    await expectRefusal(/^gemma\.safetensors is of LTX-2\.5, not LTX-2\.3 \//, { from: encoder, base: '2.3', out })
    await expectRefusal(/^dit\.safetensors is not a text encoder/, { from: dit, base: '2.5', textEncoder: true, out })
    await expectRefusal(/^gemma\.safetensors is a text encoder/, { from: encoder, textEncoder: false, out })
    const from = goldenPath('tiny-ltx-2.3.safetensors')
    await expectRefusal(/^tiny-ltx-2\.3\.safetensors is of LTX-2\.3, not LTX-2\.5 \//, { from, base: '2.5', out })
  })
})

it('an unknown --base is refused in one sentence', async () => {
  const { code, stdout, stderr } = await ltxA2a(['pull', '--base', '2.4'])
  expect([code, stdout, stderr]).toEqual([
    2,
    '',
    "error: option '--base <release>' argument '2.4' is invalid. Allowed choices are 2.3, 2.5.\n",
  ])
})
