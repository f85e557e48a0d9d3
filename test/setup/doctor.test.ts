import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type DoctorReport, examineMachine } from '../../src/setup/doctor.ts'
import { ltxA2a } from '../cli/bin.ts'
import { needs } from '../needs.ts'

const data = mkdtempSync(join(tmpdir(), 'ltx-a2a-doctor-'))
const doctor = (args: string[] = [], env: Record<string, string> = {}) =>
  ltxA2a(['doctor', ...args], { env: { LTX_A2A_DATA: data, ...env } })
const report = async (...call: Parameters<typeof doctor>): Promise<DoctorReport> => {
  const { code, stdout, stderr } = await doctor(['--json', ...(call[0] ?? [])], call[1])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

const require = createRequire(import.meta.url)
const hasTensorFlowFromNpm = ['tfjs-node-gpu', 'tfjs-node'].some((name) => {
  try {
    return require.resolve(`@tensorflow/${name}`) !== ''
  } catch {
    return false
  }
})

describe('the doctor', () => {
  it('prints a table to stdout', async () => {
    const { code, stdout } = await doctor(['--backend', 'wasm'])
    expect(code).toBe(0)
    for (const about of ['Node', 'Memory', 'Backend', 'float32 products', 'ffmpeg', 'Base', 'Cache', 'Proxies'])
      expect(stdout).toContain(`│ ${about} `)
  })

  it('prints the same as JSON', async () => {
    const { backend, products, base, native } = await report(['--backend', 'wasm'])
    expect(backend).toMatchObject({ name: 'wasm', passedOver: [] })
    expect(native).toBeUndefined()
    expect(products?.float32).toMatchObject({ works: true, gigaflops: expect.any(Number) })
    expect(products?.bfloat16).toEqual({ works: false, reason: 'only native TensorFlow has it' })
    expect(base).toMatchObject({ isBundled: true, blocks: expect.any(Number) })
  })

  it('names the precision, and what setup-tensorflow lacks', async () => {
    const { precision, setUp } = await report(['--backend', 'wasm'], { CXX: '/nowhere/c++' })
    expect(precision).toEqual({ name: 'float32' })
    expect(setUp).toMatchObject({ failure: expect.stringContaining('CXX is /nowhere/c++, which does not run') })
  })

  it('stops when the signal is aborted', async () => {
    const stopped = examineMachine({ backend: 'wasm' }, { signal: AbortSignal.abort() })
    await expect(stopped).rejects.toMatchObject({ name: 'Interrupted' })
  })

  it('reports missing parts instead of failing', async () => {
    const { base, ffmpeg } = await report(['--backend', 'wasm', '--model', '/nowhere/ltx.safetensors'], {
      FFMPEG_PATH: '/nowhere/ffmpeg',
    })
    expect(base.failure).toContain('/nowhere/ltx.safetensors')
    expect(ffmpeg.failure).toBe('FFMPEG_PATH is /nowhere/ffmpeg, which does not run')
  })

  it.skipIf(hasTensorFlowFromNpm)(
    'reports why an outdated setup cannot be used, and uses another backend',
    needs('tfjs-node without the TensorFlow that npm brings'),
    async () => {
      const broken = mkdtempSync(join(tmpdir(), 'ltx-a2a-doctor-'))
      mkdirSync(join(broken, 'tensorflow'))
      writeFileSync(
        join(broken, 'tensorflow', 'installation.json'),
        JSON.stringify({ tfjs: '3.0.0', from: 'a test', libraries: [] }),
      )
      const { backend } = await report([], { LTX_A2A_DATA: broken })
      expect(backend.name).toBe('wasm')
      expect(backend.passedOver?.[0]).toMatchObject({
        reason: expect.stringMatching(/^TensorFlow was set up for tfjs 3\.0\.0, not /),
        hint: 'run ltx-a2a setup-tensorflow again',
      })
      expect(backend.warnings).toEqual([
        {
          message: expect.stringMatching(/^native TensorFlow is not used: TensorFlow was set up for tfjs 3\.0\.0/),
          hint: 'run ltx-a2a setup-tensorflow again',
        },
      ])
    },
  )
})
