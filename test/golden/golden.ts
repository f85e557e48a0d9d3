/**
 * The reference implementation's numbers, and how near ours have to come. Tolerances are read from the README of the golden set itself, so that
 * `LTX_A2A_GOLDEN=<dir>` can point at another set of the same format: other widths, heads, depths, lengths.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { openSafetensors, type Safetensors } from '../../src/checkpoint/safetensors.ts'
import { type BackendChoice, startBackend } from '../../src/engine/backend.ts'

const bundled = fileURLToPath(new URL('data', import.meta.url))

export const goldenPath = (file: string) => join(process.env.LTX_A2A_GOLDEN ?? bundled, file)
export const goldenJson = (file: string) => JSON.parse(readFileSync(goldenPath(file), 'utf8'))

/** The backend under test: `LTX_A2A_BACKEND`, or what the tool itself would choose. */
export const startGoldenBackend = () => startBackend((process.env.LTX_A2A_BACKEND ?? 'auto') as BackendChoice)

export type Golden = {
  file: Safetensors
  names: string[]
  float32(name: string): Float32Array
  shape(name: string): number[]
  /** Fails unless the values are as near to the golden tensor as the set's README asks: max |a − b| / max |b|, and the same in L2. */
  expectClose(name: string, values: ArrayLike<number>): void
}

export function golden(fileName: string): Golden {
  const file = openSafetensors(goldenPath(fileName))
  const tolerances = readTolerances(fileName)
  const shape = (name: string) => {
    const info = file.tensors.get(name)
    if (!info) throw new Error(`${fileName} has no ${name}`)
    return info.shape
  }
  const expectClose = (name: string, values: ArrayLike<number>) => {
    const wanted = file.float32(name)
    const tolerance = tolerances.find(({ pattern }) => pattern.test(name))
    if (!tolerance) throw new Error(`the README gives no tolerance for ${name}`)
    expect(values.length, `${name} has ${wanted.length} values`).toBe(wanted.length)
    const error = relativeError(values, wanted)
    expect(error.max, `${name}: largest error relative to the largest value`).toBeLessThanOrEqual(tolerance.max)
    expect(error.l2, `${name}: relative error in L2`).toBeLessThanOrEqual(tolerance.l2)
  }
  return { file, names: [...file.tensors.keys()], float32: file.float32, shape, expectClose }
}

export function relativeError(values: ArrayLike<number>, wanted: ArrayLike<number>) {
  let [maxError, maxWanted, squaredError, squaredWanted] = [0, 0, 0, 0]
  for (let i = 0; i < wanted.length; i++) {
    const b = wanted[i] as number
    const error = Math.abs((values[i] as number) - b)
    if (Number.isNaN(error)) return { max: Number.NaN, l2: Number.NaN }
    maxError = Math.max(maxError, error)
    maxWanted = Math.max(maxWanted, Math.abs(b))
    squaredError += error * error
    squaredWanted += b * b
  }
  const ratio = (error: number, scale: number) => (error === 0 ? 0 : error / scale)
  return { max: ratio(maxError, maxWanted), l2: ratio(Math.sqrt(squaredError), Math.sqrt(squaredWanted)) }
}

type Tolerance = { pattern: RegExp; max: number; l2: number }

/** The last column of the file's table in the README: `5e-4 / 2e-4`, one number for both, or `exact`. Literal names come before patterns. */
function readTolerances(fileName: string): Tolerance[] {
  const readme = goldenPath('README.md')
  const text = readFileSync(existsSync(readme) ? readme : join(bundled, 'README.md'), 'utf8')
  const section = text.split(/^### /m).find((part) => part.startsWith(`\`${fileName}\``)) ?? ''
  const rows = [...section.matchAll(/^\| `([^`]+)`.*\| ([^|]+) \|$/gm)].flatMap(([, name = '', last = '']) => {
    const [max, l2] = last.trim() === 'exact' ? [0, 0] : last.split('/').map(Number)
    if (max === undefined || Number.isNaN(max)) return []
    return [{ name, pattern: patternOf(name), max, l2: l2 ?? max }]
  })
  return rows.sort((a, b) => Number(a.name.includes('{')) - Number(b.name.includes('{')))
}

/** `b.block{i}` stands for b.block0, b.block1 … */
const patternOf = (name: string) =>
  new RegExp(`^${name.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '.+?')}$`)
