/**
 * Job files: one JSON object of parameters, or the `config.json` of a run. A relative path in it is looked up in the current folder first and, if
 * nothing is there, beside the job file, so that a folder with a job and its data can be moved.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { parseJson } from '../platform/json.ts'

export type Job = Readonly<Record<string, unknown>>

/** A job is a page of text. The limit also ends the reading of devices and pipes. */
const largestJobBytes = 1_000_000

/** @throws UserError when the file cannot be read, is not a JSON object, or has a parameter twice. */
export function readJobFile(path: string): Job {
  const json = parseJob(decodeText(readBounded(path), path), path)
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new UserError(`${path} is not a JSON object but ${Array.isArray(json) ? 'a list' : JSON.stringify(json)}`, {
      hint: 'write it as { "training_data_url": "pairs.zip", "rank": 32 }',
    })
  return Object.fromEntries(
    Object.entries(parametersIn(json)).map(([name, value]) => [name, resolvePaths(name, value, dirname(path))]),
  )
}

/** The `config.json` of a run holds its parameters, which start another run: in a folder of its own. */
function parametersIn(json: object): object {
  if (!('tool' in json && json.tool === 'ltx-a2a' && 'parameters' in json)) return json
  const { parameters } = json
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) return json
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => name !== 'out'))
}

const inputPaths = [
  'training_data_url',
  'data',
  'holdout_data',
  'model',
  'text_encoder',
  'text_embeddings',
  'reference_audio_url',
]

function resolvePaths(name: string, value: unknown, folder: string): unknown {
  if (name === 'validation' && Array.isArray(value)) return value.map((entry) => resolveEntryPaths(entry, folder))
  if (typeof value !== 'string' || !inputPaths.includes(name)) return value
  return name === 'model' && !existsSync(value) // may be a list of paths
    ? value
        .split(',')
        .map((path) => inputPath(path.trim(), folder))
        .join(',')
    : inputPath(value, folder)
}

const resolveEntryPaths = (entry: unknown, folder: string) =>
  typeof entry === 'object' && entry !== null && !Array.isArray(entry)
    ? Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, resolvePaths(name, value, folder)]))
    : entry

function inputPath(path: string, folder: string): string {
  if (path === '' || isAbsolute(path) || /^[a-z][a-z0-9+.-]+:/i.test(path) || existsSync(path)) return path
  const beside = join(folder, path)
  return existsSync(beside) ? beside : path
}

function readBounded(path: string): Uint8Array {
  try {
    const fd = openSync(path, 'r')
    try {
      const bytes = new Uint8Array(largestJobBytes + 1)
      let length = 0
      for (let read = -1; read !== 0 && length < bytes.length; length += read)
        read = readSync(fd, bytes, length, bytes.length - length, null)
      if (length > largestJobBytes)
        throw new UserError(`${path} has more than ${largestJobBytes} bytes`, { hint: 'a job file is a page of JSON' })
      return bytes.subarray(0, length)
    } finally {
      closeSync(fd)
    }
  } catch (cause) {
    if (cause instanceof UserError) throw cause
    throw new UserError(`${path} cannot be read`, { hint: 'give --config the path of a JSON file', cause })
  }
}

/** Removes the byte order mark that some editors write. */
function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new UserError(`${path} is not UTF-8 text`, { hint: 'save it with the encoding UTF-8', cause })
  }
}

const parseJob = (text: string, path: string) =>
  parseJson(text, {
    invalid: (cause) =>
      new UserError(`${path} is not JSON`, { hint: 'look for a missing quote or a comma too many', cause }),
    repeated: (key) => new UserError(`${path} has ${key} twice`, { hint: 'keep one of them' }),
  })
