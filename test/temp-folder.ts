/** Vitest's global setup: the tests have a temporary folder of their own, which is removed after the run. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let folder: string

export function setup() {
  folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-tests-'))
  process.env.TMPDIR = folder
}

export const teardown = () => rmSync(folder, { recursive: true, force: true })
