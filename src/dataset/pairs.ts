/** Pairs by file names, and their captions: `<name>_start.<audio>` is a reference, `<name>_end.<audio>` its target, `<name>.txt` their caption. */
import { hostedExtensions } from '../audio/decode.ts'
import { countText, listText } from '../platform/text.ts'
import { fileName, type NamedFile, namedFiles, type Pair, type Role } from './dataset-file.ts'
import type { Problem } from './problem.ts'
import { hasHostedFormat, otherFormats, unusedFiles } from './unused-files.ts'

/** A training with fewer pairs is possible, but rarely good. */
const recommendedPairs = 10

/**
 * Finds the pairs among the files of a source by their names; folders do not matter. Files that look like a part of a pair and are not used are
 * reported; hidden files, `__MACOSX`, and unrelated files are ignored. Of several files for the same place in a pair the first is used, so that the other
 * problems are found in the same run.
 * @param paths as `Source.paths` has them.
 */
export function findPairs(paths: readonly string[]): { pairs: Pair[]; problems: Problem[] } {
  const found = namedFiles(paths)
  const files = found.filter((file) => !hasControlCharacters(file))
  const [references, otherReferences] = preferHostedFormats(groupByName(files, 'reference'))
  const [targets, otherTargets] = preferHostedFormats(groupByName(files, 'target'))
  const captions = groupByName(files, 'caption')
  const unread = new Map(files.flatMap(({ role, name, path }) => (isUnread(role) ? [[`${role} ${name}`, path]] : [])))

  const pairs = [...targets].flatMap(([name, [target = '']]) => {
    const [reference] = references.get(name) ?? []
    const [caption] = captions.get(name) ?? []
    return reference === undefined ? [] : [{ name, reference, target, ...(caption === undefined ? {} : { caption }) }]
  })
  const paired = new Set(pairs.map(({ name }) => name))
  const without = (group: Map<string, string[]>, others: { has(name: string): boolean }) =>
    [...group].filter(([name]) => !others.has(name)).map(([name, [file = '']]) => ({ name, file }))
  const byLowerCase = new Map([...references].map(([name, [path = '']]) => [name.toLowerCase(), path]))

  const errors = [
    ...found.filter(hasControlCharacters).map(controlCharacters),
    ...ambiguousFiles(references, 'references'),
    ...ambiguousFiles(targets, 'targets'),
    ...ambiguousFiles(new Map([...captions].filter(([name]) => paired.has(name))), 'captions'),
    ...without(targets, references).map(({ name, file }) =>
      missingReference(name, file, {
        similar: byLowerCase.get(name.toLowerCase()),
        unread: unread.get(`unread-reference ${name}`),
      }),
    ),
    ...caseConflicts(pairs),
  ]
  const warnings = [
    ...without(references, targets).map(({ name, file }) =>
      missingTarget(name, file, unread.get(`unread-target ${name}`)),
    ),
    ...without(captions, paired).map(unpairedCaption),
    ...[...otherReferences, ...otherTargets].map(replacedFile),
    ...unusedFiles(files, { references, targets }, pairs),
  ]
  return {
    pairs: pairs.sort(byName),
    problems: [...errors, ...warnings, ...otherFormats(pairs), ...fewPairs(pairs.length, errors.length, files)],
  }
}

const isUnread = (role: Role) => role === 'unread-reference' || role === 'unread-target'

/** Such names of pairs and captions are refused in a zip as well, and the debug dataset is a zip. */
const hasControlCharacters = ({ role, path }: NamedFile) =>
  ['reference', 'target', 'caption'].includes(role) && /\p{Cc}/u.test(fileName(path))

const controlCharacters = ({ path }: NamedFile): Problem => ({
  severity: 'error',
  message: `${JSON.stringify(path)} has control characters in its name`,
  hint: 'rename it',
  file: path,
})

function groupByName(files: NamedFile[], role: Role): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const { name, path, role: found } of files) {
    if (found !== role) continue
    const group = groups.get(name)
    if (group) group.push(path)
    else groups.set(name, [path])
  }
  return groups
}

/** Files that a file in a format of the hosted trainer replaces: copies in another format. */
type ReplacedFile = { name: string; file: string; by: string }

function preferHostedFormats(groups: Map<string, string[]>): [Map<string, string[]>, ReplacedFile[]] {
  const preferred = new Map<string, string[]>()
  const replaced: ReplacedFile[] = []
  for (const [name, paths] of groups) {
    const hosted = paths.filter(hasHostedFormat)
    const [by] = hosted
    preferred.set(name, by === undefined ? paths : hosted)
    if (by !== undefined) for (const file of paths) if (!hosted.includes(file)) replaced.push({ name, file, by })
  }
  return [preferred, replaced]
}

const replacedFile = ({ name, file, by }: ReplacedFile): Problem => ({
  severity: 'warning',
  message: `${file} is not used, because there is ${by}`,
  hint: 'remove one of them',
  file,
  pair: name,
})

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

function missingReference(
  name: string,
  file: string,
  { similar, unread }: { similar: string | undefined; unread: string | undefined },
): Problem {
  const hint =
    similar !== undefined
      ? `${fileName(similar)} differs only in upper and lower case: rename one of them`
      : unread !== undefined
        ? exportHint(unread)
        : `add ${name}_start with any of ${hostedExtensions.join(' ')}, or remove ${fileName(file)}`
  return { severity: 'error', message: `${file} has no reference ${name}_start`, hint, file, pair: name }
}

const missingTarget = (name: string, file: string, unread: string | undefined): Problem => ({
  severity: 'warning',
  message: `${file} has no target ${name}_end and is not used`,
  ...(unread !== undefined && { hint: exportHint(unread) }),
  file,
  pair: name,
})

const exportHint = (unread: string) =>
  `${fileName(unread)} cannot be read: export it with any of ${hostedExtensions.join(' ')}`

function unpairedCaption({ name, file }: { name: string; file: string }): Problem {
  const [, pair] = name.match(/^(.+)_(?:start|end)$/is) ?? []
  const hint = pair === undefined ? {} : { hint: `a caption belongs to the whole pair: name it ${pair}.txt` }
  return { severity: 'warning', message: `${file} is a caption without a pair`, ...hint, file }
}

function fewPairs(pairs: number, errors: number, files: readonly NamedFile[]): Problem[] {
  if (pairs >= recommendedPairs || (pairs === 0 && errors > 0)) return []
  if (pairs > 0)
    return [
      {
        severity: 'hint',
        message: `only ${countText(pairs, 'pair')}: train on ${recommendedPairs} or more for good results`,
      },
    ]
  return [{ severity: 'error', ...noPair(files), code: 'invalid_archive' }]
}

/** Names what the dataset has instead. */
function noPair(files: readonly NamedFile[]): { message: string; hint: string } {
  const shown = (isShown: (role: Role) => boolean) =>
    listText(
      files.filter(({ role }) => isShown(role)).map(({ path }) => path),
      3,
    )
  const archives = shown((role) => role === 'archive')
  const unread = shown(isUnread)
  const formats = hostedExtensions.join(' ')
  if (unread !== '')
    return { message: `there is no pair that can be read, only ${unread}`, hint: `use any of ${formats}` }
  if (archives !== '')
    return {
      message: `there is no pair, only another archive: ${archives}`,
      hint: 'unpack it, and give what it contains',
    }
  return { message: 'there is no pair', hint: `name the files <name>_start and <name>_end with any of ${formats}` }
}

const listed = (names: string[]) =>
  names.length > 5 ? listText(names, 4) : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`

const byName = (a: Pair, b: Pair) => (a.name < b.name ? -1 : 1)
