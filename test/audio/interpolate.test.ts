import { expect, test } from 'vitest'
import { createPositionReader, readPositions } from '../../src/audio/interpolate.ts'
import { concatenateSamples } from '../../src/audio/waveform.ts'

const sine = (count: number, position: (i: number) => number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(0.3 * position(i)))

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] as number))), 0)

test('whole positions are copied exactly, and what is outside the input is silence', () => {
  const input = Float32Array.from([1, 2, 3, 4])
  expect([...readPositions(input, { start: 1, step: 1, length: 2 })]).toEqual([2, 3])
  expect([...readPositions(input, { start: -2, step: 1, length: 7 })]).toEqual([0, 0, 1, 2, 3, 4, 0])
})

test('between samples, a tone is interpolated to better than −60 dB', () => {
  const input = sine(2000, (i) => i)
  const positions = { start: 100.37, step: 1.0013, length: 1500 }
  const output = readPositions(input, positions)
  expect(
    largestDifference(
      output,
      sine(1500, (i) => positions.start + i * positions.step),
    ),
  ).toBeLessThan(1e-3)
})

test('blocks of any size give the same frames as the whole, for each channel', () => {
  const left = sine(3000, (i) => i)
  const frames = Float32Array.from({ length: 6000 }, (_, i) => (i % 2 === 0 ? 1 : -2) * (left[i >> 1] as number))
  for (const positions of [
    { start: 40.5, step: 0.9995, length: 2500 },
    { start: 700, step: 1, length: 2000 },
  ]) {
    const reader = createPositionReader(positions, 2)
    const blocks: Float32Array[] = []
    for (let at = 0, size = 2; at < frames.length; at += size, size = ((size * 7) % 1000) + 2 - (size % 2))
      blocks.push(reader.add(frames.subarray(at, at + size)))
    const output = concatenateSamples([...blocks, reader.end()])
    const whole = readPositions(left, positions)
    expect(output.length).toBe(2 * positions.length)
    expect(
      largestDifference(
        output.filter((_, i) => i % 2 === 0),
        whole,
      ),
    ).toBe(0)
    expect(
      largestDifference(
        output.filter((_, i) => i % 2 === 1),
        whole.map((x) => -2 * x),
      ),
    ).toBeLessThan(1e-6)
  }
})
