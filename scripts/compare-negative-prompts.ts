/**
 * Compares negative prompts at several scales of guidance, by the distances of previews of the demo's held-out recordings from their true targets:
 *
 *     npx tsx scripts/compare-negative-prompts.ts <lora.safetensors of the demo> [--cfg 2,3,5,7] [--seeds 42,43] [--backend wasm]
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { decodeAudio } from '../src/audio/decode.ts'
import { normalizePeak } from '../src/audio/waveform.ts'
import { defaultNegativePrompt } from '../src/config/parameters.ts'
import type { BackendChoice } from '../src/engine/backend.ts'
import { mean } from '../src/platform/statistics.ts'
import { preview } from '../src/preview/preview.ts'
import { logMelDistance } from './demo/distance.ts'
import { captionOf, referenceOf, sounds } from './demo/held-out.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cfg: { type: 'string', default: '2,3,5,7' },
    seeds: { type: 'string', default: '42,43' },
    backend: { type: 'string', default: 'auto' },
  },
})
const [lora] = positionals
if (lora === undefined) throw new Error('name the LoRA of the demo')
const numbers = (list: string) => list.split(',').map(Number)
const heldOut = fileURLToPath(new URL('../fixtures/demo/held-out', import.meta.url))

/** The default of version 0.1: it also named properties of the sound, which a LoRA may be meant to produce. */
const soundDefects = [
  'clipping, digital distortion, crackling, pops and clicks, loud hiss, mains hum, background noise, room echo, muffled sound, tinny sound',
  'metallic artifacts, robotic voice, garbled speech, stutter, repeated fragments, dropouts, sudden silence, abrupt cuts, pumping volume',
  'wrong pitch, warbling, low bitrate compression, unbalanced channels',
].join(', ')
const negativePrompts = { 'version 0.1': soundDefects, 'the default': defaultNegativePrompt, empty: '' }

const targets = await Promise.all(
  sounds.map(async (name) => normalizePeak(await decodeAudio(join(heldOut, `${name}_end.flac`)))),
)
const table = new Table({ head: ['mean distance to the true target, nats', ...Object.keys(negativePrompts)] })
for (const cfg of numbers(values.cfg)) {
  const distances = []
  for (const negativePrompt of Object.values(negativePrompts)) distances.push(await meanDistance(negativePrompt, cfg))
  console.error(`cfg ${cfg}: ${distances.map((distance) => distance.toFixed(3)).join(' ')}`)
  table.push([`--cfg ${cfg}`, ...distances.map((distance) => distance.toFixed(2))])
}
console.log(String(table))

/** Over the held-out recordings and the seeds, with the settings of the demo. */
async function meanDistance(negativePrompt: string, cfg: number): Promise<number> {
  const distances = []
  for (const [i, name] of sounds.entries())
    for (const seed of numbers(values.seeds)) {
      const { waveform } = await preview({
        lora: lora as string,
        reference: referenceOf(heldOut, name),
        ...{ prompt: captionOf('radio'), negativePrompt, duration: 2.2, steps: 8, cfg, seed },
        backend: values.backend as BackendChoice,
      })
      distances.push(logMelDistance(waveform, targets[i] as (typeof targets)[number]))
    }
  return mean(distances)
}
