import { leastFreeBytes } from '../worker/job-files.ts'

/** How much a client may ask of the server, and how long it may take to ask. */
export type ServerLimits = {
  /** Of a body of JSON, with the `data:` URIs in it. */
  jsonBytes: number
  /** Of an uploaded file. */
  uploadBytes: number
  /** What uploads leave free on the disk. */
  freeBytes: number
  /** With less free on the disk, no request is worked on. */
  freeBytesForWork: number
  /** Seconds until the headers of a request are there. */
  headerSeconds: number
  /** Seconds without a byte of a body. */
  silenceSeconds: number
  /** Seconds for a whole body of JSON. */
  jsonSeconds: number
  /** Seconds for a whole upload, or a part of one. */
  uploadSeconds: number
  /** Requests that may be submitted at once, and how many more each minute. */
  submissions: { atOnce: number; perMinute: number }
}

const mib = 2 ** 20

export const defaultServerLimits: ServerLimits = Object.freeze({
  jsonBytes: 1_000_000,
  uploadBytes: 4096 * mib,
  freeBytes: 1024 * mib,
  freeBytesForWork: leastFreeBytes,
  headerSeconds: 20,
  silenceSeconds: 30,
  jsonSeconds: 60,
  uploadSeconds: 6 * 3600,
  submissions: { atOnce: 30, perMinute: 60 },
})
