import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { constants, getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startJobProcess } from '../../src/machine/job-process.ts'

it.skipIf(getPriority() > constants.priority.PRIORITY_BELOW_NORMAL)(
  'a job has a lower priority than its server',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'job-process-'))
    try {
      const bin = join(folder, 'job.mjs')
      writeFileSync(bin, "import { getPriority } from 'node:os'\nconsole.error(getPriority())")
      const lines: string[] = []
      const { ended } = startJobProcess([], { bin, onLine: (line) => lines.push(line) })
      expect(await ended).toEqual({ code: 0, signal: null })
      expect(lines).toEqual([String(constants.priority.PRIORITY_BELOW_NORMAL)])
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
