/** Which layers of a LoRA file the audio stream of a base model takes. */
import { basename } from 'node:path'
import { UserError } from '../platform/errors.ts'
import type { LoraFile, LoraModule } from './lora-file.ts'
import { plainLoraHint, useAudioLora } from './lora-keys.ts'
import { kindOfLayer } from './lora-layers.ts'
import type { Weights } from './weights.ts'

export type LoraFit = {
  /** The factors for layers of the audio stream, by the layer's name. */
  modules: ReadonlyMap<string, LoraModule>
  /** Layers of the video stream, and between both. They have no effect where only sound is computed. */
  videoLayers: readonly string[]
}

/** The sizes of a layer's weight in the base model, `[outputs, inputs]`; undefined where it has no such layer. */
export type WeightShape = (layer: string) => readonly number[] | undefined

/** The sizes in a checkpoint, whose weights are not loaded for this. */
export const weightShapesOf =
  (transformer: Weights): WeightShape =>
  (layer) =>
    transformer.has(`${layer}.weight`) ? transformer.shape(`${layer}.weight`) : undefined

/**
 * Separates a file's layers.
 * @throws UserError when there is none of the audio stream, one that is not adapted here, or one that this base does not have or has with other widths.
 */
export function fitLora({ path, modules }: Pick<LoraFile, 'path' | 'modules'>, shapeOf: WeightShape): LoraFit {
  const layersOf = (kind: string) => [...modules.keys()].filter((layer) => kindOfLayer(layer) === kind)
  const videoLayers = layersOf('video')
  const [other] = layersOf('unknown')
  if (other !== undefined)
    throw unusable(path, `it also adapts ${other}, which is no layer of LTX-2's transformer`, plainLoraHint)
  const [audio] = layersOf('audio')
  if (audio !== undefined)
    throw unusable(path, `it also adapts ${audio}, a layer of the audio path that ltx-a2a does not adapt`, tenLayers)
  const adapted = layersOf('adapted')
  if (adapted.length === 0)
    throw unusable(
      path,
      `it adapts no layer of the audio stream, only ${videoLayers.length} of the video stream, such as ${videoLayers[0]}`,
      useAudioLora,
    )
  for (const layer of adapted) requireSameWidths(path, layer, modules.get(layer) as LoraModule, shapeOf(layer))
  return { modules: new Map(adapted.map((layer) => [layer, modules.get(layer) as LoraModule])), videoLayers }
}

function requireSameWidths(
  path: string,
  layer: string,
  { inputs, outputs }: LoraModule,
  shape: readonly number[] | undefined,
) {
  if (shape === undefined) throw mismatch(path, `it adapts ${layer}, which this base does not have`)
  const [baseOutputs, baseInputs] = shape
  if (inputs !== baseInputs || outputs !== baseOutputs)
    throw mismatch(path, `${layer} is [${outputs}, ${inputs}] there and [${baseOutputs}, ${baseInputs}] in this base`)
}

const unusable = (path: string, why: string, hint: string) =>
  new UserError(`${basename(path)} is not a LoRA that can be used here: ${why}`, { hint })

const tenLayers =
  'train it on the ten layers per block that ltx-a2a and the LTX-2 trainer adapt: attention to_k, to_q, to_v, to_out.0 and the feed-forward'

const mismatch = (path: string, why: string) =>
  new UserError(`${path} does not fit this base model: ${why}`, {
    hint: 'choose the base it was trained on with --model',
  })
