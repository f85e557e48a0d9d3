/**
 * An index of places in recordings by how their sound changes there: the sub-fingerprints of Haitsma and Kalker, for two moments. A bit says whether the
 * level of a band rises in relation to the next one. Neither the overall level nor where the recording begins matters.
 */
import { setImmediate } from 'node:timers/promises'
import { fingerprintBands as bands, decibel, type Fingerprint } from './fingerprint.ts'

export type Place = { recording: number; frame: number }

export type PlaceIndex = {
  /** The number of places. */
  total: number
  /** Places of other recordings with the same hash, and similar ones around them, that come before a place; each with the place, as the second one. */
  placesLike(place: number): [first: Place, second: Place][]
}

/** In frames: levels are compared with those 80 ms before, now and 160 ms later. */
const rise = 4
const later = 8
/** In half decibels; levels further below the loudest one at the place are clamped, because codecs change them. */
const audibleRange = 40 * decibel
/** In half decibels. A smaller change is none. */
const smallestChange = 1 * decibel
/** With fewer changes than this, of two per band, a place is like too many others. */
const fewestChanges = 8

/** The index holds so many places; of more, the hash decides which. It is 21 bits, so that a place and its hash fit into a number. */
const mostPlaces = 2 ** 21
/** Each place is compared with so many that have the same hash. Of a large index it is fewer, so that steady sounds do not take for ever. */
const mostComparisons = 8_000_000
const neighbors = (places: number) => Math.max(8, Math.min(256, Math.floor(mostComparisons / Math.max(1, places))))

/** @param onProgress called now and then. */
export async function createPlaceIndex(
  fingerprints: readonly Fingerprint[],
  onProgress: () => void,
): Promise<PlaceIndex> {
  const hashes: Uint32Array[] = []
  let hashed = 0
  for (const fingerprint of fingerprints) {
    hashes.push(hashesOf(fingerprint))
    hashed += fingerprint.frames
    if (hashed < framesAtOnce) continue
    hashed = 0
    onProgress()
    await setImmediate()
  }
  const count = (share: number) => hashes.reduce((sum, list) => sum + list.filter(isIndexed(share)).length, 0)
  let share = 1
  while (count(share) > mostPlaces) share *= 2
  const total = count(share)
  const recordings = new Uint32Array(total)
  const frames = new Uint32Array(total)
  const keys = new Float64Array(total)
  let at = 0
  for (const [recording, list] of hashes.entries())
    for (const [frame, hash] of list.entries()) {
      if (!isIndexed(share)(hash)) continue
      recordings[at] = recording
      frames[at] = frame
      keys[at] = hash * mostPlaces + at
      at++
    }
  keys.sort()
  const most = neighbors(total)
  const placeAt = (place: number) => ({ recording: recordings[place] as number, frame: frames[place] as number })
  /** Spares most places that are alike by chance the comparison of their levels. */
  const areAlikeAround = (one: Place, other: Place) => {
    const [a, b] = [hashes[one.recording] as Uint32Array, hashes[other.recording] as Uint32Array]
    let [differing, all] = [0, 0]
    for (const distance of comparedDistances) {
      const [x = 0, y = 0] = [a[one.frame + distance], b[other.frame + distance]]
      if (x === 0 || y === 0) continue
      differing += bitCount(x ^ y)
      all += 2 * bands
    }
    return differing <= mostDiffering * all
  }
  const placesLike = (place: number) => {
    const key = keys[place] as number
    const smallest = key - (key % mostPlaces) // with the same hash
    const second = key % mostPlaces
    const found: [Place, Place][] = []
    for (let i = place - 1; i >= 0 && i >= place - most && (keys[i] as number) >= smallest; i--) {
      const first = (keys[i] as number) % mostPlaces
      if (recordings[first] === recordings[second]) continue
      const places: [Place, Place] = [placeAt(first), placeAt(second)]
      if (areAlikeAround(...places)) found.push(places)
    }
    return found
  }
  return { total, placesLike }
}

/** In frames. */
const comparedDistances = [-60, -48, -36, -24, -12, 12, 24, 36, 48, 60]
/** The share of bits in which the hashes of a copy may differ. Of different sounds it is a half. */
const mostDiffering = 0.35

/** The number of bits that are set, of 32. */
function bitCount(bits: number): number {
  const pairs = bits - ((bits >>> 1) & 0x55555555)
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

const framesAtOnce = 20_000

/** 0 is no hash. Multiplication spreads the bits, so that the share is the same for all kinds of sounds. */
const isIndexed = (share: number) => (hash: number) => hash !== 0 && (Math.imul(hash, 0x9e3779b1) >>> 12) % share === 0

/** The hash of each frame; 0 where nothing changes. */
function hashesOf({ levels, frames }: Fingerprint): Uint32Array {
  const hashes = new Uint32Array(frames)
  const changes = (frame: number, floor: number) => {
    let [bits, count] = [0, 0]
    const level = (at: number, band: number) => Math.max(floor, levels[at * bands + (band % bands)] as number)
    const slope = (at: number, band: number) => level(at, band) - level(at, band + 1)
    for (let band = 0; band < bands; band++) {
      const change = slope(frame, band) - slope(frame - rise, band)
      if (Math.abs(change) >= smallestChange) count++
      bits = (bits << 1) | (change >= smallestChange ? 1 : 0)
    }
    return { bits, count }
  }
  for (let frame = rise; frame + later < frames; frame++) {
    let loudest = 0
    for (const at of [frame - rise, frame, frame + later - rise, frame + later])
      for (let band = 0; band < bands; band++) loudest = Math.max(loudest, levels[at * bands + band] as number)
    const [now, then] = [changes(frame, loudest - audibleRange), changes(frame + later, loudest - audibleRange)]
    if (now.count + then.count >= fewestChanges) hashes[frame] = ((now.bits << bands) | then.bits) >>> 0
  }
  return hashes
}
