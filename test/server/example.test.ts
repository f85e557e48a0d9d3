/** The example for JavaScript in `docs/serve.md`, as it is printed: it trains on the demo's pairs. */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, it } from 'vitest'
import { projectPath } from '../cli/bin.ts'
import { exampleIn } from './example.ts'
import { startServed } from './served.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-example-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('the example for JavaScript trains and prints the URL of a LoRA', async () => {
  const env = { ...process.env, LTX_A2A_CACHE: join(folder, 'cache'), LTX_A2A_KEY: 'secret' }
  const server = await startServed(join(folder, 'data'), env)
  try {
    writeFileSync(join(folder, 'example.mjs'), exampleIn('js', server.url, 'secret'))
    copyFileSync(projectPath('fixtures/demo/pairs.zip'), join(folder, 'pairs.zip'))
    symlinkSync(projectPath('node_modules'), join(folder, 'node_modules'))
    const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: folder })
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toContain('COMPLETED')
    const response = await fetch(lines.at(-1) ?? '')
    const lora = Buffer.from(await response.arrayBuffer())
    const header = JSON.parse(lora.toString('utf8', 8, 8 + Number(lora.readBigUInt64LE()))) as Record<string, unknown>
    expect(Object.keys(header).some((name) => name.endsWith('lora_A.weight'))).toBe(true)
  } finally {
    await server.stop()
  }
}, 120_000)
