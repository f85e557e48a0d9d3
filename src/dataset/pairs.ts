/** Pairs by file names, and their captions: `<name>_start.<audio>` is a reference, `<name>_end.<audio>` its target, `<name>.txt` their caption. */
import { audioExtensions } from '../audio/decode.ts'
import { countText } from '../platform/text.ts'
import type { Problem } from './problem.ts'

/** Paths inside the source. */
export type Pair = { name: string; reference: string; target: string; caption?: string }

/** A training with fewer pairs is possible, but rarely good. */
const recommendedPairs = 10

/**
 * Finds the pairs among the files of a source by their names; folders do not matter. Hidden files, `__MACOSX`, and files that are neither audio nor
 * text are ignored. Of several files for the same place in a pair the first is used, so that the other problems are found in the same run.
 * @param paths as `Source.paths` has them.
 */
export function findPairs(paths: readonly string[]): { pairs: Pair[]; problems: Problem[] } {
  const files = paths.filter(isVisible).flatMap(classify)
  const references = groupByName(files, 'reference')
  const targets = groupByName(files, 'target')
  const captions = groupByName(files, 'caption')

  const pairs = [...targets].flatMap(([name, [target = '']]) => {
    const [reference] = references.get(name) ?? []
    const [caption] = captions.get(name) ?? []
    return reference === undefined ? [] : [{ name, reference, target, ...(caption === undefined ? {} : { caption }) }]
  })
  const paired = new Set(pairs.map(({ name }) => name))
  const without = (group: Map<string, string[]>, others: { has(name: string): boolean }) =>
    [...group].filter(([name]) => !others.has(name)).map(([name, [file = '']]) => ({ name, file }))

  const errors = [
    ...ambiguousFiles(references, 'references'),
    ...ambiguousFiles(targets, 'targets'),
    ...ambiguousFiles(new Map([...captions].filter(([name]) => paired.has(name))), 'captions'),
    ...without(targets, references).map((target) => missingReference(target, references)),
    ...caseConflicts(pairs),
  ]
  const warnings = [
    ...without(references, targets).map(missingTarget),
    ...without(captions, paired).map(unpairedCaption),
    ...files.filter(({ role }) => role === 'unnamed').map(unnamedAudio),
  ]
  return { pairs: pairs.sort(byName), problems: [...errors, ...warnings, ...fewPairs(pairs.length, errors.length)] }
}

/** `unnamed` is audio whose name ends in neither `_start` nor `_end`. */
type Role = 'reference' | 'target' | 'caption' | 'unnamed'
type NamedFile = { role: Role; name: string; path: string }

/** Excludes files that macOS adds to folders and archives, and other hidden files. */
const isVisible = (path: string) =>
  path.split('/').every((part) => !part.startsWith('.') && part !== '__MACOSX' && part !== '')

function classify(path: string): NamedFile[] {
  const file = fileName(path).normalize('NFC') // macOS stores é as e followed by a combining accent
  const [, stem = file, extension = ''] = file.match(/^(.*)(\.[^.]*)$/s) ?? []
  if (extension.toLowerCase() === '.txt') return [{ role: 'caption', name: stem, path }]
  if (!audioExtensions.includes(extension.toLowerCase())) return []
  const [, name, suffix] = stem.match(/^(.+)_(start|end)$/is) ?? []
  if (name === undefined) return [{ role: 'unnamed', name: stem, path }]
  return [{ role: suffix?.toLowerCase() === 'start' ? 'reference' : 'target', name, path }]
}

function groupByName(files: NamedFile[], role: Role): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const file of files) if (file.role === role) groups.set(file.name, [...(groups.get(file.name) ?? []), file.path])
  return groups
}

function ambiguousFiles(groups: Map<string, string[]>, kind: 'references' | 'targets' | 'captions'): Problem[] {
  return [...groups]
    .filter(([, paths]) => paths.length > 1)
    .map(([pair, paths]) => ({
      severity: 'error',
      message: `the pair ${pair} has ${paths.length} ${kind}: ${listed(paths)}`,
      hint: 'give every pair its own name; folders do not distinguish files',
      file: paths[0] as string,
      pair,
    }))
}

/** On systems that ignore case, such names are the same file. */
function caseConflicts(pairs: readonly Pair[]): Problem[] {
  const byCase = new Map<string, Pair[]>()
  for (const pair of pairs) {
    const key = pair.name.toLowerCase()
    byCase.set(key, [...(byCase.get(key) ?? []), pair])
  }
  return [...byCase.values()]
    .filter((group) => group.length > 1)
    .map(([first, ...others]) => ({
      severity: 'error',
      message: `the pairs ${listed([first as Pair, ...others].map(({ name }) => name))} differ only in upper and lower case`,
      hint: 'rename all but one of them',
      file: (first as Pair).target,
      pair: (first as Pair).name,
    }))
}

function missingReference({ name, file }: { name: string; file: string }, references: Map<string, string[]>): Problem {
  const similar = [...references.keys()].find((other) => other.toLowerCase() === name.toLowerCase())
  const hint = similar
    ? `${fileName(references.get(similar)?.[0] ?? '')} differs only in upper and lower case: rename one of them`
    : `add ${name}_start with any of ${audioExtensions.join(' ')}, or remove ${fileName(file)}`
  return { severity: 'error', message: `${file} has no reference ${name}_start`, hint, file, pair: name }
}

const missingTarget = ({ name, file }: { name: string; file: string }): Problem => ({
  severity: 'warning',
  message: `${file} has no target ${name}_end and is not used`,
  file,
  pair: name,
})

function unpairedCaption({ name, file }: { name: string; file: string }): Problem {
  const [, pair] = name.match(/^(.+)_(?:start|end)$/is) ?? []
  const hint = pair === undefined ? {} : { hint: `a caption belongs to the whole pair: name it ${pair}.txt` }
  return { severity: 'warning', message: `${file} is a caption without a pair`, ...hint, file }
}

const unnamedAudio = ({ path }: NamedFile): Problem => ({
  severity: 'warning',
  message: `${path} ends in neither _start nor _end and is not used`,
  file: path,
})

function fewPairs(pairs: number, errors: number): Problem[] {
  if (pairs >= recommendedPairs || (pairs === 0 && errors > 0)) return []
  if (pairs > 0)
    return [
      {
        severity: 'hint',
        message: `only ${countText(pairs, 'pair')}: train on ${recommendedPairs} or more for good results`,
      },
    ]
  return [
    {
      severity: 'error',
      message: 'there is no pair',
      hint: `name the files <name>_start and <name>_end with any of ${audioExtensions.join(' ')}`,
    },
  ]
}

const fileName = (path: string) => path.slice(path.lastIndexOf('/') + 1)

const listed = (names: string[]) => `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`

const byName = (a: Pair, b: Pair) => (a.name < b.name ? -1 : 1)
