/** A sound on a page: its spectrogram, its waveform, a player. */
import { spectrumOf, toMono } from '../../analysis/spectrum.ts'
import { durationOf, sampleCount, type Waveform } from '../../audio/waveform.ts'
import { html, type Markup } from './html.ts'
import { spectrogramPng } from './spectrogram.ts'

/** A sound made small enough for a page. */
export type PageSound = {
  /** Of the player. */
  dataUri: string
  seconds: number
  spectrogram: string
  /** The largest absolute sample in each of as many stretches as the picture has columns, 0 to 1. */
  peaks: number[]
}

export const dataUri = (type: string, bytes: Uint8Array) =>
  `data:${type};base64,${Buffer.from(bytes).toString('base64')}`

const columns = 240

/** @param coded the same sound as a file that browsers play */
export function pageSound(waveform: Waveform, coded: { type: string; bytes: Uint8Array }): PageSound {
  const mono = toMono(waveform)
  return {
    dataUri: dataUri(coded.type, coded.bytes),
    seconds: durationOf(waveform),
    spectrogram: dataUri('image/png', spectrogramPng(spectrumOf(mono))),
    peaks: peaksOf(mono),
  }
}

function peaksOf(waveform: Waveform): number[] {
  const [channel] = waveform.channels as [Float32Array]
  const step = sampleCount(waveform) / columns
  return Array.from({ length: columns }, (_, i) =>
    channel
      .subarray(Math.floor(i * step), Math.floor((i + 1) * step))
      .reduce((most, sample) => Math.max(most, Math.abs(sample)), 0),
  )
}

/** @param note a line of facts below, so that pictures beside each other stay on one level */
export function player(title: string | Markup, sound: PageSound, note?: string | Markup): Markup {
  return html`<figure><figcaption><strong>${title}</strong><span class="faint">${sound.seconds.toFixed(2)} s</span></figcaption>
<div class="picture"><img alt="spectrogram" src="${sound.spectrogram}">${waveformSvg(sound.peaks)}<i></i></div>
<audio controls preload="metadata" src="${sound.dataUri}"></audio>${note !== undefined && html`<p class="faint">${note}</p>`}</figure>\n`
}

/** Scaled so that its own loudest place fills the height. */
function waveformSvg(peaks: readonly number[]): Markup {
  const top = Math.max(...peaks, 1e-6)
  const bars = peaks.map((peak, i) => {
    const half = Math.max(0.4, (19 * peak) / top)
    return `M${i} ${(20 - half).toFixed(1)}h.8v${(2 * half).toFixed(1)}h-.8z`
  })
  return html`<svg viewBox="0 0 ${columns} 40" preserveAspectRatio="none" aria-hidden="true"><path d="${bars.join('')}"/></svg>`
}
