/** Runs the examples of docs/api.md unchanged in a project with the package installed. */

import { once } from 'node:events'
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import yazl from 'yazl'
import { performance, radio } from './audio/analysis/sounds.ts'
import { writeWav } from './audio/signals.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const project = mkdtempSync(join(tmpdir(), 'ltx-a2a-api-'))
afterAll(() => rmSync(project, { recursive: true }))

/** Each example with the heading of its section. */
const examples = readFileSync(join(root, 'docs/api.md'), 'utf8')
  .split(/^## /m)
  .flatMap((section) => {
    const [, title = '', code] = /^(.+)\n[\s\S]*?^```ts\n([\s\S]+?)^```$/m.exec(section) ?? []
    return code === undefined ? [] : [{ title, code }]
  })

beforeAll(async () => {
  const { stdout } = await execa('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], {
    cwd: root,
  })
  const [{ filename }] = JSON.parse(stdout)
  const installed = join(project, 'node_modules', 'ltx-a2a')
  mkdirSync(installed, { recursive: true })
  await execa('tar', ['-xzf', join(project, filename), '-C', installed, '--strip-components', '1'])
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules')) // the dependencies, as npm would install them
  mkdirSync(join(project, 'node_modules', '@types'))
  symlinkSync(join(root, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'))
  writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
  writeWav(join(project, 'voice.wav'), performance(1, { seconds: 1.5 }))
  await writePairs(join(project, 'pairs.zip'))
})

/** Two pairs are enough to train on. */
async function writePairs(path: string) {
  const zip = new yazl.ZipFile()
  for (const seed of [1, 2]) {
    const reference = performance(seed, { seconds: 1.5 })
    for (const [side, waveform] of [
      ['start', reference],
      ['end', radio(reference)],
    ] as const)
      zip.addFile(writeWav(join(project, `take${seed}_${side}.wav`), waveform), `take${seed}_${side}.wav`)
  }
  zip.end()
  await once(zip.outputStream.pipe(createWriteStream(path)), 'close')
}

describe('the examples of docs/api.md', () => {
  it('cover every part of the API', () => expect(examples.length).toBeGreaterThanOrEqual(8))

  it('pass type checking', async () => {
    for (const [i, { code }] of examples.entries()) writeFileSync(join(project, `example${i}.ts`), code)
    const options = {
      module: 'nodenext',
      target: 'es2022',
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: ['node'],
      lib: ['es2023'],
    }
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: options, include: ['example*.ts'] }),
    )
    const { stdout } = await execa(join(root, 'node_modules/.bin/tsc'), ['-p', project], { reject: false })
    expect(stdout).toBe('')
  })

  it.each(examples.map((example, i) => ({ ...example, i })))('run: $title', async ({ code, i }) => {
    const file = join(project, `example${i}.mjs`)
    writeFileSync(file, code)
    const { stdout, stderr } = await execa(process.execPath, [file], { cwd: project })
    expect(stdout).not.toBe('')
    expect(stderr).not.toMatch(/\bat .+:\d+:\d+/) // a stack trace
  })

  it('train the same LoRA in sequential and parallel runs of one process', async () => {
    const run = (out: string) =>
      `train({ data: 'pairs.zip', audioDurationSeconds: 0.5, rank: 8, numberOfSteps: 2, previewInterval: 0, out: '${out}' })`
    const execute = (name: string, ...runs: string[]) => {
      writeFileSync(join(project, name), ["import { train } from 'ltx-a2a'", ...runs].join('\n'))
      return execa(process.execPath, [join(project, name)], { cwd: project })
    }
    await execute('sequential.mjs', `await ${run('runs/a')}`, `await ${run('runs/b')}`)
    await execute('parallel.mjs', `await Promise.all([${run('runs/c')}, ${run('runs/d')}])`)
    const lora = (out: string) => readFileSync(join(project, out, 'lora.safetensors'))
    for (const other of ['runs/b', 'runs/c', 'runs/d']) expect(lora('runs/a').equals(lora(other)), other).toBe(true)
  })
})
