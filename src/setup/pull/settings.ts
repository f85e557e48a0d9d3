import type { Release } from '../../model/release.ts'

/** What to pull, and where to. */
export type PullSettings = {
  /** A repository of the hub, a URL, or a path. */
  from?: string | undefined
  /** LTX-2.3 by default. A single file is recognized by its content. */
  base?: Release | undefined
  /**
   * LTX-2.3: the text encoder instead of the audio path. LTX-2.5: nothing but the text encoder, or everything but it; by default everything.
   */
  textEncoder?: boolean | undefined
  /** A file; a folder for a text encoder of LTX-2.3 and for the files of LTX-2.5. */
  out?: string | undefined
}
