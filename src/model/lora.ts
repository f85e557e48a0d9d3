/**
 * Low-rank adapters on the linear layers of the transformer: which layers get one, how it is initialized, attached and detached (reference §7.5, §7.6).
 * Gradients, optimizer state and the saved file share one name for a factor: its key in the file. The variables themselves have no names, because
 * TensorFlow.js keeps those in one list for the whole process.
 */
import * as tf from '@tensorflow/tfjs'
import type { FrozenMatrix } from '../engine/device-tensors.ts'
import { UserError } from '../platform/errors.ts'
import { type Random, uniforms } from '../platform/random.ts'
import type { Linear } from './layers.ts'
import { type LoraFile, loraKeys } from './lora-file.ts'
import { fitLora } from './lora-fit.ts'
import { blockLinears } from './transformer/block.ts'
import type { Transformer } from './transformer/transformer.ts'

/** The trained factors by their keys in the saved file. */
export type LoraParameters = Map<string, tf.Variable>

/** loraA `[rank, in]`, loraB `[out, rank]`. */
export function loraShapes({ weight: { shape } }: { weight: Pick<FrozenMatrix, 'shape'> }, rank: number) {
  const [outputs, inputs] = shape
  return { a: [rank, inputs], b: [outputs, rank] } as { a: [number, number]; b: [number, number] }
}

/**
 * The linear layers that the target modules name, as PEFT matches them: the whole name, or its end after a dot.
 * @throws UserError for a target that matches no layer.
 */
export const findTargetLinears = (model: Transformer, targets: readonly string[]): Linear[] =>
  matchTargets(linearsOf(model), targets)

/** The same for any list of layers. @throws UserError for a target that matches no layer. */
export function matchTargets<Named extends { name: string }>(
  linears: readonly Named[],
  targets: readonly string[],
): Named[] {
  for (const target of targets)
    if (!linears.some(({ name }) => isTargetModule(name, target)))
      throw new UserError(`the target module ${target} matches no layer of the audio stream`, {
        hint: `layers are named like ${linears[0]?.name}`,
        parameter: 'target_modules',
      })
  return linears.filter(({ name }) => targets.some((target) => isTargetModule(name, target)))
}

/** Whether a layer's name is the target module, or ends with it after a dot. */
export const isTargetModule = (name: string, target: string) => name === target || name.endsWith(`.${target}`)

/**
 * Attaches a new LoRA: A is uniform in ±1/√in (Kaiming with a = √5), B is zero, so training starts from the base model.
 * @returns the factors, which are variables.
 */
export function attachNewLora(linears: readonly Linear[], rank: number, alpha: number, random: Random): LoraParameters {
  const parameters: LoraParameters = new Map()
  for (const linear of linears) {
    const keys = loraKeys(linear.name)
    const shapes = loraShapes(linear, rank)
    const [, inputs] = shapes.a
    const bound = 1 / Math.sqrt(inputs)
    const a = createVariable(tf.tensor2d(uniforms(random, rank * inputs, -bound, bound), shapes.a))
    const b = createVariable(tf.fill<tf.Rank.R2>(shapes.b, 0))
    linear.lora = { a, b, scale: alpha / rank }
    parameters.set(keys.a, a).set(keys.b, b)
  }
  return parameters
}

function createVariable(initial: tf.Tensor2D) {
  const variable = tf.variable(initial)
  initial.dispose()
  return variable as tf.Variable<tf.Rank.R2>
}

/** A LoRA file and the factor that its change of the weights is multiplied by. */
export type SavedLora = { file: LoraFile; strength: number }

/**
 * Attaches saved LoRAs. Several are combined: their factors are concatenated along the rank, with each strength multiplied into B.
 * @throws UserError where a file does not fit, as `fitLora` does.
 */
export function attachSavedLoras(model: Transformer, loras: readonly SavedLora[]) {
  const linears = new Map(linearsOf(model).map((linear) => [linear.name, linear]))
  const fits = loras.map(({ file }) => fitLora(file, (layer) => linears.get(layer)?.weight.shape))
  const factorsOf = new Map<Linear, { a: tf.Tensor2D; b: tf.Tensor2D }[]>()
  for (const [i, { strength }] of loras.entries())
    for (const [layer, { rank, a, b, inputs, outputs }] of fits[i]?.modules ?? []) {
      const linear = linears.get(layer) as Linear
      const scaled = b.map((value) => value * strength)
      const factors = { a: tf.tensor2d(a, [rank, inputs]), b: tf.tensor2d(scaled, [outputs, rank]) }
      factorsOf.set(linear, [...(factorsOf.get(linear) ?? []), factors])
    }
  for (const [linear, factors] of factorsOf) {
    const [as, bs] = [factors.map(({ a }) => a), factors.map(({ b }) => b)]
    linear.lora = { a: tf.concat(as, 0), b: tf.concat(bs, 1), scale: 1 }
    tf.dispose(factors)
  }
}

/** The factors of the attached LoRA, in the order of the layers. Empty where none is attached. */
export const loraFactors = (model: Transformer): tf.Tensor2D[] =>
  linearsOf(model).flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))

/** Detaches the LoRA and frees its factors. */
export function detachLora(model: Transformer) {
  for (const linear of linearsOf(model)) {
    if (!linear.lora) continue
    tf.dispose([linear.lora.a, linear.lora.b])
    delete linear.lora
  }
}

const linearsOf = ({ blocks }: Transformer): Linear[] => blocks.flatMap(blockLinears)
