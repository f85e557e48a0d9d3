/** Valid bytes made invalid: the changes that break parsers. */
import type { Random } from '../../src/platform/random.ts'

/** One to four changes, here and there; `friends` lend parts of themselves. */
export function mutate(bytes: Uint8Array, random: Random, friends: readonly Uint8Array[] = [bytes]): Uint8Array {
  let changed: Uint8Array = new Uint8Array(bytes)
  for (let changes = 1 + below(random, 4); changes > 0; changes--)
    changed = pick(random, mutations)(changed, random, friends)
  return changed
}

export const below = (random: Random, limit: number) => Math.floor(random.uniform() * limit)

export const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)] as T

type Mutation = (bytes: Uint8Array, random: Random, friends: readonly Uint8Array[]) => Uint8Array

const mutations: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  setNumber,
  setNumber,
  cutOff,
  cutOut,
  repeat,
  insert,
  borrow,
  zero,
]

/** Most formats keep what matters at their two ends. */
function somewhere(random: Random, length: number): number {
  const near = Math.min(length, 256)
  const kind = below(random, 3)
  if (kind === 0) return below(random, near)
  return kind === 1 ? length - 1 - below(random, near) : below(random, length)
}

function flipBit(bytes: Uint8Array, random: Random): Uint8Array {
  const at = somewhere(random, bytes.length)
  if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << below(random, 8))
  return bytes
}

function setByte(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length > 0)
    bytes[somewhere(random, bytes.length)] = pick(random, [0, 1, 0x2e, 0x2f, 0x5c, 0x7f, 0x80, 0xff])
  return bytes
}

/** The numbers at which arithmetic turns over. */
function setNumber(bytes: Uint8Array, random: Random): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const width = pick(random, [2, 4, 8])
  const at = somewhere(random, bytes.length)
  if (at + width > bytes.length || at < 0) return bytes
  const all = 2n ** BigInt(8 * width)
  const value = pick(random, [0n, 1n, all - 1n, all / 2n, all / 2n - 1n, 1000n, BigInt(bytes.length), all - 16n])
  if (width === 2) view.setUint16(at, Number(value), true)
  else if (width === 4) view.setUint32(at, Number(value), true)
  else view.setBigUint64(at, value, true)
  return bytes
}

function cutOff(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.slice(0, somewhere(random, bytes.length + 1))
}

function cutOut(bytes: Uint8Array, random: Random): Uint8Array {
  const at = somewhere(random, bytes.length)
  return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + below(random, 32)))
}

function repeat(bytes: Uint8Array, random: Random): Uint8Array {
  const at = somewhere(random, bytes.length)
  const part = bytes.subarray(at, at + 1 + below(random, 64))
  return joined(bytes.subarray(0, at), part, part, bytes.subarray(at))
}

function insert(bytes: Uint8Array, random: Random): Uint8Array {
  const at = somewhere(random, bytes.length)
  const noise = Uint8Array.from({ length: 1 + below(random, 16) }, () => below(random, 256))
  return joined(bytes.subarray(0, at), noise, bytes.subarray(at))
}

function borrow(bytes: Uint8Array, random: Random, friends: readonly Uint8Array[]): Uint8Array {
  const friend = pick(random, friends)
  const at = somewhere(random, bytes.length)
  const from = somewhere(random, friend.length)
  return joined(bytes.subarray(0, at), friend.subarray(from, from + below(random, 128)), bytes.subarray(at))
}

function zero(bytes: Uint8Array, random: Random): Uint8Array {
  const at = somewhere(random, bytes.length)
  return bytes.fill(0, at, at + below(random, 64))
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
