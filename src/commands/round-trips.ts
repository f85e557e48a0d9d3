/** A few targets of the dataset, sent through the autoencoder and the vocoder: what the model can hear, and say again. */
import { spectralDistance, spectrumOf, toMono } from '../analysis/spectrum.ts'
import type { Waveform } from '../audio/waveform.ts'
import type { FittedPair } from '../dataset/clips.ts'
import type { BaseModel } from '../model/base-model.ts'
import { renderLatents } from '../preview/preview.ts'
import type { RoundTrip } from '../report/run-page.ts'
import type { Terminal } from '../report/terminal.ts'
import type { EncodedPair } from '../train/trainer.ts'
import { soundOf } from './heard-previews.ts'

/** A minute of listening, not the whole dataset. */
const mostRoundTrips = 2

export type RoundTrips = {
  /** A pair as it is trained with; the first few are kept. */
  addClip(pair: FittedPair): void
  hear(base: BaseModel, pairs: readonly EncodedPair[], terminal: Terminal): Promise<void>
  readonly heard: readonly RoundTrip[]
}

export function createRoundTrips(): RoundTrips {
  const clips: FittedPair[] = []
  const heard: RoundTrip[] = []
  return {
    heard,
    addClip: (pair) => {
      if (clips.length < mostRoundTrips) clips.push(pair)
    },
    hear: async (base, pairs, terminal) => {
      const stage = terminal.stage('Round trips', clips.length, 'clips')
      for (const { name, target } of clips) {
        const latents = pairs.find((pair) => pair.name === name)?.target
        if (latents) heard.push(await roundTrip(name, target, await renderLatents(base, latents)))
        stage.update(heard.length)
      }
      stage.done(`what the model can hear of ${clips.map(({ name }) => name).join(' and ')}`)
    },
  }
}

async function roundTrip(name: string, original: Waveform, returned: Waveform): Promise<RoundTrip> {
  const distance = spectralDistance(spectrumOf(toMono(original)), spectrumOf(toMono(returned)))
  return { name, original: await soundOf(original), returned: await soundOf(returned), distance }
}
