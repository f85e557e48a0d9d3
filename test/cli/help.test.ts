import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { defaultLimits } from '../../src/config/limits.ts'
import { ltxA2a, projectPath, spawnLtxA2a } from './bin.ts'

describe('help', () => {
  it.each([
    ['--help'],
    ['inspect-dataset --help'],
    ['fix-dataset --help'],
    ['make-pairs --help'],
    ['train --help'],
    ['preview --help'],
    ['pull --help'],
    ['encode-captions --help'],
    ['serve --help'],
    ['worker --help'],
  ])('%s', async (line) => {
    const { code, stdout, stderr } = await ltxA2a(line.split(' '))
    expect(stdout).toMatchSnapshot()
    expect([code, stderr]).toEqual([0, ''])
  })

  it('lists every limit with its default', async () => {
    const { stdout } = await ltxA2a(['train', '--help'])
    const text = stdout.replace(/\s+/g, ' ')
    expect(text).toContain('Limits on the input: --limit <name=number>')
    for (const [name, value] of Object.entries(defaultLimits)) expect(text).toContain(`${name}=${value}`)
  })

  it.each([
    ['help', '--help'],
    ['help train', 'train --help'],
    ['help help', 'help --help'],
  ])('%s prints what %s prints', async (words, flag) => {
    const expected = await ltxA2a(flag.split(' '))
    expect(await ltxA2a(words.split(' '))).toEqual({ ...expected, code: 0, stderr: '' })
  })

  it('of an unknown command is refused', async () => {
    const { code, stdout, stderr } = await ltxA2a(['help', 'trian'])
    expect([code, stdout, stderr]).toEqual([2, '', "error: unknown command 'trian'\n"])
  })

  it('does not load TensorFlow', async () => {
    const { code, stderr } = await spawnLtxA2a(['train', '--help'], { env: { NODE_DEBUG: 'esm' } })
    expect(code).toBe(0)
    expect(stderr).toContain('commander')
    expect(stderr).not.toContain('@tensorflow')
  })

  it('is printed to stderr with exit code 2 when no command is given', async () => {
    const { code, stdout, stderr } = await ltxA2a([])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('Usage: ltx-a2a')
  })
})

it.each([
  ['train --data pairs --resume'],
  ['train --config'],
  ['encode-captions --data pairs --out'],
  ['inspect-dataset pairs --html'],
  ['fix-dataset pairs --out'],
  ['make-pairs --out'],
  ['pull --out'],
  ['setup-tensorflow --from'],
  ['setup-tensorflow --python'],
])('%s with an empty path is refused, and names the option', async (line) => {
  const words = line.split(' ')
  const { code, stdout, stderr } = await ltxA2a([...words, ''])
  expect(stderr).toMatch(
    new RegExp(`^error: option '${words.at(-1)} <.*>' argument '' is invalid. It must not be empty`),
  )
  expect([code, stdout]).toEqual([2, ''])
})

it('--version prints the version of package.json', async () => {
  const { version } = JSON.parse(readFileSync(projectPath('package.json'), 'utf8'))
  expect(await ltxA2a(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
})
