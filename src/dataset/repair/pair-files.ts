/** Finds pairs also among files whose names are not quite right, and gives each pair a valid name of its own. */
import { audioExtensions, hasAudioExtension } from '../../audio/decode.ts'
import { fileName, isVisible, madePairsRecord, type Pair, rejectedFiles } from '../dataset-file.ts'
import type { SideName } from '../pair-selection.ts'
import { hasHostedFormat } from '../unused-files.ts'
import { safeName, uniqueName } from './names.ts'

export type OneSidedFile = { name: string; side: SideName; path: string }

export type FoundFiles = {
  /** Sorted by name. The names are valid, and unique also where case is ignored. */
  pairs: Pair[]
  oneSided: OneSidedFile[]
  /** Rejected by an earlier repair: the path in the source, and that below the folder of rejected files. */
  rejected: { path: string; below: string }[]
  /** What `make-pairs` has written about the pairs. */
  record?: string
  /** All other files, except hidden ones: recordings first. */
  unused: string[]
}

/**
 * Names that the training reads as they are come first: `<name>_start` and `<name>_end`. Others may have another separator (`voice-start.wav`), another
 * case, or be the same in several folders: then the two files in one folder are a pair, or those in folders of the same name.
 */
export function findPairFiles(paths: readonly string[]): FoundFiles {
  const belowRejected = rejectedFiles(paths)
  const visible = paths.filter((path) => isVisible(path) && belowRejected(path) === undefined)
  const { preferred, others } = preferHosted(visible.flatMap(sideOf))
  const found: Found[] = [...groupBy(preferred, ({ key }) => key).values()].flatMap((group) => {
    const { matched, left } = matchSides(group)
    return [...matched.map((sides) => ({ sides })), ...left.map((side): Found => ({ sides: [side] }))]
  })
  const texts = visible.filter((path) => /\.txt$/i.test(path))
  const captions = assignCaptions(found, texts)
  const names = nameAll(found)
  const records = visible.filter((path) => fileName(path) === madePairsRecord)
  const record = records.length === 1 ? records : []
  const used = new Set([...preferred.map(({ path }) => path), ...captions.values(), ...record])
  const unused = [...visible.filter((path) => !used.has(path) && !others.has(path)), ...others].sort()
  return {
    pairs: found
      .flatMap((one): Pair[] => {
        const { sides } = one
        if (!isPair(sides)) return []
        const [reference, target] = sides
        const caption = captions.get(one)
        const files = { reference: reference.path, target: target.path, ...(caption !== undefined && { caption }) }
        return [{ name: names.get(one) as string, ...files }]
      })
      .sort(byName),
    oneSided: found
      .flatMap((one): OneSidedFile[] => {
        const { sides } = one
        return isPair(sides) ? [] : [{ name: names.get(one) as string, side: sides[0].side, path: sides[0].path }]
      })
      .sort(byName),
    rejected: paths.flatMap((path) => {
      const below = belowRejected(path)
      return below === undefined || !isVisible(path) ? [] : [{ path, below }]
    }),
    ...(record[0] !== undefined && { record: record[0] }),
    unused: [...unused.filter(hasAudioExtension), ...unused.filter((path) => !hasAudioExtension(path))],
  }
}

/**
 * `stem` is the name of the file without its extension, `prefix` that without the word at its end, `base` the name of the pair as it is written, `key` that
 * which both sides share. `isExact` tells whether the training reads the name as it is.
 */
type Side = {
  path: string
  folder: string
  stem: string
  prefix: string
  base: string
  key: string
  side: SideName
  isExact: boolean
}

/** A pair, or a file without its other side. */
type Found = { sides: [reference: Side, target: Side] | [Side] }

const isPair = (sides: Found['sides']): sides is [Side, Side] => sides.length === 2

/** The target names a pair, as in the training. */
const namingSide = ({ sides }: Found): Side => (isPair(sides) ? sides[1] : sides[0])

const exactName = /^(.+)_(start|end)$/is
const looseName = /^(.*?[^\s_.-])[\s_.-]+(start|end)$/is

function sideOf(path: string): Side[] {
  const file = fileName(path).normalize('NFC')
  const [, stem = '', extension = ''] = /^(.*)(\.[^.]*)$/s.exec(file) ?? []
  if (!audioExtensions.includes(extension.toLowerCase())) return []
  const [exact, loose] = [exactName.exec(stem), looseName.exec(stem)]
  const [, base, word] = exact ?? loose ?? []
  if (base === undefined || word === undefined) return []
  return [
    {
      path,
      folder: folderOf(path),
      stem,
      prefix: stem.slice(0, -word.length),
      base,
      key: (loose?.[1] ?? base).toLowerCase(),
      side: word.toLowerCase() === 'start' ? 'reference' : 'target',
      isExact: exact !== null,
    },
  ]
}

