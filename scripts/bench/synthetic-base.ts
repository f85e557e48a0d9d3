/** A base in memory with the sizes of the released model and random weights. It has what encoding and previews use. */
import type { BaseModel } from '../../src/model/base-model.ts'
import { releasedConfig } from './released.ts'
import { syntheticWeights } from './synthetic-weights.ts'

export type SyntheticBase = Pick<BaseModel, 'config' | 'components' | 'fingerprint'>

export const syntheticBase = (blocks = 0): SyntheticBase => ({
  fingerprint: 'synthetic',
  config: { ...releasedConfig, transformer: { ...releasedConfig.transformer, num_layers: blocks } },
  components: {
    transformer: syntheticWeights('model.diffusion_model.'),
    connector: syntheticWeights('model.diffusion_model.audio_embeddings_connector.'),
    textProjection: syntheticWeights('text_embedding_projection.'),
    audioVae: syntheticWeights('audio_vae.'),
    vocoder: syntheticWeights('vocoder.'),
  },
})
