/** What a server that was killed while it received files has left. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { filesBelow, replaceFile } from '../../src/platform/files.ts'
import { serve } from './test-server.ts'

it('is removed at the next start, and nothing else', async () => {
  const data = mkdtempSync(join(tmpdir(), 'server-'))
  const kept = ['runs/a/.state.1-0-1.tmp', 'runs/a/state.safetensors', 'uploads/b/pairs.zip']
  for (const path of [...kept, 'runs/a/.upload.1-0-1.tmp', 'uploads/b/.upload.2-0-7.tmp'])
    replaceFile(join(data, 'files', path), ['x'])
  await serve({ data })
  expect(filesBelow(join(data, 'files'))).toEqual(kept)
})
