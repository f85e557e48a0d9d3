/** A whole run of the small base on WebGPU from the command line, against WebAssembly, and its resumption. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { tinyRun, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { ltxA2a } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const run = async (args: readonly string[]) => {
  const { code, stdout, stderr } = await ltxA2a(args, { cwd: folder })
  expect(code, stdout + stderr).toBe(0)
  return stdout + stderr
}

const train = (name: string, backend: string, steps: number, ...flags: string[]) =>
  run([
    ...['train', ...tinyRun, '--rank', '4', '--number-of-steps', String(steps)],
    ...['--learning-rate-schedule', 'constant', '--preview-interval', '0'],
    ...['--checkpoint-interval', '3', '--backend', backend, '--out', join(folder, name), ...flags],
  ])

const losses = (name: string) =>
  readFileSync(join(folder, name, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .flatMap((line) => (JSON.parse(line) as { loss?: number }).loss ?? [])
const lora = (name: string) => readFileSync(join(folder, name, 'lora.safetensors'))

beforeAll(async () => {
  writeTinyData(folder)
  await train('whole', 'webgpu', 6)
})

it('has the losses of WebAssembly', async () => {
  await train('wasm', 'wasm', 6)
  const [actual, expected] = [losses('whole'), losses('wasm')]
  expect(actual).toHaveLength(6)
  for (const [i, loss] of actual.entries()) expect(Math.abs(loss / (expected[i] as number) - 1)).toBeLessThan(1e-5)
})

it('has the same bytes again, and when it is resumed', async () => {
  await train('again', 'webgpu', 6)
  expect(lora('again').equals(lora('whole'))).toBe(true)
  await train('resumed', 'webgpu', 3)
  await run(['train', '--resume', join(folder, 'resumed'), '--number-of-steps', '6'])
  expect(lora('resumed').equals(lora('whole'))).toBe(true)
})

it('gives a LoRA that a preview plays on the same backend', async () => {
  const out = join(folder, 'preview.wav')
  const text = await run([
    ...['preview', '--lora', join(folder, 'whole', 'lora.safetensors'), '--ref', 'ref.wav', '--out', out],
    ...['--steps', '2', '--cfg', '1', '--stg-scale', '0', '--prompt', 'a tone', '--backend', 'webgpu'],
  ])
  expect(text).toContain('Backend: webgpu')
  expect(readFileSync(out).length).toBeGreaterThan(50_000)
})
