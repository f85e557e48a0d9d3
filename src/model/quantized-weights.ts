/** Weights that are quantized to integers (reference §10.1). ComfyUI's int8 files are rotated as well, so their scales alone do not restore them. */
import { quantizedWeights, type TensorInfo } from '../formats/safetensors-header.ts'

type Tensors = ReadonlyMap<string, TensorInfo>

/** The first weight among the tensors in use that is stored as integers. */
export function firstQuantized(tensors: Tensors, isUsed: (name: string) => boolean) {
  for (const [name, { dtype }] of tensors)
    if (/\.weight$/.test(name) && /^[IU]/.test(dtype) && isUsed(name)) return { name, dtype }
  return undefined
}

/**
 * @param file its name, for the message.
 * @param usable the name of the file to use instead.
 * @throws UserError when a tensor in use is quantized.
 */
export function requireFloatWeights(file: string, tensors: Tensors, isUsed: (name: string) => boolean, usable: string) {
  const weight = firstQuantized(tensors, isUsed)
  if (!weight) return
  throw quantizedWeights(file, weight, `use the bfloat16 file, ${usable}; rotated int8 and nvfp4 are made for ComfyUI`)
}
