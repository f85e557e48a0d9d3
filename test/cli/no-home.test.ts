/** A user without a home folder, or whose folders cannot be written to: containers that run under any user ID. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { needs } from '../needs.ts'
import { ltxA2a, newFolder, projectPath } from './bin.ts'

const folder = newFolder()
const train = ['train', '--data', 'pairs', '--audio-duration-seconds', '0.5', '--rank', '2', '--number-of-steps', '1']
const run = (args: string[], env: Record<string, string>) => ltxA2a(args, { cwd: folder, env })

beforeAll(() => {
  writeTinyData(folder)
  writeFileSync(join(folder, 'file'), '')
})

describe('without a cache that can be written to', () => {
  it('a training says once which variable to set, and gives the same LoRA', async () => {
    const lora = (out: string) => readFileSync(join(folder, out, 'lora.safetensors'))
    const { code, stderr } = await run([...train, '--out', 'uncached'], {
      LTX_A2A_CACHE: join(folder, 'file', 'cache'),
    })
    expect(code, stderr).toBe(0)
    expect(stderr.match(/nothing is cached/g)).toHaveLength(1)
    expect(stderr).toContain(`${join(folder, 'file')} is a file (set LTX_A2A_CACHE to a folder that can be written to)`)
    expect(stderr).toContain('0 bytes for the cache')
    await run([...train, '--out', 'cached'], {})
    expect(lora('uncached').equals(lora('cached'))).toBe(true)
  })
})

it('setup-tensorflow names LTX_A2A_DATA when its folder cannot be written to', async () => {
  const { code, stderr } = await run(['setup-tensorflow'], { LTX_A2A_DATA: join(folder, 'file', 'data') })
  expect(stderr).toMatch(
    /^error: TensorFlow cannot be set up in .*: .*file is a file\n {2}hint: set LTX_A2A_DATA to a folder/,
  )
  expect(code).toBe(2)
})

it('a run that cannot be written is refused before the data is inspected', async () => {
  const { code, stderr } = await run([...train, '--out', join('file', 'run')], {})
  expect(stderr).toMatch(
    /^error: the run cannot be written to file.run: .*file is a file\n {2}hint: choose a folder with --out\n$/,
  )
  expect(code).toBe(2)
})

describe.skipIf(process.getuid?.() !== 0)('a user without a home folder and without a name', needs('root'), () => {
  let home = ''
  beforeAll(() => {
    home = mkdtempSync('/tmp/ltx-a2a-no-home-') // the temporary folder of the tests is closed to other users
    writeTinyData(home)
    mkdirSync(join(home, 'open'))
    chmodSync(home, 0o755)
    chmodSync(join(home, 'open'), 0o777)
  })
  afterAll(() => rmSync(home, { recursive: true }))
  const asNobody = (args: string[], env: Record<string, string> = {}) => {
    const { PATH, LTX_A2A_BASE } = process.env
    const options = { cwd: home, uid: 12_345, gid: 12_345, env: { PATH, LTX_A2A_BASE, TMPDIR: '/tmp', ...env } }
    return spawnSync(process.execPath, [projectPath('bin/ltx-a2a.js'), ...args], { ...options, encoding: 'utf8' })
  }

  it.each<[what: string, env: Record<string, string>, obstacle: RegExp]>([
    ['no HOME', {}, /nothing is cached: there is no home folder \(set LTX_A2A_CACHE/],
    ['HOME=/', { HOME: '/' }, /nothing is cached: there is no permission to write to \/ \(set LTX_A2A_CACHE/],
  ])('can train with %s', (_, env, obstacle) => {
    const { status, stderr } = asNobody([...train, '--backend', 'wasm', '--out', `open/${env.HOME ? 'a' : 'b'}`], env)
    expect(stderr).toMatch(obstacle)
    expect(status, stderr).toBe(0)
  })

  it('gets a report of the doctor that names the variables to set', () => {
    const { status, stdout, stderr } = asNobody(['doctor', '--backend', 'wasm', '--json'])
    expect(status, stderr).toBe(0)
    const none = { folder: null, bytes: 0, obstacle: 'there is no home folder' }
    expect(JSON.parse(stdout)).toMatchObject({ cache: none, data: none })
    expect(asNobody(['doctor', '--backend', 'wasm']).stdout.replace(/[│\s]+/g, ' ')).toContain('LTX_A2A_CACHE')
  })

  it.each([
    ['setup-tensorflow', 'there is no home folder for the data of ltx-a2a', 'set LTX_A2A_DATA'],
    ['setup-tensorflow --undo', 'there is no home folder for the data of ltx-a2a', 'set LTX_A2A_DATA'],
    [`${train.join(' ')}`, 'the run cannot be written to runs: there is no permission', 'choose a folder with --out'],
    [`${train.join(' ')} --out open/tmp`, 'cannot be written to', 'set TMPDIR to a folder', 'a closed TMPDIR'],
  ])('%s ends with one sentence that says what to set', (line, message, hint, isClosed?: string) => {
    const { status, stderr } = asNobody(line.split(' '), isClosed ? { TMPDIR: home } : {})
    expect(stderr).toContain(message)
    expect(stderr).toContain(`hint: ${hint}`)
    expect(status, stderr).toBe(2)
  })
})
