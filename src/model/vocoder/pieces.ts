/**
 * The vocoder for log-mels of any length: the waveform is computed in pieces, so that memory does not grow with it. A piece with so many mel frames on
 * both sides as its convolutions reach has, between them, the samples that the whole would have.
 */
import { setImmediate } from 'node:timers/promises'
import { type Mel, sliceMel } from '../../audio/mel.ts'
import type { Waveform } from '../../audio/waveform.ts'
import { sum } from '../../platform/statistics.ts'
import { melTensor } from '../mel-tensor.ts'
import type { Convolution } from './convolution.ts'
import type { Activation, AmpBlock, Generator } from './generator.ts'
import { samplesPerMelFrame, type Vocoder, vocode } from './vocoder.ts'

/** In mel frames, 5 s. */
const pieceFrames = 500

/** The waveform of a stereo log-mel, piece after piece. @param length of a piece, in mel frames. */
export async function* vocodeInPieces(vocoder: Vocoder, mel: Mel, length = pieceFrames): AsyncGenerator<Waveform> {
  const context = vocoderContext(vocoder)
  const samples = samplesPerMelFrame(vocoder)
  for (let from = 0; from < mel.frames; from += length) {
    const start = Math.max(0, from - context)
    const to = Math.min(mel.frames, from + length)
    const piece = melTensor(sliceMel(mel, start, Math.min(mel.frames, to + context)))
    const { sampleRate, channels } = await vocode(vocoder, piece)
    piece.dispose()
    yield {
      sampleRate,
      channels: channels.map((channel) => channel.subarray((from - start) * samples, (to - start) * samples)),
    }
    await setImmediate()
  }
}

/** How many mel frames before and after a mel frame its samples depend on. */
export function vocoderContext(vocoder: Vocoder): number {
  const { generator, extension } = vocoder
  const { mel, upsampler } = extension
  const lowRateSamples = samplesPerMelFrame(vocoder) / extension.rate
  const window = mel.real.shape[0]
  const extended = Math.max(generatorReach(extension.generator) * mel.hop + window, upsampler.before, upsampler.after)
  return Math.ceil(generatorReach(generator) + extended / lowRateSamples)
}

/** How many input frames before and after a frame its samples depend on. */
function generatorReach({ input, stages, activation, output }: Generator): number {
  let rate = 1 // samples per input frame
  let reach = convolutionReach(input)
  for (const { up, blocks } of stages) {
    reach += Math.max(up.before, up.after) / rate
    rate *= up.rate
    reach += Math.max(...blocks.map(blockReach)) / rate
  }
  return reach + (activationReach(activation) + convolutionReach(output)) / rate
}

const blockReach = (block: AmpBlock) =>
  block.reduce(
    (reach, { activations, convolutions }) =>
      reach + sum(activations.map(activationReach)) + sum(convolutions.map(convolutionReach)),
    0,
  )

const convolutionReach = ({ kernel, dilation }: Convolution) => ((kernel.shape[0] - 1) / 2) * dilation

/** At most: the upsampling filter, and the downsampling filter at twice the rate. */
const activationReach = ({ up, down }: Activation) => Math.max(up.before, up.after) + Math.ceil(down.shape[1] / 4)
