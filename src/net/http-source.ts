/** A file on a server, read by byte ranges. Redirects are followed once, not for every range: the hub counts requests, its storage does not. */
import { UserError } from '../platform/errors.ts'
import type { ByteSource } from './byte-source.ts'
import {
  chunksOf,
  discard,
  type Guide,
  locate,
  partOf,
  placeOf,
  refuse,
  requestPart,
  requirePart,
} from './http-client.ts'
import { createPatience, listenForSilence, persist, realWait, Transient, type Wait } from './retry.ts'

export type HttpOptions = Guide & { wait?: Wait }

/** @throws UserError when the file cannot be read, or not in parts. */
export async function openHttpSource(url: URL, signal: AbortSignal, options: HttpOptions): Promise<ByteSource> {
  const { wait = realWait } = options
  const location = placeOf(url)
  const first = await persist(createPatience(signal, wait), () => locate(url, options, signal))
  let found = first

  /** Links into a storage expire: then the way is asked for again. */
  const relocate = async (signal: AbortSignal) => {
    found = await locate(url, options, signal)
    if (found.version !== first.version || found.size !== first.size) throw replaced(location)
  }

  /** The bytes from `start` on, as they come. */
  async function* request(start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const response = await requestPart(options, url, found.url, [start, end], signal)
    try {
      if (found.url !== url && [401, 403, 404, 410].includes(response.status)) {
        await relocate(signal)
        throw new Transient(`${location} has moved`, 0)
      }
      if (!response.ok) refuse(location, response, options.accessHint)
      requirePart(location, response)
      const part = partOf(response)
      if (part?.size !== first.size) throw replaced(location)
      if (found.etag !== undefined && found.etag !== response.headers.get('etag')) throw replaced(location)
      if (part.start !== start || part.end !== end) throw otherBytes(location)
      yield* chunksOf(response, signal)
    } finally {
      void discard(response)
    }
  }

  async function* read(start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const patience = createPatience(signal, wait)
    for (let position = start; position < end; ) {
      const silence = listenForSilence(signal)
      try {
        for await (const chunk of request(position, end, silence.signal)) {
          const wanted = chunk.subarray(0, end - position)
          position += wanted.length
          silence.heard()
          patience.renew()
          yield wanted
        }
        if (position < end) throw new Transient(`${location} broke off`)
      } catch (error) {
        const isKnown = error instanceof UserError || error instanceof Transient
        await patience.afterFailure(isKnown ? error : new Transient(`${location} broke off`, undefined, error))
      } finally {
        silence.end()
      }
    }
  }

  return { name: nameOf(url), location, size: first.size, version: first.version, read, close: async () => {} }
}

function nameOf({ pathname }: URL): string {
  const last = pathname.split('/').at(-1) ?? ''
  try {
    return decodeURIComponent(last).replace(/[/\\]/g, '-') || 'model.safetensors'
  } catch {
    return last
  }
}

const replaced = (location: string) =>
  new UserError(`${location} was replaced by another file during the download`, {
    hint: 'run it again: it says what to delete to begin anew',
  })

const otherBytes = (location: string) =>
  new UserError(`${location} lies on a server that sends other bytes than asked for`, {
    hint: 'download the whole file, then: ltx-a2a pull <the file>',
  })
