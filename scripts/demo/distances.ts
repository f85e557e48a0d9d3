/** How near the results of the demo come to the true targets. */
import Table from 'cli-table3'
import { mean } from '../../src/platform/statistics.ts'
import { logMelDistance } from './distance.ts'
import { type EffectName, effectNames, effects, type HeldOutSound } from './held-out.ts'

/** Distances from the true radio, in nats of log-mel. */
export type RadioDistances = {
  reference: number
  /** Of the base alone, with the caption of the radio. */
  base: number
  /** With the LoRA and the caption of the radio. */
  radio: number
  /** With the LoRA and the other captions: the mean. */
  otherCaptions: number
}

export function radioDistances({ reference, targets, results }: HeldOutSound): RadioDistances {
  const distance = (sound: typeof reference) => logMelDistance(sound, targets.radio)
  return {
    reference: distance(reference),
    base: distance(results.base),
    radio: distance(results.radio),
    otherCaptions: mean([distance(results.telephone), distance(results.hall)]),
  }
}

/** The means over the sounds. */
export function meanRadioDistances(all: readonly RadioDistances[]): RadioDistances {
  return {
    reference: mean(all.map(({ reference }) => reference)),
    base: mean(all.map(({ base }) => base)),
    radio: mean(all.map(({ radio }) => radio)),
    otherCaptions: mean(all.map(({ otherCaptions }) => otherCaptions)),
  }
}

/** The mean distance over the sounds of the results with one caption from the targets of an effect. */
export const captionDistance = (sounds: readonly HeldOutSound[], caption: EffectName, target: EffectName) =>
  mean(sounds.map(({ results, targets }) => logMelDistance(results[caption], targets[target])))

/** Prints all of them. @returns the means over the sounds. */
export function printDistances(sounds: readonly HeldOutSound[]): RadioDistances {
  const rows = sounds.map((sound) => ({ name: sound.name, ...radioDistances(sound) }))
  const means = meanRadioDistances(rows)
  const cells = ({ reference, base, radio, otherCaptions }: RadioDistances) =>
    [reference, base, radio, otherCaptions].map(shown)
  const toRadio = newTable([
    'distance to the true radio',
    'reference',
    'base alone',
    'with the LoRA',
    'with other captions',
  ])
  for (const row of rows) toRadio.push([row.name, ...cells(row)])
  toRadio.push(['mean', ...cells(means)])
  const byCaption = newTable(['caption', ...effectNames.map((target) => `to the true ${target}`)])
  for (const caption of effectNames)
    byCaption.push([
      effects[caption].caption,
      ...effectNames.map((target) => shown(captionDistance(sounds, caption, target))),
    ])
  console.log(`\n${toRadio}\n${byCaption}`)
  console.log(conclusion(means))
  console.log(`Distances are mean differences of log-mel spectrograms in nats; 0 is equal.`)
  console.log(`With the LoRA: ${shown(means.radio / means.reference)} times the distance of the references,`)
  console.log(
    `${shown(means.radio / means.base)} times that of the base alone. Other captions: ${shown(means.otherCaptions / means.radio)} times as far.`,
  )
  return means
}

/** What the means say, in a sentence. */
export function conclusion({ reference, base, radio }: RadioDistances): string {
  const word =
    radio < 0.5 * Math.min(reference, base) ? 'comes near to' : radio < base ? 'is on the way to' : 'has not learned'
  return `The LoRA ${word} the true radio: its mean distance is ${shown(radio)}, where that of the recordings is ${shown(reference)} and that of the base alone ${shown(base)}.`
}

/** No colors: the output may be piped. */
const newTable = (head: string[]) => new Table({ head, style: { head: [], border: [] } })

const shown = (number: number) => number.toFixed(2)
