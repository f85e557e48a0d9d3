/**
 * Low-rank adapters on the transformer's linear layers: which layers, how they begin, how they come and go (spec §7.5, §7.6). A factor's name is
 * its key in the saved file, so gradients, optimizer state and safetensors share one name.
 */
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../platform/errors.ts'
import { type Random, uniforms } from '../platform/random.ts'
import type { Linear } from './layers.ts'
import type { LoraFile } from './lora-file.ts'
import type { Transformer } from './transformer/transformer.ts'

/** The trained factors by their names in the file. */
export type LoraParameters = Map<string, tf.Variable>

export const loraKeys = (module: string) => ({
  a: `diffusion_model.${module}.lora_A.weight`,
  b: `diffusion_model.${module}.lora_B.weight`,
})

/** loraA `[rank, in]`, loraB `[out, rank]`. */
export function loraShapes({ weight: { shape } }: Pick<Linear, 'weight'>, rank: number) {
  const [outputs, inputs] = shape
  return { a: [rank, inputs], b: [outputs, rank] } as { a: [number, number]; b: [number, number] }
}

/**
 * The linear layers whose names end with one of the targets.
 * @throws UserError for a target that matches nothing.
 */
export const findTargets = (model: Transformer, targets: readonly string[]): Linear[] =>
  matchTargets(model.blocks.flatMap(blockLinears), targets)

export function matchTargets<Named extends { name: string }>(
  linears: readonly Named[],
  targets: readonly string[],
): Named[] {
  const isTarget = ({ name }: Named, target: string) => name === target || name.endsWith(`.${target}`)
  for (const target of targets)
    if (!linears.some((linear) => isTarget(linear, target)))
      throw new UserError(`the target module ${target} matches no layer of the audio stream`, {
        hint: `layers are named like ${linears[0]?.name}`,
      })
  return linears.filter((linear) => targets.some((target) => isTarget(linear, target)))
}

/** Attaches fresh factors: A uniform in ±1/√in (Kaiming with a = √5), B zero, so that training starts from the base. */
export function attachNewLora(linears: readonly Linear[], rank: number, alpha: number, random: Random): LoraParameters {
  const parameters: LoraParameters = new Map()
  for (const linear of linears) {
    const keys = loraKeys(linear.name)
    const shapes = loraShapes(linear, rank)
    const [, inputs] = shapes.a
    const bound = 1 / Math.sqrt(inputs)
    const a = variable(keys.a, tf.tensor2d(uniforms(random, rank * inputs, -bound, bound), shapes.a))
    const b = variable(keys.b, tf.fill<tf.Rank.R2>(shapes.b, 0))
    linear.lora = { a, b, scale: alpha / rank }
    parameters.set(keys.a, a).set(keys.b, b)
  }
  return parameters
}

/**
 * Attaches saved adapters, several at once if asked: factors are stacked along the rank, strengths folded into B.
 * @throws UserError when a file's layer does not exist here or has other sizes.
 */
export function attachSavedLoras(model: Transformer, loras: readonly { file: LoraFile; strength: number }[]) {
  const linears = new Map(model.blocks.flatMap(blockLinears).map((linear) => [linear.name, linear]))
  const stacks = new Map<Linear, { a: tf.Tensor2D; b: tf.Tensor2D }[]>()
  for (const { file, strength } of loras)
    for (const [module, { rank, a, b, inputs, outputs }] of file.modules) {
      const linear = linears.get(module)
      if (!linear) throw otherBase(file.path, `it adapts ${module}, which this base does not have`)
      const [wantedOutputs, wantedInputs] = linear.weight.shape
      if (inputs !== wantedInputs || outputs !== wantedOutputs)
        throw otherBase(
          file.path,
          `${module} is [${outputs}, ${inputs}] there and [${wantedOutputs}, ${wantedInputs}] in this base`,
        )
      const scaled = b.map((value) => value * strength)
      const factors = { a: tf.tensor2d(a, [rank, inputs]), b: tf.tensor2d(scaled, [outputs, rank]) }
      stacks.set(linear, [...(stacks.get(linear) ?? []), factors])
    }
  for (const [linear, factors] of stacks) {
    const a = tf.concat(
      factors.map((factor) => factor.a),
      0,
    )
    const b = tf.concat(
      factors.map((factor) => factor.b),
      1,
    )
    linear.lora = { a, b, scale: 1 }
    tf.dispose(factors)
  }
}

/** The factors that a training may be changing. */
export const trainedFactors = (model: Transformer): tf.Variable[] =>
  model.blocks
    .flatMap(blockLinears)
    .flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))
    .filter((factor) => factor instanceof tf.Variable)

/** Takes every adapter off again and frees its factors. */
export function detachLora(model: Transformer) {
  for (const linear of model.blocks.flatMap(blockLinears)) {
    if (!linear.lora) continue
    tf.dispose([linear.lora.a, linear.lora.b])
    delete linear.lora
  }
}

const otherBase = (path: string, why: string) =>
  new UserError(`${path} does not fit this base model: ${why}`, {
    hint: 'choose the base it was trained on with --model',
  })

const blockLinears = ({ selfAttention, textAttention, feedForward }: Transformer['blocks'][number]): Linear[] => [
  ...[selfAttention, textAttention].flatMap(({ query, key, value, output }) => [key, query, value, output]),
  feedForward.up,
  feedForward.down,
]

function variable(name: string, initial: tf.Tensor2D) {
  const created = tf.variable(initial, true, name)
  initial.dispose()
  return created as tf.Variable<tf.Rank.R2>
}
