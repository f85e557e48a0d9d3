import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { readJobFile } from '../../src/config/job-file.ts'

it('each relative model file in a job file is resolved against the folder of the job file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-job-'))
  mkdirSync(join(folder, 'models'))
  for (const name of ['dit', 'sound']) writeFileSync(join(folder, 'models', `${name}.safetensors`), '')
  writeFileSync(
    join(folder, 'job.json'),
    JSON.stringify({ model: 'models/dit.safetensors, models/sound.safetensors,/far/text.safetensors' }),
  )
  expect(readJobFile(join(folder, 'job.json')).model).toBe(
    `${join(folder, 'models/dit.safetensors')},${join(folder, 'models/sound.safetensors')},/far/text.safetensors`,
  )
})
