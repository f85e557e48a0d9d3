import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ltxA2a, projectPath, spawnLtxA2a } from './bin.ts'

describe('help', () => {
  it.each([
    ['--help'],
    ['inspect-dataset --help'],
    ['train --help'],
    ['preview --help'],
    ['pull --help'],
    ['encode-captions --help'],
  ])('%s', async (line) => {
    const { code, stdout, stderr } = await ltxA2a(line.split(' '))
    expect(stdout).toMatchSnapshot()
    expect([code, stderr]).toEqual([0, ''])
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

it('--version prints the version of package.json', async () => {
  const { version } = JSON.parse(readFileSync(projectPath('package.json'), 'utf8'))
  expect(await ltxA2a(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
})
