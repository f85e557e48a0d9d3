/** Evaluation of the demo: the distances of previews from the true targets of their references. */
import { join } from 'node:path'
import Table from 'cli-table3'
import { decodeAudio } from '../../src/audio/decode.ts'
import { normalizePeak } from '../../src/audio/waveform.ts'
import { mean } from '../../src/platform/statistics.ts'
import { logMelDistance } from './distance.ts'

/** A held-out pair, `<folder>/<name>_start.flac` and `_end.flac`, and its previews: `<previews>/<name>.wav`, and `<name>-base.wav` without the LoRA. */
export type HeldOutPair = { name: string; folder: string; previews: string }

/** Distances from the true target in nats: of the reference, and of the previews without and with the LoRA. */
export type Distances = { reference: number; base: number; lora: number }

/** Prints the distances of each pair and their means. @returns the means. */
export async function compareWithTargets(pairs: readonly HeldOutPair[]): Promise<Distances> {
  const rows = await Promise.all(pairs.map(measureDistances))
  const means = meanDistances(rows)
  const table = new Table({
    head: ['distance to the true target, in nats of log-mel', 'reference', 'base alone', 'with the LoRA'],
    style: { head: [], border: [] }, // no colours
  })
  for (const [i, row] of rows.entries()) table.push([pairs[i]?.name ?? '', ...cells(row)])
  table.push(['mean', ...cells(means)])
  console.log(`\n${table}`)
  const ratio = (other: number) => (means.lora / other).toFixed(2)
  console.log(`Mean distance with the LoRA: ${ratio(means.reference)} times that of the references,`)
  console.log(`${ratio(means.base)} times that of the previews without the LoRA.`)
  return means
}

/** References and targets are normalized as clips are in training. */
async function measureDistances({ name, folder, previews }: HeldOutPair): Promise<Distances> {
  const clip = async (path: string) => normalizePeak(await decodeAudio(path))
  const preview = (file: string) => decodeAudio(join(previews, `${file}.wav`))
  const target = await clip(join(folder, `${name}_end.flac`))
  return {
    reference: logMelDistance(await clip(join(folder, `${name}_start.flac`)), target),
    base: logMelDistance(await preview(`${name}-base`), target),
    lora: logMelDistance(await preview(name), target),
  }
}

const meanDistances = (rows: readonly Distances[]): Distances => ({
  reference: mean(rows.map(({ reference }) => reference)),
  base: mean(rows.map(({ base }) => base)),
  lora: mean(rows.map(({ lora }) => lora)),
})

const cells = ({ reference, base, lora }: Distances) => [reference, base, lora].map((distance) => distance.toFixed(2))
