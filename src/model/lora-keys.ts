/** The names of the tensors in LoRA files of various trainers. */
import type { UserError } from '../platform/errors.ts'
import { kindOfLayer, releasedLayerName } from './lora-layers.ts'

/** The names of a layer's tensors in a file. */
export type LayerTensors = { a: string; b: string; alpha?: string | undefined }

/**
 * The tensors of every layer, by the layer's name in the released checkpoint. It reads the names of PEFT (`lora_A`, with or without the name of the
 * adapter), of kohya (`lora_down`, `alpha`, underscores for dots) and of diffusers (`lora.down`), with any name for the transformer before them.
 * @param invalid makes the error for a reason.
 * @throws the error for a file that is something else: another kind of adapter, a checkpoint, a LoRA of another model.
 */
export function findLayers(names: Iterable<string>, invalid: InvalidLora): Map<string, LayerTensors> {
  const all = [...names]
  if (all.length === 0) throw invalid('it is empty')
  refuseOtherFormats(all, invalid)
  const found = new Map<string, Partial<LayerTensors>>()
  for (const name of all) {
    const { layer, part } = parseKey(name) ?? {}
    if (layer === undefined || part === undefined) throw invalid(`it contains ${name}`)
    const tensors = found.get(layer) ?? {}
    if (tensors[part] !== undefined)
      throw invalid(`${layer} has two tensors of the same meaning, ${tensors[part]} and ${name}`, {
        hint: 'save each LoRA in a file of its own',
      })
    found.set(layer, { ...tensors, [part]: name })
  }
  const layers = [...found.keys()]
  if (layers.every((layer) => kindOfLayer(layer) === 'unknown'))
    throw invalid(`it was made for ${otherModel(layers)}: LTX-2 has no layer ${layers[0]}`, { hint: useAudioLora })
  return new Map(
    [...found].map(([layer, { a, b, alpha }]) => {
      if (a === undefined || b === undefined)
        throw invalid(`${layer} has ${a ? 'only lora_A' : b ? 'only lora_B' : 'an alpha, but no factors'}`)
      return [layer, { a, b, alpha }]
    }),
  )
}

export type InvalidLora = (why: string, options?: { hint: string }) => UserError

export const useAudioLora = 'choose a LoRA that was trained on pairs of recordings, by ltx-a2a or by the LTX-2 trainer'

/** Other contents than pairs of low-rank factors, by how their tensors are named. */
const otherFormats: readonly [pattern: RegExp, what: string, hint: string][] = [
  [/^(first|second)\.diffusion_model\./, 'is the state of a training run', 'use lora.safetensors of the same run'],
  [/(^|[._])(dora_scale|lora_magnitude_vector)(\.|$)/, 'is a DoRA, which also scales the weights', ''],
  [/[._]hada_w/, 'is a LoHa, a product of two low-rank matrices', ''],
  [/[._]lokr_w/, 'is a LoKr, a Kronecker product', ''],
  [/[._](oft_|boft_)/, 'is an OFT, which rotates the weights', ''],
  [/[._]ia3_|\.on_input$/, 'is an IA³, which scales activations', ''],
  [/[._]lora_mid\./, 'has a third factor for each layer (lora_mid), as LoRAs of convolutions have', ''],
  [/[._]lora_embedding_[AB]/, 'adapts an embedding table', ''],
  [/\.(diff|diff_b|set_weight)$/, 'contains full weights (.diff) in place of low-rank factors', ''],
  [/\.base_layer\./, 'contains the weights of the model as well', 'save only the weights of the adapter'],
  [/[._]lora_(A|B|down|up)(\..+)?\.bias$|\.bias$/, 'also trains biases', ''],
]

/** Whether a tensor belongs to an adapter, of any of these kinds, and not to a model. */
export const isAdapterTensor = (name: string) =>
  /[._](lora_(A|B|down|up)|hada_w\d.*|lokr_w\d.*|oft_\w+)\b|\.(diff|diff_b|dora_scale)$/.test(name)

function refuseOtherFormats(names: readonly string[], invalid: InvalidLora) {
  if (!names.some((name) => /lora|hada_|lokr_|oft_|ia3_|\.on_input$|\.diff(_b)?$/i.test(name))) {
    if (names.some((name) => checkpointTensor.test(name)))
      throw invalid('it is a checkpoint of a whole model', {
        hint: 'give checkpoints with --model, and LoRAs with --lora',
      })
    return
  }
  for (const [pattern, what, hint] of otherFormats) {
    const name = names.find((name) => pattern.test(name))
    if (name === undefined) continue
    throw invalid(`it ${what}: it contains ${name}`, { hint: hint || plainLoraHint })
  }
}

export const plainLoraHint =
  'train or save it as a plain LoRA, with a pair of factors (lora_A and lora_B, or lora_down and lora_up) for each layer'

const checkpointTensor = /(^|\.)(\w*blocks\.\d+|encoder|decoder|audio_vae|vocoder|vae|layers\.\d+)\..+\.weight$/

function parseKey(name: string): { layer: string; part: keyof LayerTensors } | undefined {
  for (const [pattern, parts] of keyPatterns) {
    const [, layer, side = 'alpha'] = pattern.exec(name) ?? []
    if (layer !== undefined) return { layer: releasedLayerName(layer), part: parts[side] as keyof LayerTensors }
  }
  return undefined
}

const sides = { A: 'a', down: 'a', B: 'b', up: 'b' } as const

const keyPatterns: readonly [pattern: RegExp, parts: Readonly<Record<string, keyof LayerTensors>>][] = [
  [/^(.+)\.lora_(A|B|down|up)(?:\.[^.]+)?\.weight$/, sides], // the part between is the name of the adapter
  [/^(.+)\.lora_(A|B)$/, sides],
  [/^(.+)[._]lora(?:_linear_layer)?\.(down|up)\.weight$/, sides],
  [/^(.+)\.alpha$/, { alpha: 'alpha' }],
]

/** Image models have blocks of other names; other video models have none of these. */
const otherModel = (layers: readonly string[]) =>
  layers.some((layer) => imageLayer.test(layer)) ? 'an image model' : 'another model'

const imageLayer =
  /(down|up|mid|input|middle|output|double|joint)_?blocks?|single_transformer_blocks|single_blocks|lora_te|text_model|transformer_blocks.\d+.attn[._]/
