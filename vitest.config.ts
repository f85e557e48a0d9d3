import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    env: {
      // a native TensorFlow that this machine's user has set up is not what the tests are about
      LTX_A2A_DATA: process.env.LTX_A2A_DATA ?? join(tmpdir(), 'ltx-a2a-test-no-data'),
      // random and quick, in the place of the one that has learned
      LTX_A2A_BASE: fileURLToPath(new URL('test/base', import.meta.url)),
    },
  },
})
