/** The tensors of the vocoder that a config describes, so that an incomplete file is noticed before anything is computed with it. */
import { basename } from 'node:path'
import type { Safetensors } from '../../formats/safetensors.ts'
import { UserError } from '../../platform/errors.ts'
import { type BandwidthExtensionConfig, type GeneratorConfig, type VocoderConfig, vocoderPrefix } from '../config.ts'
import { type ExpectedShape, fitsShape, shapeText } from '../weights.ts'

/**
 * Checks that the vocoder of a checkpoint is complete and of the sizes in its config.
 * @param checkpoint in the layout of the released file.
 * @throws UserError that names the first tensor that is missing or has another shape.
 */
export function requireVocoder({ path, tensors }: Pick<Safetensors, 'path' | 'tensors'>, config: VocoderConfig) {
  const expected = [...vocoderTensors(config)]
  const missing = expected.filter(([name]) => !tensors.has(vocoderPrefix + name))
  if (missing[0])
    throw new UserError(
      `the vocoder in ${basename(path)} is incomplete: it lacks ${missing.length} of ${expected.length} tensors, such as ${vocoderPrefix}${missing[0][0]}`,
      {
        hint: 'download the file again, add the file with the missing tensors to --model, or leave out that of the vocoder',
      },
    )
  for (const [name, shape] of expected) {
    const stored = tensors.get(vocoderPrefix + name)?.shape ?? []
    if (!fitsShape(stored, shape))
      throw new UserError(
        `${vocoderPrefix}${name} in ${basename(path)} has the shape [${stored}], but the model config says [${shapeText(shape)}]`,
        { hint: 'the vocoder is not the one that the config describes: use another copy of the checkpoint' },
      )
  }
}

/** The name, without the component's prefix, and the shape of every tensor that `loadVocoder` reads. */
export function* vocoderTensors({ vocoder, bwe }: VocoderConfig): Generator<[name: string, shape: ExpectedShape]> {
  yield* prefixed('vocoder', generatorTensors(vocoder))
  yield* prefixed('bwe_generator', generatorTensors(bwe))
  yield* prefixed('mel_stft', melTensors(bwe))
}

function* melTensors({ n_fft, num_mels }: BandwidthExtensionConfig): Generator<[string, ExpectedShape]> {
  const bins = n_fft / 2 + 1
  yield ['stft_fn.forward_basis', [2 * bins, 1, n_fft]]
  yield ['mel_basis', [num_mels, bins]]
}

function* generatorTensors(config: GeneratorConfig): Generator<[string, ExpectedShape]> {
  const widthAfter = (stages: number) => config.upsample_initial_channel / 2 ** stages
  const blocks = config.resblock_kernel_sizes.length
  const last = widthAfter(config.upsample_rates.length)
  yield* convolution('conv_pre', [widthAfter(0), null, null], widthAfter(0))
  for (const [i, taps] of config.upsample_kernel_sizes.entries()) {
    yield* convolution(`ups.${i}`, [widthAfter(i), widthAfter(i + 1), taps], widthAfter(i + 1))
    for (let j = 0; j < blocks; j++)
      yield* prefixed(`resblocks.${i * blocks + j}`, ampBlock(config, j, widthAfter(i + 1)))
  }
  yield* prefixed('act_post', activation(last))
  yield ['conv_post.weight', [null, last, null]]
  if (config.use_bias_at_final) yield ['conv_post.bias', [null]]
}

function* ampBlock(config: GeneratorConfig, j: number, width: number): Generator<[string, ExpectedShape]> {
  const shape = [width, width, config.resblock_kernel_sizes[j] as number]
  for (const m of (config.resblock_dilation_sizes[j] ?? []).keys())
    for (const half of ['1', '2']) {
      yield* prefixed(`acts${half}.${m}`, activation(width))
      yield* convolution(`convs${half}.${m}`, shape, width)
    }
}

function* activation(channels: number): Generator<[string, ExpectedShape]> {
  yield ['upsample.filter', [1, 1, null]]
  yield ['downsample.lowpass.filter', [1, 1, null]]
  yield ['act.alpha', [channels]]
  yield ['act.beta', [channels]]
}

function* convolution(name: string, shape: ExpectedShape, outputs: number): Generator<[string, ExpectedShape]> {
  yield [`${name}.weight`, shape]
  yield [`${name}.bias`, [outputs]]
}

function* prefixed(prefix: string, tensors: Iterable<[string, ExpectedShape]>): Generator<[string, ExpectedShape]> {
  for (const [name, shape] of tensors) yield [`${prefix}.${name}`, shape]
}
