/** Targets of the dataset, encoded and decoded again: how much of a sound the autoencoder and the vocoder preserve. */
import type { Waveform } from '../audio/waveform.ts'
import type { EncodedPair } from '../encode/dataset.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Reporter } from '../platform/progress.ts'
import { renderLatents } from '../preview/render.ts'
import type { TrainEvent } from './events.ts'

/** Emits a `reconstruction` for each clip. One that fails becomes a warning: it must not stop the training. */
export async function reconstructTargets(
  base: BaseModel,
  clips: readonly { name: string; target: Waveform }[],
  pairs: readonly EncodedPair[],
  reporter: Reporter<TrainEvent>,
) {
  if (clips.length === 0) return
  const stage = reporter.stage('Reconstructing clips', clips.length, 'clips')
  try {
    for (const [i, { name, target: original }] of clips.entries()) {
      const latents = pairs.find((pair) => pair.name === name)?.target
      if (!latents) continue
      const reconstructed = await renderLatents(base, latents)
      await reporter.emit({ type: 'reconstruction', name, original, reconstructed })
      stage.update(i + 1)
    }
    stage.finish(`${clips.map(({ name }) => name).join(' and ')}, encoded and decoded`)
  } catch (error) {
    stage.finish('failed')
    reporter.warn(`the reconstruction of a clip failed: ${(error as Error).message}`)
  }
}