/** Of copies in several formats, the one that every trainer reads. */
function preferHosted(sides: readonly Side[]): { preferred: Side[]; others: Set<string> } {
  const copies = groupBy(sides, ({ folder, stem }) => JSON.stringify([folder, stem]))
  const preferred = [...copies.values()].map(
    (group) => group.find(({ path }) => hasHostedFormat(path)) ?? (group[0] as Side),
  )
  const chosen = new Set(preferred)
  return { preferred, others: new Set(sides.filter((side) => !chosen.has(side)).map(({ path }) => path)) }
}

/** Files whose other side is uncertain stay alone. */
function matchSides(group: readonly Side[]): { matched: [reference: Side, target: Side][]; left: Side[] } {
  const left = new Set(group)
  const matched: [Side, Side][] = []
  const sidesLeft = (side: SideName) => [...left].filter((file) => file.side === side)
  const match = (isMatch: (reference: Side, target: Side) => boolean) => {
    for (const reference of sidesLeft('reference')) {
      const target = sidesLeft('target').find((target) => isMatch(reference, target))
      if (!target) continue
      matched.push([reference, target])
      left.delete(reference)
      left.delete(target)
    }
  }
  /** Whether no other file on its side is left that has the same exact name. */
  const isOnlyExact = ({ base, side }: Side) =>
    sidesLeft(side).filter((other) => other.isExact && other.base === base).length === 1
  match((a, b) => a.folder === b.folder && a.prefix === b.prefix)
  match((a, b) => a.isExact && b.isExact && a.base === b.base && isOnlyExact(a) && isOnlyExact(b))
  match((a, b) => a.folder === b.folder && a.base === b.base)
  match((a, b) => a.folder === b.folder)
  if (left.size > 2) match((a, b) => fileName(a.folder) === fileName(b.folder))
  const isCertain = sidesLeft('reference').length === 1 && sidesLeft('target').length === 1
  if (isCertain) match(() => true)
  return { matched, left: [...left] }
}

/** Names that are right as they are come first, so that they stay. The folder is a part of a name that several have. */
function nameAll(found: readonly Found[]): Map<Found, string> {
  const taken = new Set<string>()
  const names = new Map<Found, string>()
  const isRight = ({ sides }: Found) =>
    isPair(sides) && sides.every(({ isExact, base }) => isExact && safeName(base) === base)
  for (const group of [found.filter(isRight), found.filter((one) => !isRight(one))]) {
    const counts = groupBy(group, (one) => namingSide(one).base.toLowerCase())
    for (const one of group) {
      const { base, folder } = namingSide(one)
      const isOnly = counts.get(base.toLowerCase())?.length === 1 && !taken.has(safeName(base).toLowerCase())
      names.set(one, uniqueName(safeName(isOnly || folder === '' ? base : `${fileName(folder)}-${base}`), taken))
    }
  }
  return names
}

/**
 * `voice.txt`, or `voice_start.txt` where there is none: in the folder of a side, or anywhere for the only pair of its name. No caption has two pairs: it
 * belongs to the one whose name it has.
 */
function assignCaptions(found: readonly Found[], captions: readonly string[]): Map<Found, string> {
  const stemOf = (path: string) => fileName(path).normalize('NFC').slice(0, -'.txt'.length).toLowerCase()
  const byStem = groupBy(captions, stemOf)
  const byKey = groupBy(captions, (path) => looseName.exec(stemOf(path))?.[1] ?? '')
  const counts = groupBy(found, ({ sides }) => sides[0].key)
  const assigned = new Map<Found, string>()
  const used = new Set<string>()
  const rules: ((side: Side) => string[] | undefined)[] = [
    ({ isExact, base }) => (isExact ? byStem.get(base.toLowerCase()) : undefined),
    ({ key }) => byStem.get(key),
    ({ stem }) => byStem.get(stem.toLowerCase()),
    ({ key }) => byKey.get(key),
  ]
  for (const captionsFor of rules)
    for (const one of found) {
      const { sides } = one
      if (!isPair(sides) || assigned.has(one)) continue
      const fitting = [...new Set(sides.flatMap((side) => captionsFor(side) ?? []))].filter((path) => !used.has(path))
      const near = fitting.find((path) => sides.some(({ folder }) => folderOf(path) === folder))
      const isOnly = counts.get(sides[0].key)?.length === 1
      const caption = near ?? (isOnly && fitting.length === 1 ? fitting[0] : undefined)
      if (caption === undefined) continue
      assigned.set(one, caption)
      used.add(caption)
    }
  return assigned
}

const folderOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')))

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
