/**
 * Comparison with the numbers of the reference implementation. Tolerances are read from the README of a golden set, so `LTX_A2A_GOLDEN=<dir>` and
 * `LTX_A2A_GOLDEN_25=<dir>` can name other sets of the same format, with other widths, heads, depths and lengths.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as tf from '@tensorflow/tfjs'
import { expect } from 'vitest'
import { type BackendChoice, startBackend } from '../../src/engine/backend.ts'
import { openSafetensors, type Safetensors } from '../../src/formats/safetensors.ts'

/** Files of numbers with a README that describes them. */
export type NumberSet = {
  /** The path of a file of the set. */
  path(file: string): string
  json(file: string): ReturnType<typeof JSON.parse>
  /** The numbers in a file, with the tolerances of the set's README. */
  numbers(file: string): Golden
  /** What the README says about a file. */
  section(file: string): string
}

/** Numbers of a whole base. */
export type GoldenSet = NumberSet & {
  name: string
  /** The path of the only file of weights in a folder. */
  onlyFileIn(folder: string): string
  /** What `openBase` takes for the set's base. */
  base: { model: string; textEncoder: string }
}

/** @param folder another set of the same format, in place of the bundled one. */
function numberSet(bundled: string, folder = bundled): NumberSet {
  const path = (file: string) => join(folder, file)
  const readme = existsSync(path('README.md')) ? path('README.md') : join(bundled, 'README.md')
  const section = (file: string) => readSection(readme, file)
  return {
    path,
    json: (file) => JSON.parse(readFileSync(path(file), 'utf8')),
    numbers: (file) => readNumbers(path(file), section(file)),
    section,
  }
}

function goldenSet(name: string, numbers: NumberSet, files: { model: string; textEncoder: string }): GoldenSet {
  const weights = (file: string) => onlyFileIn(numbers.path(file))
  return {
    ...numbers,
    name,
    onlyFileIn: weights,
    base: { model: files.model.split(',').map(weights).join(','), textEncoder: weights(files.textEncoder) },
  }
}

/** The path itself, or that of the only file of weights in a folder of a component. */
function onlyFileIn(path: string): string {
  if (!statSync(path).isDirectory() || existsSync(join(path, 'config.json'))) return path
  const [file = ''] = readdirSync(path).filter((name) => name.endsWith('.safetensors'))
  return join(path, file)
}

const inThisFolder = (name: string) => fileURLToPath(new URL(name, import.meta.url))

export const ltx23 = goldenSet('LTX-2.3', numberSet(inThisFolder('data'), process.env.LTX_A2A_GOLDEN), {
  model: 'tiny-ltx-2.3.safetensors',
  textEncoder: 'tiny-gemma3',
})

export const ltx25 = goldenSet('LTX-2.5', numberSet(inThisFolder('data-2.5'), process.env.LTX_A2A_GOLDEN_25), {
  model: 'base/diffusion_models,base/vae',
  textEncoder: 'base/text_encoders',
})

/** The text tower of Gemma 4, computed by the public library. */
export const gemma4 = numberSet(inThisFolder('gemma4'))

export const goldenSets = [ltx23, ltx25]

export const { path: goldenPath, json: goldenJson, numbers: golden } = ltx23

/** Starts the backend under test, `LTX_A2A_BACKEND` or the default, in float32 like the reference. */
export function startGoldenBackend() {
  return startBackend((process.env.LTX_A2A_BACKEND ?? 'auto') as BackendChoice, { precision: 'float32' })
}

export type Golden = {
  file: Safetensors
  names: string[]
  float32(name: string): Float32Array
  shape(name: string): number[]
  tensor<R extends tf.Rank>(name: string): tf.Tensor<R>
  /** The description of a tensor in the README of the set, with its settings: `cfg 7.0, stg 1.0 in block 1`. */
  meaning(name: string): string
  /** Fails unless max |a − b| / max |b|, and the same in L2, are within the tolerances of the set's README. */
  expectClose(name: string, values: ArrayLike<number>): void
  /** The same for the values of a tensor. */
  expectTensor(name: string, actual: tf.Tensor): Promise<void>
}

