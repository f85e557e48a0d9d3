/** A sound on a page: its spectrogram as PNG, its waveform as SVG, and a player. */
import { deflateSync } from 'node:zlib'
import { toMono } from '../../audio/analysis/channels.ts'
import { maxOf, type Spectrogram, spectrogramOf } from '../../audio/analysis/spectrogram.ts'
import { durationOf, sampleCount, type Waveform } from '../../audio/waveform.ts'
import { crc32 } from '../../formats/crc.ts'
import { html, type Markup } from './page.ts'

/** A compressed sound with its pictures. */
export type PageSound = {
  /** The sound for the player. */
  dataUri: string
  seconds: number
  spectrogram: string
  /** The largest absolute sample for each column of the picture, 0 to 1. */
  peaks: number[]
}

export const dataUri = (type: string, bytes: Uint8Array) =>
  `data:${type};base64,${Buffer.from(bytes).toString('base64')}`

const waveformColumns = 240

/** @param compressed the same sound in a format that browsers play. */
export function pageSound(waveform: Waveform, compressed: { type: string; bytes: Uint8Array }): PageSound {
  const mono = toMono(waveform)
  return {
    dataUri: dataUri(compressed.type, compressed.bytes),
    seconds: durationOf(waveform),
    spectrogram: dataUri('image/png', spectrogramPng(spectrogramOf(mono))),
    peaks: peaksOf(mono),
  }
}

function peaksOf(waveform: Waveform): number[] {
  const [channel] = waveform.channels as [Float32Array]
  const step = sampleCount(waveform) / waveformColumns
  return Array.from({ length: waveformColumns }, (_, i) =>
    channel
      .subarray(Math.floor(i * step), Math.floor((i + 1) * step))
      .reduce((most, sample) => Math.max(most, Math.abs(sample)), 0),
  )
}

/** @param note text below the player; pictures beside each other stay aligned. */
export function player(title: string | Markup, sound: PageSound, note?: string | Markup): Markup {
  return html`<figure><figcaption><strong>${title}</strong><span class="faint">${sound.seconds.toFixed(2)} s</span></figcaption>
<div class="picture"><img alt="spectrogram" src="${sound.spectrogram}">${waveformSvg(sound.peaks)}<i></i></div>
<audio controls preload="metadata" src="${sound.dataUri}"></audio>${note !== undefined && html`<p class="faint">${note}</p>`}</figure>\n`
}

/** Scaled so that the largest peak fills the height. */
function waveformSvg(peaks: readonly number[]): Markup {
  const largest = Math.max(...peaks, 1e-6)
  const bars = peaks.map((peak, i) => {
    const half = Math.max(0.4, (19 * peak) / largest)
    return `M${i} ${(20 - half).toFixed(1)}h.8v${(2 * half).toFixed(1)}h-.8z`
  })
  return html`<svg viewBox="0 0 ${waveformColumns} 40" preserveAspectRatio="none" aria-hidden="true"><path d="${bars.join('')}"/></svg>`
}

/** A picture with one byte per pixel, an index into a palette. */
export type IndexedPicture = {
  width: number
  height: number
  /** Rows from the top, one palette index per pixel. */
  pixels: Uint8Array
  /** Red, green and blue of each color. */
  palette: Uint8Array
}

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
const bitDepth = 8
const indexedColor = 3

export function encodePng({ width, height, pixels, palette }: IndexedPicture): Uint8Array {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([bitDepth, indexedColor], 8)
  const rows = Buffer.alloc(height * (width + 1)) // each row begins with its filter type: none
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
  const chunks = [chunk('IHDR', header), chunk('PLTE', palette), chunk('IDAT', deflateSync(rows, { level: 9 }))]
  return Buffer.concat([signature, ...chunks, chunk('IEND', new Uint8Array(0))])
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  check.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, check])
}

/** Decibels below the loudest cell that are drawn black. */
const rangeDecibels = 70
/** More than the eye can distinguish, and few enough for a small file. */
const colorCount = 48
/** 20 ms per column. */
const framesPerColumn = 2

/** Time to the right, low bands at the bottom, the loudest cells brightest. */
export function spectrogramPng(spectrum: Spectrogram): Uint8Array {
  const { frames, bands, decibels } = spectrum
  const width = Math.max(1, Math.floor(frames / framesPerColumn))
  const top = maxOf(decibels)
  const pixels = new Uint8Array(width * bands)
  for (let x = 0; x < width && frames > 0; x++)
    for (let band = 0; band < bands; band++) {
      const level = (decibels[Math.min(frames - 1, x * framesPerColumn) * bands + band] as number) - top
      const color = Math.round(Math.max(0, 1 + level / rangeDecibels) * (colorCount - 1))
      pixels[(bands - 1 - band) * width + x] = color
    }
  return encodePng({ width, height: bands, pixels, palette })
}

/** From black over violet and orange to near white, with even steps in perceived brightness. */
const colorStops = [
  [4, 3, 20],
  [60, 15, 112],
  [139, 41, 128],
  [219, 77, 105],
  [253, 154, 106],
  [252, 253, 205],
] as const

const palette = Uint8Array.from(
  Array.from({ length: colorCount }, (_, i) => {
    const at = (i / (colorCount - 1)) * (colorStops.length - 1)
    const [from, to] = [
      colorStops[Math.floor(at)],
      colorStops[Math.min(colorStops.length - 1, Math.floor(at) + 1)],
    ] as const
    return [0, 1, 2].map((c) => Math.round((from?.[c] ?? 0) * (1 - (at % 1)) + (to?.[c] ?? 0) * (at % 1)))
  }).flat(),
)
