/** The number formats of safetensors files, and their conversion from and to float32. Little-endian throughout. */

export const bytesPerElement = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const

export type Dtype = keyof typeof bytesPerElement

export const isDtype = (name: unknown): name is Dtype =>
  typeof name === 'string' && Object.hasOwn(bytesPerElement, name)

/** The number of elements of a shape; 1 for a scalar. */
export const elementCount = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)

/** Stored bytes as float32 values. Integers beyond 2²⁴ are rounded. */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const { buffer, byteOffset, length } =
    bytes.byteOffset % bytesPerElement[dtype] === 0 ? bytes : Uint8Array.from(bytes)
  const count = length / bytesPerElement[dtype]
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, count).slice()
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, count))
    case 'BF16':
      return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, count))
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count), (bits) => smallFloat(bits, 5, 10))
    case 'F8_E4M3':
      return Float32Array.from(bytes, (bits) => e4m3[bits] as number)
    case 'F8_E5M2':
      return Float32Array.from(bytes, (bits) => smallFloat(bits, 5, 2))
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, count), Number)
    case 'U64':
      return Float32Array.from(new BigUint64Array(buffer, byteOffset, count), Number)
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, count))
    case 'U32':
      return Float32Array.from(new Uint32Array(buffer, byteOffset, count))
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, count))
    case 'U16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count))
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, count))
    case 'U8':
    case 'BOOL':
      return Float32Array.from(bytes)
  }
}

/** Float32 values as bfloat16 bytes, rounded to the nearest, ties to even. NaN stays NaN. */
export function toBfloat16(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const halves = new Uint16Array(values.length)
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i] as number
    const isNotNumber = (word & 0x7fffffff) > 0x7f800000
    halves[i] = isNotNumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return new Uint8Array(halves.buffer)
}

/** The bytes of float32 values, in the same memory. */
export const float32Bytes = (values: Float32Array) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

function bfloat16ToFloat32(halves: Uint16Array): Float32Array {
  const words = new Uint32Array(halves.length)
  for (let i = 0; i < words.length; i++) words[i] = (halves[i] as number) << 16
  return new Float32Array(words.buffer)
}

/** An IEEE-style float of one sign bit, `exponentBits` and `mantissaBits`. */
function smallFloat(bits: number, exponentBits: number, mantissaBits: number): number {
  const sign = bits >> (exponentBits + mantissaBits) ? -1 : 1
  const exponent = (bits >> mantissaBits) & (2 ** exponentBits - 1)
  const fraction = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits
  const bias = 2 ** (exponentBits - 1) - 1
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias))
}

/** E4M3 as in checkpoints (E4M3FN) has no infinity: the highest exponent is an ordinary one, and only all ones is NaN. */
const e4m3 = Float32Array.from({ length: 256 }, (_, bits) => {
  if ((bits & 0x7f) === 0x7f) return Number.NaN
  const exponent = (bits >> 3) & 15
  const fraction = (bits & 7) / 8
  return (bits & 0x80 ? -1 : 1) * (exponent === 0 ? fraction * 2 ** -6 : (1 + fraction) * 2 ** (exponent - 7))
})
