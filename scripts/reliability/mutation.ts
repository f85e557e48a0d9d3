/** Mutations of valid files that are likely to break parsers. */
import type { Random } from '../../src/platform/random.ts'

/** Applies one to four random mutations. @param donors files from which parts are spliced in. */
export function mutate(bytes: Uint8Array, random: Random, donors: readonly Uint8Array[] = [bytes]): Uint8Array {
  let changed: Uint8Array = new Uint8Array(bytes)
  for (let changes = 1 + randomInt(random, 4); changes > 0; changes--)
    changed = pick(random, mutations)(changed, random, donors)
  return changed
}

/** A random integer from 0 to `limit` - 1. */
export const randomInt = (random: Random, limit: number) => Math.floor(random.uniform() * limit)

export const pick = <T>(random: Random, list: readonly T[]): T => list[randomInt(random, list.length)] as T

type Mutation = (bytes: Uint8Array, random: Random, donors: readonly Uint8Array[]) => Uint8Array

const mutations: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  setNumber,
  setNumber,
  truncate,
  removePart,
  repeatPart,
  insert,
  splice,
  zeroPart,
]

/** A random position. Most formats have their headers at the start or at the end, so these are chosen more often. */
function randomPosition(random: Random, length: number): number {
  const near = Math.min(length, 256)
  const kind = randomInt(random, 3)
  if (kind === 0) return randomInt(random, near)
  return kind === 1 ? length - 1 - randomInt(random, near) : randomInt(random, length)
}

function flipBit(bytes: Uint8Array, random: Random): Uint8Array {
  const at = randomPosition(random, bytes.length)
  if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << randomInt(random, 8))
  return bytes
}

function setByte(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length > 0)
    bytes[randomPosition(random, bytes.length)] = pick(random, [0, 1, 0x2e, 0x2f, 0x5c, 0x7f, 0x80, 0xff])
  return bytes
}

/** Writes a number at which arithmetic may overflow. */
function setNumber(bytes: Uint8Array, random: Random): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const width = pick(random, [2, 4, 8])
  const at = randomPosition(random, bytes.length)
  if (at + width > bytes.length || at < 0) return bytes
  const all = 2n ** BigInt(8 * width)
  const value = pick(random, [0n, 1n, all - 1n, all / 2n, all / 2n - 1n, 1000n, BigInt(bytes.length), all - 16n])
  if (width === 2) view.setUint16(at, Number(value), true)
  else if (width === 4) view.setUint32(at, Number(value), true)
  else view.setBigUint64(at, value, true)
  return bytes
}

function truncate(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.slice(0, randomPosition(random, bytes.length + 1))
}

function removePart(bytes: Uint8Array, random: Random): Uint8Array {
  const at = randomPosition(random, bytes.length)
  return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + randomInt(random, 32)))
}

function repeatPart(bytes: Uint8Array, random: Random): Uint8Array {
  const at = randomPosition(random, bytes.length)
  const part = bytes.subarray(at, at + 1 + randomInt(random, 64))
  return joined(bytes.subarray(0, at), part, part, bytes.subarray(at))
}

function insert(bytes: Uint8Array, random: Random): Uint8Array {
  const at = randomPosition(random, bytes.length)
  const noise = Uint8Array.from({ length: 1 + randomInt(random, 16) }, () => randomInt(random, 256))
  return joined(bytes.subarray(0, at), noise, bytes.subarray(at))
}

function splice(bytes: Uint8Array, random: Random, donors: readonly Uint8Array[]): Uint8Array {
  const donor = pick(random, donors)
  const at = randomPosition(random, bytes.length)
  const from = randomPosition(random, donor.length)
  return joined(bytes.subarray(0, at), donor.subarray(from, from + randomInt(random, 128)), bytes.subarray(at))
}

function zeroPart(bytes: Uint8Array, random: Random): Uint8Array {
  const at = randomPosition(random, bytes.length)
  return bytes.fill(0, at, at + randomInt(random, 64))
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
