/** The rules of the house, read off the import lines: which folder may know which, and who may talk to the world. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** Each folder, or file directly in src, and the others it may import. The leaves may be imported by all. */
const layers: Record<string, readonly string[]> = {
  index: [
    'commands',
    'config',
    'report',
    'dataset',
    'audio',
    'encode',
    'train',
    'preview',
    'pull',
    'analysis',
    'model',
    'engine',
    'checkpoint',
  ],
  cli: ['commands', 'config', 'report'],
  commands: [
    'config',
    'report',
    'setup',
    'doctor',
    'dataset',
    'analysis',
    'audio',
    'encode',
    'train',
    'preview',
    'pull',
    'model',
    'engine',
    'checkpoint',
  ],
  config: [],
  report: ['dataset', 'analysis', 'audio', 'doctor'],
  setup: ['doctor', 'engine'],
  doctor: ['audio', 'encode', 'model', 'engine', 'checkpoint'],
  dataset: ['audio', 'analysis'],
  analysis: ['audio'],
  encode: ['dataset', 'audio', 'model', 'engine', 'checkpoint'],
  train: ['flow', 'model', 'engine', 'checkpoint'],
  preview: ['flow', 'model', 'engine', 'audio', 'checkpoint'],
  pull: ['checkpoint'],
  flow: [],
  model: ['engine', 'checkpoint'],
  engine: ['checkpoint'],
  audio: [],
  checkpoint: [],
  errors: [],
  random: [],
  files: [],
  limits: [],
  version: [],
}

const leaves = ['errors', 'random', 'files', 'limits', 'version']

/** Packages, and node's own modules, that only some places may import. */
const confined: { what: RegExp; places: readonly string[] }[] = [
  { what: /^@tensorflow\//, places: ['engine', 'model', 'encode', 'flow', 'train', 'preview'] },
  { what: /^yauzl$/, places: ['dataset', 'setup/wheel.ts'] }, // a wheel is a zip
  { what: /^(execa|(node:)?child_process)$/, places: ['audio/ffmpeg.ts', 'setup/programs.ts'] }, // ffmpeg; python, npm and the compiler
  { what: /^commander$/, places: ['cli.ts', 'commands'] },
]

const speakers = ['cli.ts', 'commands', 'report/terminal.ts']
const speech = /\bprocess\.(stdout|stderr)\b|\bconsole\s*\./

/** What a file does that the house does not allow. @param path relative to src. */
function violations(path: string, source: string): string[] {
  const isIn = (places: readonly string[]) => places.some((place) => path === place || path.startsWith(`${place}/`))
  const found: string[] = []
  for (const imported of importsOf(source)) {
    if (imported.startsWith('.')) {
      const [from, to] = [layerOf(path), layerOf(join(dirname(path), imported))]
      if (from !== to && !leaves.includes(to) && !layers[from]?.includes(to))
        found.push(`${path} (${from}) imports ${to}`)
    }
    for (const { what, places } of confined)
      if (what.test(imported) && !isIn(places)) found.push(`${path} imports ${imported}`)
  }
  if (speech.test(withoutComments(source)) && !isIn(speakers)) found.push(`${path} writes to the terminal`)
  return found
}

const layerOf = (path: string) => basename(path.split('/')[0] ?? '', '.ts')

const importsOf = (source: string) =>
  [...withoutComments(source).matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)'([^']+)'/g)].map(
    ([, name]) => name as string,
  )

const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => relative('.', path))

describe('the house', () => {
  it('has no room that the table of layers does not name', () => {
    expect([...new Set(files.map(layerOf))].filter((layer) => !Object.hasOwn(layers, layer))).toEqual([])
  })

  it('is built so that arrows point down only, and the world is met where it should be', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(files.flatMap((path) => violations(path, readFileSync(join(src, path), 'utf8')))).toEqual([])
  })

  it('has no utils, helpers, common or types', () => {
    expect(files.filter((path) => /^(utils?|helpers?|common|types)(\.ts)?$/.test(basename(path)))).toEqual([])
  })
})

describe('a file is caught when it', () => {
  const cases: [does: string, path: string, source: string, found: string][] = [
    ['imports upwards', 'model/rope.ts', "import { x } from '../train/step.ts'", 'model/rope.ts (model) imports train'],
    ['imports a neighbour', 'train/step.ts', "import type { X } from '../preview/preview.ts'", 'imports preview'],
    [
      'imports upwards over several lines',
      'audio/mel.ts',
      "import {\n  x,\n} from '../model/rope.ts'",
      'imports model',
    ],
    ['exports from above', 'config/kinds.ts', "export { x } from '../dataset/pairs.ts'", 'imports dataset'],
    ['knows TensorFlow', 'audio/mel.ts', "import * as tf from '@tensorflow/tfjs'", 'imports @tensorflow/tfjs'],
    ['loads TensorFlow later', 'cli.ts', "await import('@tensorflow/tfjs')", 'imports @tensorflow/tfjs'],
    ['starts a process', 'audio/decode.ts', "import { spawn } from 'node:child_process'", 'imports node:child_process'],
    ['opens a zip', 'commands/train.ts', "import yauzl from 'yauzl'", 'imports yauzl'],
    ['knows commander', 'config/kinds.ts', "import { Option } from 'commander'", 'imports commander'],
    ['prints', 'train/step.ts', 'console.log(1)', 'writes to the terminal'],
    ['writes', 'report/progress.ts', "process.stderr.write('x')", 'writes to the terminal'],
  ]
  it.each(cases)('%s', (_, path, source, found) =>
    expect(violations(path, source)).toEqual([expect.stringContaining(found)]),
  )

  it('but not for words in a comment', () => {
    expect(violations('model/rope.ts', "/** as in import('../train/step.ts') */\n// console.log\n")).toEqual([])
  })
})
