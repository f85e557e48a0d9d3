/** Messages of the tool for those who use it through a server. */
import { tmpdir } from 'node:os'

/**
 * Leaves out what only helps at a command line: clauses that name a command or a flag. Flags that have another name there are replaced before.
 * @returns '' where nothing remains.
 */
export function withoutCommands(text: string): string {
  const parts = text.split(/(; |, |: )/) // clauses, with what separates them
  const kept = parts.flatMap((clause, i) =>
    i % 2 === 1 || command.test(clause) ? [] : [{ clause, separator: parts[i - 1] ?? '' }],
  )
  return kept.map(({ clause, separator }, i) => (i === 0 ? clause : separator + clause)).join('')
}

const command = /\bltx-a2a [a-z]|(?:^|\s)--[a-z]/

/** Leaves the names of files, without the folders of this machine that they are in. URLs stay as they are. */
export const withoutFolders = (text: string): string =>
  folders.reduce((left, folder) => left.replace(folder, ''), text.replaceAll(temporaryFolder, 'the temporary folder'))

/**
 * The names of files and folders, without the folders that they are in.
 * @param location a path, several with commas between them, or a URL, which stays as it is.
 */
export const locationNames = (location: string): string[] =>
  /^https?:/i.test(location)
    ? [location]
    : location.split(',').map(
        (path) =>
          path
            .replace(/[/\\]+$/, '')
            .split(/[/\\]/)
            .at(-1) ?? '',
      )

/** Where nothing follows that is in it. */
const temporaryFolder = new RegExp(
  `(?<![\\p{L}\\p{N}/])${tmpdir().replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}(?![\\p{L}\\p{N}/_-])`,
  'gu',
)

const folders = [
  /(?<=')(?:\/|[A-Za-z]:\\)[^'\n]*[/\\](?=[^'\n/\\]+')/g, // in quotes, where folders may have blanks
  /(?<=")(?:\/|[A-Za-z]:\\)[^"\n]*[/\\](?=[^"\n/\\]+")/g,
  /(?<![\p{L}\p{N}_.:/~%\]-])(?:file:\/\/|~)?\/(?:[^\s/'"`<>|()]+\/)+/gu,
  /(?<![\p{L}\p{N}_])[A-Za-z]:\\(?:[^\s\\'"`<>|()]+\\)+/gu,
]
