/** A base of the released sizes that lies in no file, as far as encoding and previews look at it. */
import type { BaseModel } from '../../src/model/base-model.ts'
import { released } from './released.ts'
import { syntheticWeights } from './synthetic-weights.ts'

export type SyntheticBase = Pick<BaseModel, 'config' | 'components' | 'fingerprint'>

export const syntheticBase = (blocks = 0): SyntheticBase => ({
  fingerprint: 'synthetic',
  config: { ...released, transformer: { ...released.transformer, num_layers: blocks } },
  components: {
    transformer: syntheticWeights('model.diffusion_model.'),
    connector: syntheticWeights('model.diffusion_model.audio_embeddings_connector.'),
    textProjection: syntheticWeights('text_embedding_projection.'),
    audioVae: syntheticWeights('audio_vae.'),
    vocoder: syntheticWeights('vocoder.'),
  },
})
