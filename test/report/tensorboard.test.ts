/** Event files, decoded with the schema of TensorFlow by an independent protocol buffer library. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import { afterAll, expect, test } from 'vitest'
import { createEventFile, maskedChecksum } from '../../src/report/tensorboard.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The part of tensorflow/core/util/event.proto and framework/summary.proto that is used. */
const Event = protobuf
  .parse(
    `syntax = "proto3";
    message Audio { float sample_rate = 1; int64 num_channels = 2; int64 length_frames = 3; bytes encoded_audio_string = 4; string content_type = 5; }
    message Value { string tag = 1; float simple_value = 2; Audio audio = 6; }
    message Summary { repeated Value value = 1; }
    message SessionLog { int32 status = 1; }
    message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }`,
    { keepCase: true },
  )
  .root.lookupType('Event')

function readEvents(path: string) {
  const file = readFileSync(path)
  const events = []
  for (let at = 0; at < file.length; ) {
    const [head, length] = [file.subarray(at, at + 8), Number(file.readBigUInt64LE(at))]
    const data = file.subarray(at + 12, at + 12 + length)
    expect(file.readUInt32LE(at + 8)).toBe(maskedChecksum(head))
    expect(file.readUInt32LE(at + 12 + length)).toBe(maskedChecksum(data))
    events.push(Event.toObject(Event.decode(data), { longs: Number }))
    at += 16 + length
  }
  return events
}

test('scalars are read back with their steps, tags and times', () => {
  const path = join(folder, 'deep', 'events.out.tfevents.1')
  const events = createEventFile(path, { now: () => 1234.5 })
  expect(existsSync(path)).toBe(false)
  events.scalars(1, { loss: 0.5, rate: undefined, broken: Number.NaN })
  events.scalars(20_000, { loss: 0.25, seconds: 2 })
  events.scalars(20_001, { loss: undefined })
  expect(readEvents(path)).toEqual([
    { wall_time: 1234.5, file_version: 'brain.Event:2' },
    { wall_time: 1234.5, step: 1, summary: { value: [{ tag: 'loss', simple_value: 0.5 }] } },
    {
      wall_time: 1234.5,
      step: 20_000,
      summary: {
        value: [
          { tag: 'loss', simple_value: 0.25 },
          { tag: 'seconds', simple_value: 2 },
        ],
      },
    },
  ])
})

test('audio is read back unchanged', () => {
  const path = join(folder, 'events.out.tfevents.2')
  const wav = Uint8Array.from({ length: 300 }, (_, i) => i)
  createEventFile(path).audio(250, 'preview 1', { sampleRate: 48_000, channelCount: 2, frames: 64, wav })
  const value = readEvents(path)[1]?.summary.value[0]
  expect(value).toMatchObject({
    tag: 'preview 1',
    audio: { sample_rate: 48_000, num_channels: 2, length_frames: 64, content_type: 'audio/wav' },
  })
  expect([...value.audio.encoded_audio_string]).toEqual([...wav])
})

test('resuming removes the events after the resumed step', () => {
  const path = join(folder, 'events.out.tfevents.3')
  createEventFile(path, { resumedAfter: 500 }).scalars(501, { loss: 1 })
  expect(readEvents(path)[1]).toMatchObject({ step: 501, session_log: { status: 1 } })
})
