/** Job files and configs of runs, read and validated. */
import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { resolveInspectSettings, resolveTrainSettings } from '../../../src/config/settings.ts'
import { UserError } from '../../../src/platform/errors.ts'
import { openRunFolder } from '../../../src/train/run-folder.ts'
import { mutate, pick, randomInt } from '../mutation.ts'
import type { Format } from './format.ts'
import { mutatedJson } from './safetensors.ts'

export function configFormat(): Format {
  const seeds = jobs.map((job) => Buffer.from(JSON.stringify(job, null, 1)))
  return {
    make: (random) => {
      const seed = pick(random, seeds)
      const isText = randomInt(random, 4) > 0
      let json = seed.toString()
      for (let changes = 1 + randomInt(random, 3); changes > 0; changes--) json = mutatedJson(json, random)
      return { bytes: isText ? Buffer.from(json) : mutate(seed, random, seeds), name: 'job.json' }
    },
    use: (path) => {
      const refusal = catchUserError(() => resolveTrainSettings({ flags: {}, configFile: path }))
      catchUserError(() => resolveInspectSettings({ flags: {}, configFile: path }))
      const run = join(dirname(path), 'run')
      mkdirSync(run, { recursive: true })
      copyFileSync(path, join(run, 'config.json'))
      catchUserError(() => {
        const { config } = openRunFolder(run)
        resolveTrainSettings({ flags: {}, savedJob: { job: config.parameters, file: 'config.json' } })
      })
      if (refusal) throw refusal
    },
  }
}

/** The UserError, if it was one. */
function catchUserError(work: () => unknown): UserError | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return error
  }
}

const job = {
  training_data_url: 'pairs.zip',
  trigger_phrase: 'tonech4nge',
  rank: 32,
  number_of_steps: 2000,
  learning_rate: 0.0002,
  audio_duration_seconds: 5.0,
  target_modules: ['audio_attn1.to_q'],
  resolution: 'high',
  validation: [{ prompt: 'tonech4nge', reference_audio_url: 'ref.wav' }],
}

const jobs = [
  job,
  { data: 'https://example.com/pairs.zip', audio_normalize: false, seed: 7 },
  { tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: 'x', parameters: job },
  JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"data":"x.zip"}') as object,
]
