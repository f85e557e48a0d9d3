/** The trainings of the kill test: how clients submit them, and what an undisturbed run of each gives. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createZip } from '../../../src/dataset/zip-writer.ts'
import { comparableContent } from '../run-content.ts'
import { noise } from '../tiny-data.ts'
import { startTool } from '../tool.ts'

/** The parameters of a training. */
export type Training = Readonly<Record<string, string | number>>

const endpoint = 'fal-ai/ltx23-trainer-v2/a2a'

/** Trainings that differ in their seed and their number of steps: they take seconds. */
export const trainings = (count: number): Training[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ audio_duration_seconds: 0.5, rank: 8, checkpoint_interval: 5, preview_interval: 0, eval_interval: 20 },
    ...{ backend: 'wasm', trigger_phrase: 'noise', seed: i + 1, number_of_steps: 40 + 20 * (i % 5) },
  }))

/** Writes a dataset of three pairs of noise. */
export async function writeZip(path: string) {
  const zip = createZip(path)
  for (const name of ['hiss', 'rush', 'wind'])
    for (const side of ['start', 'end']) zip.addBytes(`${name}_${side}.wav`, noise(`${name} ${side}`))
  await zip.finish()
}

/** Trains without a server. @returns what every run with these parameters must be. */
export async function undisturbed(folder: string, zip: string, training: Training): Promise<string[]> {
  const run = `undisturbed-${training.seed}`
  const flags = Object.entries(training).map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`)
  const args = ['train', '--data', zip, '--out', run, ...flags]
  const { code, output } = await startTool(args, { cwd: folder, cache: join(folder, 'undisturbed-cache') }).exited
  if (code !== 0) throw new Error(`an undisturbed run ended with ${code}: ${output}`)
  return comparableContent(join(folder, run))
}

/** A client that goes on when the server is not there. */
export function createClient(server: string) {
  /** @throws where the server refuses. */
  const send = async (path: string, init: RequestInit): Promise<Record<string, string>> => {
    for (;;) {
      try {
        const response = await fetch(server + path, init)
        if (response.ok) return (await response.json()) as Record<string, string>
        if (response.status < 500) throw new Refused(`${path} answered ${response.status}: ${await response.text()}`)
      } catch (error) {
        if (error instanceof Refused) throw error
      }
      await sleep(300)
    }
  }
  return {
    upload: async (path: string) => {
      const headers = { 'x-fal-file-name': 'pairs.zip' }
      const { access_url } = await send('/files/upload', { method: 'POST', body: readFileSync(path), headers })
      return access_url as string
    },
    /** @returns the id of the request. It may have been submitted more than once if the server was killed before it could answer. */
    submit: async (data: string, training: Training, webhook: string) => {
      const body = JSON.stringify({ training_data_url: data, ...training, rank: String(training.rank) })
      const headers = { 'content-type': 'application/json' }
      const path = `/queue/${endpoint}?fal_webhook=${encodeURIComponent(webhook)}`
      const { request_id } = await send(path, { method: 'POST', body, headers })
      return request_id as string
    },
    /** The LoRA of a completed request, as a client downloads it. */
    lora: async (id: string) => {
      const { lora_file } = (await send(`/queue/${endpoint}/requests/${id}`, {})) as unknown as {
        lora_file: { url: string }
      }
      return Buffer.from(await (await fetch(lora_file.url)).arrayBuffer())
    },
  }
}

class Refused extends Error {}
