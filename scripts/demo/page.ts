/** The page of the demo: what was trained on, four held-out recordings before, after and as they should be, and what the figures mean. */
import { writeFileSync } from 'node:fs'
import { compressAudio } from '../../src/audio/compress.ts'
import { toStereo, type Waveform } from '../../src/audio/waveform.ts'
import { html, type Markup, page, section } from '../../src/report/page/page.ts'
import { pageSound, player } from '../../src/report/page/player.ts'
import { captionDistance, conclusion, meanRadioDistances, radioDistances } from './distances.ts'
import { type EffectName, effectNames, effects, type HeldOutSound } from './held-out.ts'

const kilobitsPerSecond = 96

/** Of the whole demo. */
export type DemoFacts = {
  steps: number
  seconds: number
  /** The command that transforms a recording with the LoRA. */
  tryIt: string
}

export async function writeDemoPage(path: string, sounds: readonly HeldOutSound[], facts: DemoFacts) {
  const { steps, seconds, tryIt } = facts
  const stories: Markup[] = []
  for (const sound of sounds) stories.push(await soundSection(sound))
  const parts = {
    generator: 'npm run demo',
    title: 'What the demo has learned',
    lead: `${conclusion(meanRadioDistances(sounds.map(radioDistances)))} A LoRA was trained on 30 pairs of generated sounds, for ${steps} steps; the whole demo took ${Math.round(seconds)} s on this machine.`,
    sections: [introduction, ...stories, figures(sounds), captions(sounds), next(tryIt)],
  }
  writeFileSync(path, page(parts))
}

const introduction = section(
  'What it was trained on',
  html`<p>Eighteen pairs of a clean sound and the same sound through an old radio: a small loudspeaker, an overdriven amplifier, hum and hiss. The base model knows other radios; it gets the same caption below. Six pairs with a telephone and six with a hall, which it knows, keep the caption meaningful: the base alone makes those two about as well. None of the recordings below was trained on.</p>
<p>The model is tiny and was trained on generated sound only. Its sound ends at 8 kHz.</p>`,
)

async function soundSection({ name, reference, targets, results }: HeldOutSound): Promise<Markup> {
  const { reference: before, base, radio } = radioDistances({ name, reference, targets, results })
  const others = effectNames.filter((effect) => effect !== 'radio')
  return section(
    `Held-out ${name}`,
    html`<div class="cards">${[
      await playerOf('before', reference, distanceText(before)),
      await playerOf(`base alone, “${effects.radio.caption}”`, results.base, distanceText(base)),
      await playerOf(`with the LoRA, “${effects.radio.caption}”`, results.radio, distanceText(radio)),
      await playerOf('the true radio', targets.radio, 'distance 0'),
    ]}</div><h3>The same LoRA, other captions</h3><div class="cards">${await Promise.all(
      others.flatMap((effect) => [
        playerOf(`“${effects[effect].caption}”`, results[effect]),
        playerOf(`the true ${effect}`, targets[effect]),
      ]),
    )}</div>`,
  )
}

const playerOf = async (title: string, sound: Waveform, note?: string): Promise<Markup> =>
  player(title, pageSound(sound, await compressAudio(toStereo(sound), kilobitsPerSecond)), note)

const distanceText = (distance: number) => `distance ${distance.toFixed(2)}`

function figures(sounds: readonly HeldOutSound[]): Markup {
  const distances = sounds.map((sound) => ({ name: sound.name, ...radioDistances(sound) }))
  const rows = [...distances, { name: 'mean', ...meanRadioDistances(distances) }]
  return section(
    'How near it comes to the true radio',
    html`<p>The distance is the mean difference of two log-mel spectrograms in nats, level included: 0 is equal, 0.15 is what two recordings of the same radio with different hiss differ by, 1 is a factor of 2.7 in every band. The distances in the report of the run are in decibels and leave the level out.</p>
<div class="scroll"><table><tr><th></th><th class="number">before</th><th class="number">base alone</th><th class="number">with the LoRA</th><th class="number">with other captions (mean of two)</th></tr>${rows.map(
      ({ name, reference, base, radio, otherCaptions }) =>
        html`<tr><td>${name}</td>${[reference, base, radio, otherCaptions].map(numberCell)}</tr>`,
    )}</table></div>`,
  )
}

function captions(sounds: readonly HeldOutSound[]): Markup {
  const row = (caption: EffectName) =>
    html`<tr><td>${effects[caption].caption}</td>${effectNames.map((target) => numberCell(captionDistance(sounds, caption, target)))}</tr>`
  return section(
    'What the caption decides',
    html`<p>One LoRA, three captions: means over the four recordings. The smallest distance of a row should be the one to the effect that its caption names.</p>
<div class="scroll"><table><tr><th>caption</th>${effectNames.map((target) => html`<th class="number">to the true ${target}</th>`)}</tr>${effectNames.map(row)}</table></div>`,
  )
}

const numberCell = (value: number) => html`<td class="number">${value.toFixed(2)}</td>`

const next = (tryIt: string) =>
  section(
    'What is next',
    html`<p>The <a href="report.html">report of the run</a> shows how the LoRA learned. It transforms a recording of yours with:</p>
<pre class="scroll">${tryIt}</pre>
<p>With pairs of your own and the real base, the same commands make a LoRA for LTX-2.3, whose sound has 48 kHz:</p>
<pre class="scroll">npx ltx-a2a setup-tensorflow
npx ltx-a2a pull
npx ltx-a2a pull --text-encoder
npx ltx-a2a inspect-dataset pairs.zip
npx ltx-a2a train --data pairs.zip --model &lt;file&gt; --text-encoder &lt;folder&gt;</pre>
<p>The README says what pairs this needs, docs/model.md what machine.</p>`,
  )
