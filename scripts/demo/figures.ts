/** The demo's verdict: how far previews are from what their references should have become. */
import { join } from 'node:path'
import Table from 'cli-table3'
import { decodeAudio } from '../../src/audio/decode.ts'
import { normalizePeak } from '../../src/audio/waveform.ts'
import { logMelDistance } from './distance.ts'

/** `<folder>/<name>_start.flac` and `_end.flac`; `<previews>/<name>.wav`, and `<name>-base.wav` without a LoRA. */
export type HeldOut = { name: string; folder: string; previews: string }

export type Distances = { reference: number; base: number; lora: number }

/** Prints a row for each and the means, and what they say. */
export async function figures(heldOut: readonly HeldOut[]): Promise<Distances> {
  const rows = await Promise.all(heldOut.map(distances))
  const mean = meanOf(rows)
  const table = new Table({ head: ['far from the true target, in nats', 'reference', 'base alone', 'with the LoRA'] })
  for (const [i, row] of rows.entries()) table.push([heldOut[i]?.name ?? '', ...cells(row)])
  table.push(['mean', ...cells(mean)])
  console.log(`\n${table}`)
  const share = (of: number) => `${(mean.lora / of).toFixed(2)} times as far`
  console.log(`The LoRA's previews are ${share(mean.reference)} from their true targets as the references are,`)
  console.log(`and ${share(mean.base)} as what the base makes of them without it.`)
  return mean
}

/** Levelled as training levels its clips. */
async function distances({ name, folder, previews }: HeldOut): Promise<Distances> {
  const read = async (path: string) => normalizePeak(await decodeAudio(path))
  const target = await read(join(folder, `${name}_end.flac`))
  const preview = (as: string) => decodeAudio(join(previews, `${as}.wav`))
  return {
    reference: logMelDistance(await read(join(folder, `${name}_start.flac`)), target),
    base: logMelDistance(await preview(`${name}-base`), target),
    lora: logMelDistance(await preview(name), target),
  }
}

const meanOf = (rows: readonly Distances[]): Distances => {
  const mean = (of: keyof Distances) => rows.reduce((sum, row) => sum + row[of], 0) / rows.length
  return { reference: mean('reference'), base: mean('base'), lora: mean('lora') }
}

const cells = ({ reference, base, lora }: Distances) => [reference, base, lora].map((x) => x.toFixed(2))
