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
 * The names may have another separator (`voice-start.wav`), another case, or be the same in several folders: then the two files in one folder are a
 * pair, or those in folders of the same name.
 */
export function findPairFiles(paths: readonly string[]): FoundFiles {
  const belowRejected = rejectedFiles(paths)
  const visible = paths.filter((path) => isVisible(path) && belowRejected(path) === undefined)
  const sides = visible.flatMap(sideOf)
  const { preferred, others } = preferHosted(sides)
  const captions = visible.filter((path) => /\.txt$/i.test(path))
  const taken = new Set<string>()
  const name = ({ base, folder }: Side, isOnly: boolean) =>
    uniqueName(safeName(isOnly || folder === '' ? base : `${fileName(folder)}-${base}`), taken)
  const usedCaptions = new Set<string>()
  const found: Pick<FoundFiles, 'pairs' | 'oneSided'> = { pairs: [], oneSided: [] }
  for (const [key, group] of groupBy(preferred, ({ key }) => key)) {
    const { matched, left } = matchSides(group)
    const isOnly = matched.length + left.length === 1
    for (const [reference, target] of matched) {
      const caption = captionOf(captions, key, [reference, target], isOnly)
      if (caption !== undefined) usedCaptions.add(caption)
      const files = { reference: reference.path, target: target.path, ...(caption !== undefined && { caption }) }
      found.pairs.push({ name: name(target, isOnly), ...files })
    }
    for (const side of left) found.oneSided.push({ name: name(side, isOnly), side: side.side, path: side.path })
  }
  const records = visible.filter((path) => fileName(path) === madePairsRecord)
  const record = records.length === 1 ? records : []
  const used = new Set([...preferred.map(({ path }) => path), ...usedCaptions, ...record])
  const unused = [...visible.filter((path) => !used.has(path) && !others.has(path)), ...others].sort()
  return {
    pairs: found.pairs.sort(byName),
    oneSided: found.oneSided.sort(byName),
    rejected: paths.flatMap((path) => {
      const below = belowRejected(path)
      return below === undefined || !isVisible(path) ? [] : [{ path, below }]
    }),
    ...(record[0] !== undefined && { record: record[0] }),
    unused: [...unused.filter(hasAudioExtension), ...unused.filter((path) => !hasAudioExtension(path))],
  }
}

/** `base` is the name of the pair as it is written, `key` that which both sides share. */
type Side = { path: string; folder: string; base: string; key: string; side: SideName }

const sideName = /^(.*?[^\s_.-])[\s_.-]+(start|end)$/is

function sideOf(path: string): Side[] {
  const file = fileName(path).normalize('NFC')
  const [, stem = '', extension = ''] = /^(.*)(\.[^.]*)$/s.exec(file) ?? []
  if (!audioExtensions.includes(extension.toLowerCase())) return []
  const [, base, word] = sideName.exec(stem) ?? []
  if (base === undefined || word === undefined) return []
  const side = word.toLowerCase() === 'start' ? 'reference' : 'target'
  return [{ path, folder: folderOf(path), base, key: base.toLowerCase(), side }]
}

/** Of copies in several formats, the one that every trainer reads. */
function preferHosted(sides: readonly Side[]): { preferred: Side[]; others: Set<string> } {
  const copies = groupBy(sides, ({ folder, base, side }) => JSON.stringify([folder, base, side]))
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
  match((a, b) => a.folder === b.folder && a.base === b.base)
  match((a, b) => a.folder === b.folder)
  if (left.size > 2) match((a, b) => fileName(a.folder) === fileName(b.folder))
  const isCertain = sidesLeft('reference').length === 1 && sidesLeft('target').length === 1
  if (isCertain) match(() => true)
  return { matched, left: [...left] }
}

/** `voice.txt`, or `voice_start.txt` where there is none: in the folder of a side, or anywhere for the only pair of its name. */
function captionOf(
  captions: readonly string[],
  key: string,
  sides: readonly Side[],
  isOnly: boolean,
): string | undefined {
  const named = (isNamed: (stem: string) => boolean) => {
    const found = captions.filter((path) =>
      isNamed(fileName(path).normalize('NFC').slice(0, -'.txt'.length).toLowerCase()),
    )
    const near = found.find((path) => sides.some(({ folder }) => folderOf(path) === folder))
    return near ?? (isOnly && found.length === 1 ? found[0] : undefined)
  }
  return named((stem) => stem === key) ?? named((stem) => sideName.exec(stem)?.[1] === key)
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
