/** Filter graphs of ffmpeg that a user gives as an effect: which filters they have, and which of them no effect needs. */
import { UserError } from '../../platform/errors.ts'
import { findFfmpeg } from '../ffmpeg.ts'

/** Filters of sound that no effect needs, and what they can do. A filter that reads a model or an impulse response is none of them. */
const refused: Readonly<Record<string, string>> = {
  movie: 'reads another recording',
  amovie: 'reads another recording',
  ametadata: 'can overwrite files',
  metadata: 'can overwrite files',
  whisper: 'can overwrite files',
  azmq: 'opens a network connection',
  zmq: 'opens a network connection',
}

/** Options of other filters that name a file to write. */
const outputOptions = ['stats_file', 'log_path', 'destination']

/**
 * Refuses filters that can write files, that bring in other recordings, and those of pictures, some of which write files as well. What is no graph at all
 * is left to ffmpeg.
 * @throws UserError
 */
export async function checkFilterGraph(graph: string): Promise<void> {
  const { filters } = await findFfmpeg()
  for (const { name, options } of filtersOf(graph)) {
    const option = options.find((option) => outputOptions.includes(option))
    const does = refused[name] ?? (option === undefined ? undefined : `writes a file with ${option}`)
    if (does !== undefined)
      throw new UserError(`the effect ${graph} has the filter ${name}, which ${does}`, { hint: 'leave it out' })
    if (filters.get(name)?.includes('V'))
      throw new UserError(`the effect ${graph} has the filter ${name}, which is one for pictures`, {
        hint: 'use filters of sound only',
      })
  }
}

type Filter = { name: string; options: string[] }

/** The filters of a graph, such as `[in]highpass=f=300,acrusher=bits=6[out]`, with the names of their named options. */
export function filtersOf(graph: string): Filter[] {
  return splitUnquoted(graph, /[,;]/).map((text) => {
    const [, filter = ''] = /^\s*(?:\[[^\]]*\]\s*)*(.*)$/s.exec(text) ?? []
    const [name = '', ...settings] = splitUnquoted(filter, /[=[]/)
    const options = splitUnquoted(settings.join('='), /:/).map((option) => unquoted(option).split('=')[0] ?? '')
    return { name: unquoted(name).split('@')[0] ?? '', options: options.map((option) => option.replace(/^\//, '')) }
  })
}

/** Parts between separators that are neither in quotes nor behind a backslash. */
function splitUnquoted(text: string, separator: RegExp): string[] {
  const parts = ['']
  for (const [token] of text.matchAll(/\\.|'[^']*'?|./gs)) {
    if (token.length === 1 && separator.test(token)) parts.push('')
    else parts[parts.length - 1] += token
  }
  return parts
}

const unquoted = (text: string) => text.replace(/\\(.)|'([^']*)'?/gs, '$1$2').trim()
