/** Files that look like a part of a pair and are not used, each with the reason. */
import { hostedExtensions } from '../audio/decode.ts'
import { countText, listText } from '../platform/text.ts'
import { fileName, type NamedFile, type Pair } from './dataset-file.ts'
import type { Problem } from './problem.ts'

/** @param files all files of the dataset. @param audio the audio files by the names of their pairs. */
export function unusedFiles(
  files: readonly NamedFile[],
  audio: { references: ReadonlyMap<string, unknown>; targets: ReadonlyMap<string, unknown> },
  pairs: readonly Pair[],
): Problem[] {
  const byName = new Map(pairs.map((pair) => [pair.name.toLowerCase(), pair]))
  const problems: Problem[] = []
  const spare: string[] = []
  for (const file of files) {
    const pair = byName.get(file.name.toLowerCase())
    if (file.role === 'unnamed') problems.push(unnamedAudio(file))
    else if (file.role === 'archive') problems.push(innerArchive(file))
    else if (file.role === 'unread-reference' || file.role === 'unread-target') {
      const group = file.role === 'unread-reference' ? audio.references : audio.targets
      if (group.has(file.name)) spare.push(file.path)
      else problems.push(unreadFormat(file))
    } else if (file.role === 'document' && (pair || captionList.test(file.name))) {
      if (pair?.caption === undefined) problems.push(unreadCaption(file, pair))
      else spare.push(file.path)
    }
  }
  return [...problems, ...spareFiles(spare)]
}

/** Names of files that hold the captions of all pairs. */
const captionList = /^(captions?|prompts?|metadata|transcripts?)$/i

const unnamedAudio = ({ path }: NamedFile): Problem => ({
  severity: 'warning',
  message: `${path} ends in neither _start nor _end and is not used`,
  file: path,
})

const innerArchive = ({ path }: NamedFile): Problem => ({
  severity: 'warning',
  message: `${path} is an archive inside the dataset and is not unpacked`,
  hint: 'unpack it, and give the folder or a zip of the pairs themselves',
  file: path,
})

const unreadFormat = ({ path, name, extension }: NamedFile): Problem => ({
  severity: 'warning',
  message: `${path} is not used: ${extension === '' ? 'it has no extension' : `${extension} is not an audio format that can be read`}`,
  hint: `use one of ${hostedExtensions.join(' ')}`,
  file: path,
  pair: name,
})

const unreadCaption = ({ path, name }: NamedFile, pair: Pair | undefined): Problem => ({
  severity: 'warning',
  message: `${path} is not used: captions are read from .txt files`,
  hint: `write ${pair ? `${name}.txt` : 'one <name>.txt for each pair'}, with encoding UTF-8`,
  file: path,
  ...(pair && { pair: pair.name }),
})

const spareFiles = (paths: readonly string[]): Problem[] =>
  paths.length === 0
    ? []
    : [
        {
          severity: 'hint',
          message: `${countText(paths.length, 'file')} beside the audio and captions ${paths.length === 1 ? 'is' : 'are'} not used: ${listText(paths, 4)}`,
        },
      ]

/** Pairs that can be trained on here, but not on the hosted trainer. */
export function otherFormats(pairs: readonly Pair[]): Problem[] {
  const paths = pairs.flatMap(({ reference, target }) => [reference, target]).filter((path) => !hasHostedFormat(path))
  if (paths.length === 0) return []
  return [
    {
      severity: 'hint',
      message: `${countText(paths.length, 'file')} in ${paths.length === 1 ? 'a format' : 'formats'} that the hosted trainer does not accept: ${listText(paths.map(fileName), 4)}`,
      hint: `they can be used here; the hosted trainer accepts ${hostedExtensions.join(' ')}`,
    },
  ]
}

export const hasHostedFormat = (path: string) =>
  hostedExtensions.some((extension) => path.toLowerCase().endsWith(extension))
