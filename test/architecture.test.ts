/** Checks the rules of docs/architecture.md: which folder may import which, and which may use the terminal, processes and signals. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** The folders of src from the bottom up, and the lower folders that each may import. `index` is `src/index.ts`. */
const layers: Readonly<Record<string, readonly string[] | 'all below'>> = {
  platform: [],
  config: ['platform'],
  formats: ['platform'],
  machine: ['platform'],
  net: ['platform', 'config', 'formats', 'machine'],
  audio: ['platform', 'config'],
  engine: ['platform', 'formats', 'machine'],
  model: ['platform', 'formats', 'audio', 'engine'],
  dataset: ['platform', 'config', 'formats', 'net', 'audio'],
  diffusion: ['platform', 'engine', 'model'],
  encode: ['platform', 'config', 'formats', 'machine', 'net', 'audio', 'engine', 'model', 'dataset'],
  preview: ['platform', 'config', 'formats', 'net', 'audio', 'engine', 'model', 'dataset', 'diffusion', 'encode'],
  apply: [...['platform', 'config', 'net', 'audio', 'engine', 'model', 'dataset', 'diffusion', 'encode', 'preview']],
  train: 'all below',
  report: ['platform', 'config', 'formats', 'audio', 'dataset', 'train'],
  setup: ['platform', 'config', 'formats', 'machine', 'net', 'audio', 'engine', 'model', 'encode'],
  queue: ['platform'],
  worker: 'all below',
  server: 'all below',
  cli: 'all below',
  index: 'all below',
}

const order = Object.keys(layers)
const below = (layer: string) => order.slice(0, order.indexOf(layer))

