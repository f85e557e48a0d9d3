/** Shell completion. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { needs } from '../needs.ts'
import { ltxA2a, newFolder } from './bin.ts'

const folder = newFolder()
const script = join(folder, 'completion.bash')

beforeAll(async () => {
  const { code, stdout, stderr } = await ltxA2a(['completion', 'bash'])
  expect([code, stderr]).toEqual([0, ''])
  writeFileSync(script, stdout)
  writeFileSync(join(folder, 'pairs.zip'), '')
})

function completed(...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ')
  const command = `source ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _ltx_a2a; printf '%s\\n' "\${COMPREPLY[@]}"`
  return spawnSync('bash', ['-c', command], { cwd: folder, encoding: 'utf8' }).stdout.split('\n').filter(Boolean)
}

describe.skipIf(spawnSync('bash', ['--version']).status !== 0)('bash completion', needs('bash'), () => {
  it('completes commands', () => {
    expect(completed('ltx-a2a', 'inspect')).toEqual(['inspect-dataset'])
    expect(completed('ltx-a2a', 'hel')).toEqual(['help'])
    expect(completed('ltx-a2a', '')).toEqual(expect.arrayContaining(['train', 'preview', 'inspect-dataset']))
  })

  it('completes the flags of a command, including aliases', () => {
    expect(completed('ltx-a2a', 'train', '--da')).toEqual(['--data'])
    expect(completed('ltx-a2a', 'train', '--training-d')).toEqual(['--training-data-url'])
    expect(completed('ltx-a2a', 'inspect-dataset', '--lim')).toEqual(['--limit'])
    expect(completed('ltx-a2a', 'inspect-dataset', '--ran')).toEqual([])
    expect(completed('ltx-a2a', 'train', '--dev')).toEqual([]) // hidden
  })

  it('completes file names in other positions', () => {
    expect(completed('ltx-a2a', 'inspect-dataset', 'pa')).toEqual(['pairs.zip'])
    expect(completed('ltx-a2a', 'train', '--data', 'pa')).toEqual(['pairs.zip'])
  })
})

describe('completion of other shells', () => {
  it('has one line per flag with its description for fish', async () => {
    const { stdout } = await ltxA2a(['completion', 'fish'])
    expect(stdout).toMatch(
      /^complete -c ltx-a2a -n '__fish_seen_subcommand_from train' -l rank -d 'rank of the LoRA matrices .*'$/m,
    )
  })

  it('uses the bash completion for zsh', async () => {
    const { stdout } = await ltxA2a(['completion', 'zsh'])
    expect(stdout).toMatch(/^autoload -Uz compinit bashcompinit\n/)
  })

  it('is refused for an unknown shell', async () => {
    expect(await ltxA2a(['completion', 'tcsh'])).toMatchObject({ code: 2, stdout: '' })
  })
})
