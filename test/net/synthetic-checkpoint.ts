/**
 * A complete checkpoint with all 5,947 tensor names of the released one and smaller shapes. Its bytes are a function of their position, so that it can be
 * served, checked and extracted without being stored.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { bytesPerElement, type Dtype, elementCount } from '../../src/formats/dtypes.ts'
import { encodeHeader, type HeaderEntry, parseHeader } from '../../src/formats/safetensors-header.ts'
import { goldenPath } from '../golden/golden.ts'

type Entries = Map<string, HeaderEntry>
type Manifest = {
  groups: { prefix: string; count: number; names: Record<string, [Dtype, number[]]> }[]
  tensors: Record<string, [Dtype, number[]]>
}

/** The released names and shapes of the audio path. */
function audioEntries(): [string, HeaderEntry][] {
  const { groups, tensors } = JSON.parse(readFileSync(goldenPath('manifest-22b-audio.json'), 'utf8')) as Manifest
  const grouped = groups.flatMap(({ prefix, count, names }) =>
    Array.from({ length: count }, (_, i) =>
      Object.entries(names).map(([name, entry]) => [`${prefix}${i}.${name}`, entry] as const),
    ).flat(),
  )
  return [...grouped, ...Object.entries(tensors)].map(([name, [dtype, shape]]) => [name, { dtype, shape }])
}

/** The video tensors: the counterparts of the audio tensors at twice the width, the cross-modal attention, and a video VAE. */
function videoEntries(audio: readonly [string, HeaderEntry][]): [string, HeaderEntry][] {
  const wide = (shape: readonly number[]) => shape.map((size) => (size >= 2048 && size !== 188160 ? 2 * size : size))
  const mirrored = audio
    .filter(([name]) => /^(model\.diffusion_model|text_embedding_projection)\./.test(name))
    .map(([name, { dtype, shape }]): [string, HeaderEntry] => [videoName(name), { dtype, shape: wide(shape) }])
  const block = 'model.diffusion_model.transformer_blocks.0.audio_attn1.'
  const between = Array.from({ length: 48 }, (_, i) => {
    const at = `model.diffusion_model.transformer_blocks.${i}.`
    const attention = audio.filter(([name]) => name.startsWith(block))
    return [
      ...['audio_to_video_attn', 'video_to_audio_attn'].flatMap((name) =>
        attention.map(([inner, entry]): [string, HeaderEntry] => [`${at}${name}.${inner.slice(block.length)}`, entry]),
      ),
      [`${at}scale_shift_table_a2v_ca_audio`, { dtype: 'F32', shape: [5, 2048] }],
      [`${at}scale_shift_table_a2v_ca_video`, { dtype: 'F32', shape: [5, 4096] }],
    ] as [string, HeaderEntry][]
  }).flat()
  const timestep = 'model.diffusion_model.audio_adaln_single.'
  const gates = ['av_ca_video_scale_shift', 'av_ca_audio_scale_shift', 'av_ca_a2v_gate', 'av_ca_v2a_gate'].flatMap(
    (name) =>
      audio
        .filter(([inner]) => inner.startsWith(timestep))
        .map(([inner, entry]): [string, HeaderEntry] => [
          `model.diffusion_model.${name}_adaln_single.${inner.slice(timestep.length)}`,
          entry,
        ]),
  )
  const vae = Array.from({ length: 170 }, (_, i): [string, HeaderEntry] => [
    `vae.decoder.up_blocks.${i >> 1}.conv.${i & 1 ? 'bias' : 'weight'}`,
    { dtype: 'BF16', shape: i & 1 ? [512] : [512, 512, 3, 3, 3] },
  ])
  return [...mirrored, ...between, ...gates, ...vae]
}

const videoName = (name: string) =>
  name
    .replace('audio_embeddings_connector', 'video_embeddings_connector')
    .replace('audio_aggregate', 'video_aggregate')
    .replace(/\baudio_(?!to)/, '')

const shrunk = ({ dtype, shape }: HeaderEntry, factor: number): HeaderEntry => ({
  dtype,
  shape: shape.map((size) => (size >= 256 ? Math.ceil(size / factor) : size)),
})

/** The tensor order of the Python safetensors library: wide types first, then by name. */
const inFileOrder = ([a, { dtype: dtypeA }]: [string, HeaderEntry], [b, { dtype: dtypeB }]: [string, HeaderEntry]) =>
  dtypeA === dtypeB ? (a < b ? -1 : 1) : dtypeA === 'F32' ? -1 : 1

export type Synthetic = {
  names: string[]
  audioNames: string[]
  audioBytes: number
  size: number
  header: Uint8Array
  placeOf(name: string): { start: number; end: number }
  /** Bytes `start` to `end` of the file. */
  bytes(start: number, end: number): Uint8Array
  /** Writes a local file with the same header and audio tensors; the video tensors are left sparse. */
  writeTo(path: string): void
}

/** @param factor the divisor of every width of at least 256. */
export function syntheticCheckpoint(factor: number, { content = 1 } = {}): Synthetic {
  const audio = audioEntries()
  const entries: Entries = new Map(
    [...audio, ...videoEntries(audio)]
      .map(([name, entry]): [string, HeaderEntry] => [name, shrunk(entry, factor)])
      .sort(inFileOrder),
  )
  const header = encodeHeader(entries, { config: '{"transformer":{}}', model_version: '2.3.0', license: 'text' })
  const size = [...entries.values()].reduce(
    (end, { dtype, shape }) => end + elementCount(shape) * bytesPerElement[dtype],
    header.length,
  )
  const { tensors } = parseHeader(header.subarray(8), { name: 'synthetic', size })
  const audioNames = audio.map(([name]) => name)
  const infoOf = (name: string) => tensors.get(name) as { start: number; end: number }
  const bytes = (start: number, end: number) => {
    const part = new Uint8Array(end - start)
    for (let at = start; at < end; ) {
      const source = at < header.length ? header.subarray(at) : patternFrom(at, content)
      const piece = source.subarray(0, end - at)
      part.set(piece, at - start)
      at += piece.length
    }
    return part
  }
  return {
    names: [...entries.keys()],
    audioNames,
    audioBytes: audioNames.reduce((sum, name) => sum + infoOf(name).end - infoOf(name).start, 0),
    size,
    header,
    placeOf: infoOf,
    bytes,
    writeTo: (path) => {
      const fd = openSync(path, 'w')
      writeSync(fd, header, 0, header.length, 0)
      for (const { start, end } of audioNames.map(infoOf)) writeSync(fd, bytes(start, end), 0, end - start, start)
      ftruncateSync(fd, size)
      closeSync(fd)
    },
  }
}

/** The length is prime, so that tensors do not have the same bytes by chance. */
const pattern = new Uint8Array(1_048_573)
let word = 1
for (let i = 0; i < pattern.length; i++) {
  word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0
  pattern[i] = word >>> 24
}

const patternFrom = (position: number, content: number) => pattern.subarray((position * content) % pattern.length)
