/**
 * Numbers and sounds for TensorBoard. An event file is a row of records (length, its checksum, bytes, their checksum), each a protocol buffer of
 * a few fields; the numbers of the fields are those of tensorflow's event.proto and summary.proto.
 */
import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32c } from '../formats/crc.ts'

export type EventFile = {
  /** Numbers of one step, by their tags. What is not finite is left out. */
  scalars(step: number, values: Readonly<Record<string, number | undefined>>): void
  /** A wav file. */
  audio(
    step: number,
    tag: string,
    sound: { sampleRate: number; channelCount: number; frames: number; wav: Uint8Array },
  ): void
}

/**
 * Begins a new file; nothing is written before the first event.
 * @param resumedAfter what an earlier file says of later steps will not count
 * @param now seconds since 1970
 */
export function createEventFile(
  path: string,
  { resumedAfter, now = () => Date.now() / 1000 }: { resumedAfter?: number | undefined; now?: () => number } = {},
): EventFile {
  let begun = false
  const append = (event: Uint8Array[]) => {
    if (!begun) {
      mkdirSync(dirname(path), { recursive: true })
      appendFileSync(path, record(message(wallTime(now()), text(event_.fileVersion, 'brain.Event:2'))))
      if (resumedAfter !== undefined)
        appendFileSync(path, record(message(wallTime(now()), integer(event_.step, resumedAfter + 1), sessionStart)))
      begun = true
    }
    appendFileSync(path, record(message(wallTime(now()), ...event)))
  }
  const summaries = (step: number, values: Uint8Array[]) => {
    if (values.length > 0)
      append([integer(event_.step, step), bytes(event_.summary, message(...values.map((value) => bytes(1, value))))])
  }
  return {
    scalars: (step, values) =>
      summaries(
        step,
        Object.entries(values).flatMap(([tag, value]) =>
          value === undefined || !Number.isFinite(value)
            ? []
            : [message(text(value_.tag, tag), float(value_.simple, value))],
        ),
      ),
    audio: (step, tag, { sampleRate, channelCount, frames, wav }) => {
      const sound = message(
        float(audio_.sampleRate, sampleRate),
        integer(audio_.channels, channelCount),
        integer(audio_.frames, frames),
        bytes(audio_.encoded, wav),
        text(audio_.type, 'audio/wav'),
      )
      summaries(step, [message(text(value_.tag, tag), bytes(value_.audio, sound))])
    },
  }
}

/** Fields by their numbers. */
const event_ = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 }
const value_ = { tag: 1, simple: 2, audio: 6 }
const audio_ = { sampleRate: 1, channels: 2, frames: 3, encoded: 4, type: 5 }

/** The checksum is turned and shifted, so that a record of records is not taken for one. */
export function masked(data: Uint8Array): number {
  const crc = crc32c(data)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

function record(event: Uint8Array): Uint8Array {
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(event.length))
  return Buffer.concat([head, uint32(masked(head)), event, uint32(masked(event))])
}

function uint32(value: number): Buffer {
  const four = Buffer.alloc(4)
  four.writeUInt32LE(value)
  return four
}

/** How a field's bytes are to be read stands in the lowest three bits of its head. */
const wire = { varint: 0, eightBytes: 1, lengthFirst: 2, fourBytes: 5 }

const message = (...fields: Uint8Array[]): Uint8Array => Buffer.concat(fields)

const integer = (field: number, value: number) => Buffer.concat([varint(field * 8 + wire.varint), varint(value)])

const bytes = (field: number, value: Uint8Array) =>
  Buffer.concat([varint(field * 8 + wire.lengthFirst), varint(value.length), value])

const text = (field: number, value: string) => bytes(field, Buffer.from(value))

function float(field: number, value: number): Buffer {
  const four = Buffer.alloc(4)
  four.writeFloatLE(value)
  return Buffer.concat([varint(field * 8 + wire.fourBytes), four])
}

function wallTime(seconds: number): Buffer {
  const eight = Buffer.alloc(8)
  eight.writeDoubleLE(seconds)
  return Buffer.concat([varint(event_.wallTime * 8 + wire.eightBytes), eight])
}

function varint(value: number): Buffer {
  const digits: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128)
  return Buffer.from([...digits, rest])
}

/** SessionLog { status: START } */
const sessionStart = bytes(event_.sessionLog, integer(1, 1))
