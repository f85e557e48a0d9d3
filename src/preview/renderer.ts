/** From a log-mel to sound: with the vocoder of the base, or by phase reconstruction, which needs no network. */
import { reconstructSound } from '../audio/griffin-lim.ts'
import type { Mel } from '../audio/mel.ts'
import { openResampler } from '../audio/resample.ts'
import { concatenateWaveforms, type Waveform } from '../audio/waveform.ts'
import type { RendererChoice } from '../config/parameters.ts'
import type { BaseModel } from '../model/base-model.ts'
import { type AudioVaeConfig, melOptionsOf, type VocoderConfig } from '../model/config.ts'
import { melTensor } from '../model/mel-tensor.ts'
import { vocodeInPieces } from '../model/vocoder/pieces.ts'
import { disposeVocoder, loadVocoder, vocode } from '../model/vocoder/vocoder.ts'
import type { Weights } from '../model/weights.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'

export type RendererName = Exclude<RendererChoice, 'auto'>

export type Renderer = {
  name: RendererName
  /**
   * The sound of a stereo log-mel as one waveform: 480 samples per mel frame at 48 kHz. With phase reconstruction, samples can exceed ±1.
   * @param onProgress called often. What it throws ends the rendering.
   */
  render(mel: Mel, onProgress?: () => void): Promise<Waveform>
  /** The same for log-mels of any length, piece after piece, in bounded memory. */
  renderInPieces(mel: Mel, onProgress?: () => void): AsyncGenerator<Waveform>
  close(): void
}

export type RenderingBase = Pick<BaseModel, 'components' | 'config'>

/** What makes the sound: the choice, or the vocoder where the base has one. @throws UserError for a vocoder that the base does not have. */
export function chooseRenderer(
  { checkpoint, config, isBundled }: Pick<BaseModel, 'checkpoint' | 'config' | 'isBundled'>,
  choice: RendererChoice,
): RendererName {
  if (choice === 'vocoder' && config.vocoder === undefined)
    throw new UserError(`${checkpoint.path} has no vocoder`, {
      hint: isBundled
        ? 'use --renderer griffin-lim'
        : 'add the file that contains it with --model, or use --renderer griffin-lim',
      parameter: 'renderer',
    })
  return choice === 'auto' ? (config.vocoder === undefined ? 'griffin-lim' : 'vocoder') : choice
}

/**
 * Says where no vocoder is used, because the sound is not that of the released model then.
 * @throws UserError for a vocoder that the base does not have.
 */
export function explainRenderer(base: BaseModel, choice: RendererChoice, reporter: Reporter) {
  if (chooseRenderer(base, choice) === 'vocoder') return
  const model = base.isBundled ? 'the bundled model' : base.checkpoint.path
  const reason = choice === 'auto' ? `, because ${model} has no vocoder` : ''
  reporter.info(`Renderer: griffin-lim${reason}; nothing above 8 kHz`)
}

/** Loads what the renderer needs. */
export function openRenderer({ components, config }: RenderingBase, choice: RendererChoice): Renderer {
  return config.vocoder === undefined || choice === 'griffin-lim'
    ? openPhaseReconstruction(config.audio_vae)
    : openVocoder(components.vocoder, config.vocoder)
}

function openVocoder(weights: Weights, config: VocoderConfig): Renderer {
  const vocoder = loadVocoder(weights, config)
  return {
    name: 'vocoder',
    render: async (mel) => {
      const tensor = melTensor(mel)
      try {
        return await vocode(vocoder, tensor)
      } finally {
        tensor.dispose()
      }
    },
    renderInPieces: async function* (mel, onProgress) {
      for await (const piece of vocodeInPieces(vocoder, mel)) {
        onProgress?.()
        yield piece
      }
    },
    close: () => disposeVocoder(vocoder),
  }
}

/** What the vocoder's bandwidth extension gives. */
const outputRate = 48_000

function openPhaseReconstruction(config: AudioVaeConfig): Renderer {
  const options = melOptionsOf(config)
  const renderInPieces: Renderer['renderInPieces'] = async function* (mel, onProgress) {
    const resampler = openResampler(options.sampleRate, outputRate, mel.channels)
    for await (const { channels } of reconstructSound(mel, options, onProgress))
      yield { sampleRate: outputRate, channels: resampler.push(channels) }
    yield { sampleRate: outputRate, channels: resampler.finish() }
  }
  const render: Renderer['render'] = async (mel, onProgress) => {
    const pieces: Waveform[] = []
    for await (const piece of renderInPieces(mel, onProgress)) pieces.push(piece)
    return concatenateWaveforms(pieces)
  }
  return { name: 'griffin-lim', render, renderInPieces, close: () => {} }
}
