/** A request as the command that does its work. */
import { writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { flagName, type Parameters } from '../config/parameter.ts'
import { applyParameters, trainParameters } from '../config/parameters.ts'
import { parseLocation, shownLocation } from '../net/location.ts'
import { type ErrorPlace, entryPlace, withParameter } from '../platform/errors.ts'
import { makeTempFolder } from '../platform/temp-folder.ts'
import { fileScheme, type QueuedRequest } from '../queue/request.ts'
import { hasBegun, moveInputs } from '../train/run-folder.ts'
import type { JobFolder } from './job-files.ts'

export type PreparedJob = {
  /** What the tool is called with. */
  args: readonly string[]
  /** A text of the tool as clients may see it: without the places of files on this machine. */
  shown(text: string): string
  close(): Promise<void>
}

/**
 * Gets the inputs of a request and writes its job file.
 * @throws UserError for an input that is gone.
 */
export async function prepareJob(request: QueuedRequest, folder: JobFolder, signal: AbortSignal): Promise<PreparedJob> {
  const inputs: string[] = []
  const fetched = (location: string): string | Promise<string> => {
    if (location.startsWith(fileScheme)) return folder.input(location.slice(fileScheme.length), signal)
    return /^https?:/i.test(location) ? folder.download(location, signal) : location
  }
  const resolve: Resolve = async (location, parameter, place) => {
    const path = await withParameter(parameter, async () => fetched(location), place)
    inputs.push(calledInMessages(path))
    return path
  }
  const table = request.kind === 'train' ? trainParameters : applyParameters
  const parameters = await withPaths(table, request.parameters, resolve)
  const common = { shown: (text: string) => withoutPlaces(text, folder.path, inputs, table) }
  if (request.kind === 'apply')
    return { ...common, args: applyArguments(parameters, folder.path), close: async () => {} }
  if (hasBegun(folder.path)) {
    moveInputs(folder.path, pathsOnly(table, parameters), referencesOf(parameters))
    return { ...common, args: ['train', '--resume', folder.path, '--json-progress'], close: async () => {} }
  }
  const temporary = await makeTempFolder()
  const jobFile = temporary.newFile('.json')
  writeFileSync(jobFile, JSON.stringify(parameters))
  const args = ['train', '--config', jobFile, '--out', folder.path, '--json-progress']
  return { ...common, args, close: temporary.remove }
}

type Resolve = (location: string, parameter: string, place?: ErrorPlace) => Promise<string>

/** The parameters with every path and URL resolved. */
async function withPaths(table: Parameters, parameters: QueuedRequest['parameters'], resolve: Resolve) {
  const resolved: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(parameters)) {
    if (name === 'validation') resolved[name] = await withReferences(value, resolve)
    else if (name === 'model' && typeof value === 'string')
      resolved[name] = (await Promise.all(value.split(',').map((path) => resolve(path, name)))).join(',')
    else if (table[name]?.isPath && name !== 'out') resolved[name] = await resolvedPath(value, name, resolve)
    else resolved[name] = value
  }
  return resolved
}

async function resolvedPath(value: unknown, name: string, resolve: Resolve): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map((path, i) => resolve(path, name, entryPlace(value, i))))
  return typeof value === 'string' ? resolve(value, name) : value
}

const withReferences = (entries: unknown, resolve: Resolve): unknown =>
  Array.isArray(entries)
    ? Promise.all(
        entries.map(async (entry: Readonly<Record<string, unknown>>, i) => ({
          ...entry,
          reference_audio_url: await resolve(String(entry.reference_audio_url), 'validation', [
            i,
            'reference_audio_url',
          ]),
        })),
      )
    : entries

/** Prompts are not among them: those that were left out were filled in when the run began. */
const pathsOnly = (table: Parameters, parameters: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(parameters).filter(([name]) => table[name]?.isPath && name !== 'out'))

const referencesOf = ({ validation }: Readonly<Record<string, unknown>>): string[] =>
  Array.isArray(validation) ? validation.map(({ reference_audio_url }) => String(reference_audio_url)) : []

/** Each flag with its value in one word, so that no value is taken for a flag. */
function applyArguments(parameters: Readonly<Record<string, unknown>>, out: string): string[] {
  const table: Parameters = applyParameters
  const flags = Object.entries({ ...parameters, out }).flatMap(([name, value]) => {
    const parameter = table[name]
    if (!parameter || value === undefined || value === null) return []
    return [value].flat().map((item) => `--${flagName(name, parameter)}=${item}`)
  })
  return ['apply', ...flags, '--json-progress']
}

function calledInMessages(location: string): string {
  try {
    return shownLocation(parseLocation(location))
  } catch {
    return location
  }
}

/**
 * Files are called by their names, parameters by those of the API.
 * @param inputs what the client named, as the tool calls it: paths, and URLs without their queries.
 */
function withoutPlaces(text: string, folder: string, inputs: readonly string[], table: Parameters): string {
  const places = inputs.filter((called) => !/^https?:/.test(called))
  return [...places]
    .sort((a, b) => b.length - a.length)
    .reduce((shown, path) => shown.replaceAll(path, basename(path)), text)
    .replaceAll(`${folder}/`, '')
    .replaceAll(folder, basename(folder))
    .replace(/--([a-z][a-z-]*[a-z])\b/g, (flag, name: string) => (snakeName(name) in table ? snakeName(name) : flag))
}

const snakeName = (flag: string) => flag.replaceAll('-', '_')