/** Packages and Node modules that only some folders may import. */
const confined: { what: RegExp; places: readonly string[] }[] = [
  { what: /^@tensorflow\//, places: ['engine', 'model', 'diffusion', 'encode', 'train', 'preview'] },
  { what: /^yauzl$/, places: ['dataset', 'setup'] }, // a Python wheel is a zip file
  { what: /^(execa|(node:)?(child_process|cluster))$/, places: ['audio/ffmpeg.ts', 'machine'] },
  { what: /^(commander|chalk|cli-progress|cli-table3)$/, places: ['cli'] },
  { what: /^(node:)?(process|console|readline(\/promises)?|tty)$/, places: ['cli'] },
]

/** Code that is only allowed in the command line interface. */
const cliOnly: { what: RegExp; does: string }[] = [
  { what: /\bprocess\s*\.\s*(stdout|stderr|stdin)\b|\bconsole\s*[.[]/, does: 'writes to the terminal' },
  { what: /\{[^{}]*\b(stdout|stderr|stdin)\b[^{}]*\}\s*=\s*process\b/, does: 'writes to the terminal' },
  // exit is the only process event that the core may listen to: locks are removed on exit
  {
    what: /\bprocess\s*\.\s*(on|once|addListener|prepend(Once)?Listener)\s*\((?!\s*'exit')/,
    does: 'listens to signals',
  },
  { what: /\bprocess\s*\.\s*(exit|exitCode|reallyExit|abort)\b/, does: 'ends the process' },
  { what: /\{[^{}]*\b(exit|exitCode)\b[^{}]*\}\s*=\s*process\b/, does: 'ends the process' },
]

/** The violations of these rules in a file. @param path relative to src. */
function violations(path: string, source: string): string[] {
  const isIn = (places: readonly string[]) => places.some((place) => path === place || path.startsWith(`${place}/`))
  const [from, code] = [layerOf(path), withoutComments(source)]
  const imports = importsOf(source)
  const upward = imports
    .filter((name) => name.startsWith('.'))
    .map((name) => layerOf(join(dirname(path), name)))
    .filter((to) => to !== from && !mayImport(from, to))
    .map((to) => `${path} (${from}) imports ${to}`)
  const outside = imports
    .filter((name) => confined.some(({ what, places }) => what.test(name) && !isIn(places)))
    .map((name) => `${path} imports ${name}`)
  const forbidden = cliOnly.filter(({ what }) => what.test(code) && !isIn(['cli'])).map(({ does }) => `${path} ${does}`)
  return [...upward, ...outside, ...forbidden]
}

function mayImport(from: string, to: string): boolean {
  const allowed = layers[from] ?? []
  return (allowed === 'all below' ? below(from) : allowed).includes(to)
}

const layerOf = (path: string) => basename(path.split('/')[0] ?? '', '.ts')

/** All modules that a file imports or re-exports, including types and dynamic imports. */
const importsOf = (source: string) =>
  [...withoutComments(source).matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['"`])([^'"`]+)\1/g)].map(
    ([, , name]) => name as string,
  )

const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')

type Files = ReadonlyMap<string, string>

/** Import cycles, one list per cycle in import order, including type-only and dynamic imports. */
function importCycles(files: Files): string[][] {
  const done = new Set<string>()
  const cycles: string[][] = []
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path)
    if (start >= 0) return void cycles.push([...trail.slice(start), path])
    if (done.has(path)) return
    for (const imported of importsOf(files.get(path) ?? '')) {
      const target = normalize(join(dirname(path), imported))
      if (imported.startsWith('.') && files.has(target)) visit(target, [...trail, path])
    }
    done.add(path)
  }
  for (const path of files.keys()) visit(path, [])
  return cycles
}

const files: Files = new Map(
  readdirSync(src, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [path, readFileSync(join(src, path), 'utf8')]),
)

describe('the sources', () => {
  it('are in the folders of the table of layers', () => {
    expect(files.size).toBeGreaterThan(100)
    expect([...new Set([...files.keys()].map(layerOf))].sort()).toEqual([...order].sort())
  })

  it('may import only lower layers', () => {
    for (const [layer, allowed] of Object.entries(layers))
      if (allowed !== 'all below')
        expect([layer, allowed.filter((to) => !below(layer).includes(to))]).toEqual([layer, []])
  })

  it('follow the rules', () => {
    expect([...files].flatMap(([path, source]) => violations(path, source))).toEqual([])
  })

  it('have no import cycles, type-only and dynamic imports included', () => {
    expect(importCycles(files).map((cycle) => cycle.join(' → '))).toEqual([])
  })

  it('import existing files with their extension', () => {
    const missing = [...files].flatMap(([path, source]) =>
      importsOf(source)
        .filter((name) => name.startsWith('.') && !existsSync(join(src, dirname(path), name)))
        .map((name) => `${path} imports ${name}`),
    )
    expect(missing).toEqual([])
  })

  it('are not named utils, helpers, common or types', () => {
    expect([...files.keys()].filter((path) => /^(utils?|helpers?|common|types)(\.ts)?$/.test(basename(path)))).toEqual(
      [],
    )
  })
})

describe('a violation is found when a file', () => {
  const cases: [does: string, path: string, source: string, found: string][] = [
    ['imports upwards', 'model/rope.ts', "import { x } from '../train/step.ts'", 'model/rope.ts (model) imports train'],
    [
      'imports a folder of the same level',
      'dataset/zip.ts',
      "import type { X } from '../diffusion/sampler.ts'",
      'imports diffusion',
    ],
    [
      'imports a lower layer that is not allowed',
      'report/page/page.ts',
      "import { x } from '../../engine/a.ts'",
      'imports engine',
    ],
    ['imports upwards in several lines', 'audio/mel.ts', "import {\n  x,\n} from '../model/rope.ts'", 'imports model'],
    ['imports for side effects', 'audio/mel.ts', "import '../model/rope.ts'", 'imports model'],
    ['uses a type of a higher layer', 'audio/mel.ts', "let x: import('../model/rope.ts').X", 'imports model'],
    [
      're-exports from a higher layer',
      'config/values.ts',
      "export { x } from '../dataset/pairs.ts'",
      'imports dataset',
    ],
    ['imports the entry point', 'cli/train.ts', "import { train } from '../index.ts'", 'imports index'],
    ['uses TensorFlow', 'audio/mel.ts', "import * as tf from '@tensorflow/tfjs'", 'imports @tensorflow/tfjs'],
    ['imports TensorFlow dynamically', 'cli/train.ts', "await import('@tensorflow/tfjs')", 'imports @tensorflow/tfjs'],
    ['starts a process', 'audio/decode.ts', "import { spawn } from 'node:child_process'", 'imports node:child_process'],
    ['opens a zip', 'cli/train.ts', "import yauzl from 'yauzl'", 'imports yauzl'],
    ['uses commander', 'config/values.ts', "import { Option } from 'commander'", 'imports commander'],
    ['uses chalk', 'report/run-report.ts', "import chalk from 'chalk'", 'imports chalk'],
    ['uses console', 'train/step.ts', 'console.log(1)', 'writes to the terminal'],
    ['writes to stderr', 'report/run-report.ts', "process.stderr.write('x')", 'writes to the terminal'],
    ['destructures process', 'train/train.ts', 'const { stdout, env } = process', 'writes to the terminal'],
    ['imports stdin', 'train/train.ts', "import { stdin } from 'node:process'", 'imports node:process'],
    ['handles a signal', 'train/train.ts', "process.on('SIGINT', stop)", 'listens to signals'],
    [
      'handles signals with a variable name',
      'train/train.ts',
      'for (const s of all) process.once(s, stop)',
      'listens to signals',
    ],
    ['exits', 'train/train.ts', 'process.exit(1)', 'ends the process'],
    ['sets the exit code', 'train/train.ts', 'process.exitCode = 1', 'ends the process'],
  ]
  it.each(cases)('%s', (_, path, source, found) =>
    expect(violations(path, source)).toEqual([expect.stringContaining(found)]),
  )

  it('does not contain comments or allowed code', () => {
    expect(violations('model/rope.ts', "/** as in import('../train/step.ts') */\n// console.log\n")).toEqual([])
    expect(violations('cli/signals.ts', "process.on('SIGINT', () => process.exit(130))")).toEqual([])
    expect(violations('platform/lock.ts', "process.once('exit', release)")).toEqual([])
    expect(violations('train/train.ts', "import { a } from '../preview/preview.ts'")).toEqual([])
  })
})

describe('an import cycle is found', () => {
  const cyclesOf = (sources: Record<string, string>) => importCycles(new Map(Object.entries(sources)))

  it.each<[of: string, sources: Record<string, string>]>([
    ['values', { 'a.ts': "import { b } from './b.ts'", 'b.ts': "import { a } from './a.ts'" }],
    ['types', { 'a.ts': "import type { B } from './b.ts'", 'b.ts': "import type { A } from './a.ts'" }],
    ['one dynamic import', { 'a.ts': "await import('./b.ts')", 'b.ts': "export { a } from './a.ts'" }],
    ['the type of an import', { 'a.ts': "type B = import('./b.ts').B", 'b.ts': "import type { A } from './a.ts'" }],
  ])('of %s', (_, sources) => expect(cyclesOf(sources)).toEqual([['a.ts', 'b.ts', 'a.ts']]))

  it('of three files in two folders that is reached from another file', () => {
    const sources = {
      'start.ts': "import './x/a.ts'",
      'x/a.ts': "import '../y/b.ts'",
      'x/c.ts': "import type { A } from './a.ts'",
      'y/b.ts': "import type { C } from '../x/c.ts'",
    }
    expect(cyclesOf(sources)).toEqual([['x/a.ts', 'y/b.ts', 'x/c.ts', 'x/a.ts']])
  })

  it('but not when two files import a third', () => {
    expect(cyclesOf({ 'a.ts': "import './b.ts'\nimport './c.ts'", 'b.ts': "import './c.ts'", 'c.ts': '' })).toEqual([])
  })
})
