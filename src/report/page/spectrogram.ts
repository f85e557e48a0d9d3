/** A spectrum as a picture: time to the right, low bands below, the loudest brightest. */
import { highest, type Spectrum } from '../../analysis/spectrum.ts'
import { encodePng } from './png.ts'

/** What is this far below the loudest cell is black. */
const range = 70
/** Few enough that the file stays small, more than the eye tells apart. */
const colors = 48
/** Twenty milliseconds a column. */
const framesPerColumn = 2

export function spectrogramPng(spectrum: Spectrum): Uint8Array {
  const { frames, bands, decibels } = spectrum
  const width = Math.max(1, Math.floor(frames / framesPerColumn))
  const top = highest(decibels)
  const pixels = new Uint8Array(width * bands)
  for (let x = 0; x < width && frames > 0; x++)
    for (let band = 0; band < bands; band++) {
      const level = (decibels[Math.min(frames - 1, x * framesPerColumn) * bands + band] as number) - top
      const color = Math.round(Math.max(0, 1 + level / range) * (colors - 1))
      pixels[(bands - 1 - band) * width + x] = color
    }
  return encodePng({ width, height: bands, pixels, palette })
}

/** From black over violet and orange to near white, evenly brighter for the eye. */
const stops = [
  [4, 3, 20],
  [60, 15, 112],
  [139, 41, 128],
  [219, 77, 105],
  [253, 154, 106],
  [252, 253, 205],
] as const

const palette = Uint8Array.from(
  Array.from({ length: colors }, (_, i) => {
    const at = (i / (colors - 1)) * (stops.length - 1)
    const [from, to] = [stops[Math.floor(at)], stops[Math.min(stops.length - 1, Math.floor(at) + 1)]] as const
    return [0, 1, 2].map((c) => Math.round((from?.[c] ?? 0) * (1 - (at % 1)) + (to?.[c] ?? 0) * (at % 1)))
  }).flat(),
)
