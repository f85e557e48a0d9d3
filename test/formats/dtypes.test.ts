import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bytesPerElement,
  type Dtype,
  elementCount,
  float32Bytes,
  isDtype,
  toBfloat16,
  toFloat32,
} from '../../src/formats/dtypes.ts'

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
const read = (array: ArrayBufferView, dtype: Dtype) => [...toFloat32(bytesOf(array), dtype)]
const words = (...bits: number[]) => Uint16Array.from(bits)

describe('conversion to float32', () => {
  it.each<[Dtype, ArrayBufferView, number[]]>([
    ['F64', Float64Array.of(0.1, -2, 1e300), [Math.fround(0.1), -2, Infinity]],
    ['F32', Float32Array.of(0.1, -0, 3e38), [Math.fround(0.1), -0, Math.fround(3e38)]],
    ['I64', BigInt64Array.of(-5n, 2n ** 40n), [-5, 2 ** 40]],
    ['U64', BigUint64Array.of(7n, 2n ** 63n), [7, 2 ** 63]],
    ['I32', Int32Array.of(-5, 16777217), [-5, 16777216]],
    ['U32', Uint32Array.of(5, 4294967295), [5, 4294967296]],
    ['I16', Int16Array.of(-32768, 32767), [-32768, 32767]],
    ['U16', Uint16Array.of(0, 65535), [0, 65535]],
    ['I8', Int8Array.of(-128, 127), [-128, 127]],
    ['U8', Uint8Array.of(0, 255), [0, 255]],
    ['BOOL', Uint8Array.of(0, 1), [0, 1]],
    ['BF16', words(0x3f80, 0xc049, 0x0001, 0x7f80, 0x8000), [1, -3.140625, 2 ** -133, Infinity, -0]],
    [
      'F16',
      words(0x3c00, 0xc248, 0x0001, 0x03ff, 0x7bff, 0xfc00),
      [1, -3.140625, 2 ** -24, 1023 * 2 ** -24, 65504, -Infinity],
    ],
    ['F8_E5M2', Uint8Array.of(0x3c, 0xbe, 0x01, 0x7b, 0x7c), [1, -1.5, 2 ** -16, 57344, Infinity]],
    ['F8_E4M3', Uint8Array.of(0x38, 0xbc, 0x01, 0x7e, 0x78, 0x80), [1, -1.5, 2 ** -9, 448, 256, -0]],
  ])('decodes %s', (dtype, stored, values) => expect(read(stored, dtype)).toEqual(values))

  it('preserves NaN', () => {
    expect(read(words(0x7fc0, 0xffff), 'BF16')).toEqual([NaN, NaN])
    expect(read(words(0x7e00, 0xfc01), 'F16')).toEqual([NaN, NaN])
    expect(read(Uint8Array.of(0x7d, 0xff), 'F8_E5M2')).toEqual([NaN, NaN])
    expect(read(Uint8Array.of(0x7f, 0xff), 'F8_E4M3')).toEqual([NaN, NaN])
  })

  it('decodes F8_E4M3, which has no infinity, to 253 distinct finite values', () => {
    const values = read(
      Uint8Array.from({ length: 256 }, (_, i) => i),
      'F8_E4M3',
    )
    expect(new Set(values.filter(Number.isFinite)).size).toBe(253) // 254 patterns; a Set contains both zeros as one
    expect(values.filter((value) => value === 0)).toHaveLength(2)
  })

  it('accepts unaligned bytes', () => {
    for (const dtype of Object.keys(bytesPerElement) as Dtype[]) {
      const stored = Uint8Array.from({ length: 16 }, (_, i) => (7 * i + 1) & 0x3f)
      const shifted = Uint8Array.of(99, ...stored).subarray(1)
      expect(toFloat32(shifted, dtype), dtype).toEqual(toFloat32(stored, dtype))
    }
  })

  it('copies the values', () => {
    const stored = Float32Array.of(1, 2)
    const values = toFloat32(bytesOf(stored), 'F32')
    stored[0] = 9
    expect([...values]).toEqual([1, 2])
  })
})

describe('conversion to bfloat16', () => {
  const bits = (...values: number[]) => [...new Uint16Array(toBfloat16(Float32Array.from(values)).buffer)]
  const ofBits = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0] as number

  it('rounds to nearest', () => {
    expect(bits(ofBits(0x3f807fff), ofBits(0x3f808001))).toEqual([0x3f80, 0x3f81])
  })

  it('rounds ties to even for both signs', () => {
    expect(bits(ofBits(0x3f808000), ofBits(0x3f818000))).toEqual([0x3f80, 0x3f82])
    expect(bits(ofBits(0xbf808000), ofBits(0xbf818000))).toEqual([0xbf80, 0xbf82])
  })

  it('rounds values above the largest to infinity and preserves infinity', () => {
    expect(bits(3.4e38, -3.4e38, Infinity, -Infinity)).toEqual([0x7f80, 0xff80, 0x7f80, 0xff80])
  })

  it('preserves NaN, even if its upper half alone would be infinity', () => {
    const nans = new Float32Array(Uint32Array.of(0x7f800001, 0x7fffffff, 0xff800001).buffer)
    for (const word of new Uint16Array(toBfloat16(nans).buffer)) {
      expect(word & 0x7f80).toBe(0x7f80)
      expect(word & 0x7f).not.toBe(0)
    }
  })

  it('preserves signed zeros and rounds subnormal numbers', () => {
    expect(bits(0, -0, ofBits(0x00000001), ofBits(0x00018000))).toEqual([0, 0x8000, 0, 2])
  })

  it('preserves every bfloat16 value in a round trip', () => {
    const all = words(...Array.from({ length: 65536 }, (_, i) => i).filter((i) => (i & 0x7f80) !== 0x7f80))
    expect(toBfloat16(toFloat32(bytesOf(all), 'BF16'))).toEqual(bytesOf(all))
  })

  it('has an error of at most half a unit in the last place', () => {
    fc.assert(
      fc.property(fc.float({ min: -(2 ** 100), max: 2 ** 100, noNaN: true }), (value) => {
        const [rounded = 0] = toFloat32(toBfloat16(Float32Array.of(value)), 'BF16')
        expect(Math.abs(rounded - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -8 + 2 ** -134)
      }),
    )
  })

  it('accepts a subarray', () => {
    const part = Float32Array.of(9, 1, -2, 9).subarray(1, 3)
    expect([...toFloat32(toBfloat16(part), 'BF16')]).toEqual([1, -2])
    expect([...toFloat32(float32Bytes(part), 'F32')]).toEqual([1, -2])
  })
})

describe('types and shapes:', () => {
  it('isDtype recognizes the type names', () => {
    expect(['F32', 'BF16', 'F8_E4M3'].every(isDtype)).toBe(true)
    expect(['F4', 'f32', 'toString', '__proto__', 32, null, undefined].some(isDtype)).toBe(false)
  })

  it('elementCount multiplies the axes', () => {
    expect([elementCount([]), elementCount([3, 4]), elementCount([3, 0])]).toEqual([1, 12, 0])
  })
})
