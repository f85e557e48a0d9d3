/**
 * The audio VAE for recordings of any length: they are encoded and decoded in pieces, so that memory does not grow with them. Its convolutions reach
 * back a limited time and never forward. A piece that begins so much earlier has, after that, the values that the whole would have.
 */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import type { Mel } from '../../audio/mel.ts'
import { concatenateRows, fromBatch, type HostMatrix, rows, toBatch } from '../../engine/device-tensors.ts'
import { melTensor } from '../mel-tensor.ts'
import {
  type AudioVae,
  type Convolution,
  type Decoder,
  decodeLatents,
  type Encoder,
  encodeMel,
  requirePart,
} from './audio-vae.ts'
import { patchify, unpatchify } from './latents.ts'

/** In latent frames, 8 s. */
const pieceFrames = 200

export type PieceOptions = {
  /** Called with the number of latent frames that are done. */
  onProgress?: (done: number) => void
  /** In latent frames. */
  pieceFrames?: number
}

/**
 * Encodes a log-mel of any length.
 * @param frames the number of latent frames T.
 * @param melOf computes the log-mel frames `from … to − 1`; the last are the frames up to `4·T − 4`.
 * @returns latent patches, `[T, 128]`.
 */
export async function encodeInPieces(
  vae: AudioVae,
  frames: number,
  melOf: (from: number, to: number) => Mel,
  { onProgress, pieceFrames: length = pieceFrames }: PieceOptions = {},
): Promise<HostMatrix> {
  const context = encoderContext(requirePart(vae, 'encoder'))
  const pieces: HostMatrix[] = []
  for (let from = 0; from < frames; from += length) {
    const start = Math.max(0, from - context)
    const end = Math.min(frames, from + length)
    const mel = melOf(4 * start, 4 * end - 3)
    const encoded = tf.tidy(() => patchify(encodeMel(vae, melTensor(mel))))
    pieces.push(rows(await fromBatch(encoded), from - start, end - start))
    onProgress?.(end)
    await setImmediate()
  }
  return concatenateRows(pieces)
}

/** Decodes latent patches of any length to a log-mel of `4·T − 3` frames. @param latents `[T, 128]`. */
export async function decodeInPieces(
  vae: AudioVae,
  latents: HostMatrix,
  latentChannels: number,
  { onProgress, pieceFrames: length = pieceFrames }: PieceOptions = {},
): Promise<Mel> {
  const context = decoderContext(requirePart(vae, 'decoder'))
  const [frames] = latents.shape
  const melFrames = 4 * frames - 3
  let mel: Mel | undefined
  for (let from = 0; from < frames; from += length) {
    const start = Math.max(0, from - context)
    const end = Math.min(frames, from + length)
    const piece = tf.tidy(() => decodeLatents(vae, unpatchify(toBatch(rows(latents, start, end)), latentChannels)))
    const [, channels, pieceMelFrames, melBins] = piece.shape
    const values = await piece.data<'float32'>()
    piece.dispose()
    mel ??= { channels, frames: melFrames, melBins, data: new Float32Array(channels * melFrames * melBins) }
    const first = from === 0 ? 0 : 4 * from - 3 // latent frame t > 0 stands for the mel frames 4·t − 3 … 4·t
    for (let c = 0; c < channels; c++) {
      const at = (c * pieceMelFrames + first - 4 * start) * melBins
      mel.data.set(values.subarray(at, (c + 1) * pieceMelFrames * melBins), (c * melFrames + first) * melBins)
    }
    onProgress?.(end)
    await setImmediate()
  }
  if (!mel) throw new Error('there are no latents to decode')
  return mel
}

/** How many latent frames before a latent frame the encoder depends on. */
export function encoderContext({ input, levels, middle, output }: Encoder): number {
  let reach = timeReach(input) // in mel frames
  let rate = 1 // mel frames per row
  for (const { blocks, downsample } of levels) {
    reach += rate * blocksReach(blocks)
    if (!downsample) continue
    reach += rate * timeReach(downsample)
    rate *= 2
  }
  return Math.ceil((reach + rate * (blocksReach(middle) + timeReach(output))) / rate)
}

/** How many latent frames before a latent frame the mel frames that it stands for depend on. */
export function decoderContext({ input, middle, levels, output }: Decoder): number {
  let reach = timeReach(input) + blocksReach(middle) // in latent frames
  let rate = 1 // rows per latent frame
  for (const { blocks, upsample } of levels) {
    reach += blocksReach(blocks) / rate
    if (!upsample) continue
    rate *= 2
    reach += (timeReach(upsample) + 1) / rate // a row is repeated, and the first row is dropped
  }
  return Math.ceil(reach + timeReach(output) / rate)
}

/** Rows before the current one that a causal convolution uses. */
const timeReach = ({ kernel }: Convolution) => kernel.shape[0] - 1

const blocksReach = (blocks: Decoder['middle']) =>
  blocks.reduce((reach, { first, second }) => reach + timeReach(first) + timeReach(second), 0)