function readNumbers(path: string, section: string): Golden {
  const file = openSafetensors(path)
  const rows = readRows(section)
  const rowOf = (name: string) => {
    const row = rows.find(({ pattern }) => pattern.test(name))
    if (!row) throw new Error(`the README has no row for ${name}`)
    return row
  }
  const shape = (name: string) => {
    const info = file.tensors.get(name)
    if (!info) throw new Error(`${path} has no ${name}`)
    return info.shape
  }
  const expectClose = (name: string, values: ArrayLike<number>) => {
    const expected = file.float32(name)
    const { tolerance } = rowOf(name)
    if (!tolerance) throw new Error(`the README gives no tolerance for ${name}`)
    expect(values.length, `${name} has ${expected.length} values`).toBe(expected.length)
    const error = relativeError(values, expected)
    expect(error.max, `${name}: largest error relative to the largest value`).toBeLessThanOrEqual(tolerance.max)
    expect(error.l2, `${name}: relative error in L2`).toBeLessThanOrEqual(tolerance.l2)
  }
  return {
    file,
    names: [...file.tensors.keys()],
    float32: file.float32,
    shape,
    tensor: <R extends tf.Rank>(name: string) =>
      tf.tensor(file.float32(name), shape(name) as tf.ShapeMap[R]) as tf.Tensor<R>,
    meaning: (name) => rowOf(name).meaning,
    expectClose,
    expectTensor: async (name, actual) => expectClose(name, await actual.data()),
  }
}

export function relativeError(values: ArrayLike<number>, expected: ArrayLike<number>) {
  let [maxError, maxExpected, squaredError, squaredExpected] = [0, 0, 0, 0]
  for (let i = 0; i < expected.length; i++) {
    const b = expected[i] as number
    const error = Math.abs((values[i] as number) - b)
    if (Number.isNaN(error)) return { max: Number.NaN, l2: Number.NaN }
    maxError = Math.max(maxError, error)
    maxExpected = Math.max(maxExpected, Math.abs(b))
    squaredError += error * error
    squaredExpected += b * b
  }
  const ratio = (error: number, scale: number) => (error === 0 ? 0 : error / scale)
  return { max: ratio(maxError, maxExpected), l2: ratio(Math.sqrt(squaredError), Math.sqrt(squaredExpected)) }
}

type Row = { pattern: RegExp; meaning: string; tolerance?: { max: number; l2: number } }

/** The rows of the table of a file, literal names before patterns. */
function readRows(section: string): Row[] {
  return [...section.matchAll(/^\| `([^`]+)`[^|]*\|[^|]*\|(.*)\|([^|]*)\|([^|]*)\|$/gm)]
    .map(([, name = '', meaning = '', , tolerance = '']) => ({
      name,
      meaning: meaning.trim(),
      pattern: patternOf(name),
      ...toleranceOf(tolerance.trim()),
    }))
    .sort((a, b) => Number(a.name.includes('{')) - Number(b.name.includes('{')))
}

/** The section of a file in the README of its set. */
const readSection = (readme: string, fileName: string): string =>
  readFileSync(readme, 'utf8')
    .split(/^### /m)
    .find((part) => part.startsWith(`\`${fileName}\``)) ?? ''

/** `5e-4 / 2e-4` for max and L2, one number for both, or `exact`; inputs have none. */
function toleranceOf(text: string) {
  const [max, l2] = text === 'exact' ? [0] : text.split('/').map(Number)
  return max === undefined || Number.isNaN(max) ? {} : { tolerance: { max, l2: l2 ?? max } }
}

/** `b.block{i}` stands for b.block0, b.block1 … */
const patternOf = (name: string) =>
  new RegExp(`^${name.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '.+?')}$`)

/** The number after a word of a description: `numberAfter('cfg 7.0, stg 1.0 in block 1', 'cfg')` is 7. */
export function numberAfter(meaning: string, word: string): number {
  const [, digits] = new RegExp(`${word} (\\d[\\d.e-]*)`).exec(meaning) ?? []
  if (digits === undefined) throw new Error(`the README names no ${word} in "${meaning}"`)
  return Number(digits)
}
