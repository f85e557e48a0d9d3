import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { bytesPerElement, type Dtype, elementCount } from '../../src/formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { readLora } from '../../src/model/lora-file.ts'
import { UserError } from '../../src/platform/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))
const path = join(folder, 'x.safetensors')

function save(header: string, dataBytes: number) {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)))
  writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(dataBytes)]))
}

const u8 = (name: string, start: number, end: number) =>
  `${JSON.stringify(name)}:{"dtype":"U8","shape":[${end - start}],"data_offsets":[${start},${end}]}`

describe('a safetensors file', () => {
  it.each<[what: string, entries: string[], dataBytes: number, message: RegExp]>([
    ['with overlapping tensors', [u8('a', 0, 4), u8('b', 2, 6)], 6, /tensors a and b overlap/],
    ['with two tensors in the same range', [u8('a', 0, 4), u8('b', 0, 4)], 4, /tensors a and b overlap/],
    ['with a gap between tensors', [u8('a', 0, 4), u8('b', 6, 8)], 8, /bytes \d+ to \d+ belong to no tensor/],
    ['with a gap before the first tensor', [u8('a', 2, 4)], 4, /bytes \d+ to \d+ belong to no tensor/],
    ['with trailing data', [u8('a', 0, 4)], 5, /bytes \d+ to \d+ belong to no tensor/],
    ['with a duplicate name', [u8('a', 0, 4), u8('a', 4, 8)], 8, /its header names a twice/],
    [
      'with a duplicate name in a different escape',
      [u8('a', 0, 4), u8('a', 4, 8).replace('"a"', '"\\u0061"')],
      8,
      /names a twice/,
    ],
    ['with a tensor beyond the end of the file', [u8('a', 0, 4)], 3, /tensor a ends at byte \d+ but the file has \d+/],
    [
      'with a size above the largest safe integer',
      ['"a":{"dtype":"F32","shape":[9007199254740991,9007199254740991],"data_offsets":[0,4]}'],
      4,
      /tensor a has 4 bytes/,
    ],
  ])('is refused %s', (_, entries, dataBytes, message) => {
    save(`{${entries.join(',')}}`, dataBytes)
    expect(() => openSafetensors(path)).toThrow(message)
  })

  it('may have a header that ends in spaces, and tensors in any order and empty', () => {
    save(`{${[u8('b', 4, 6), u8('a', 0, 4), u8('c', 6, 6)].join(',')}}   `, 6)
    const file = openSafetensors(path)
    expect([...file.tensors.keys()]).toEqual(['b', 'a', 'c'])
    file.close()
  })

  it('with a tensor named __proto__ does not change the prototype', () => {
    save(`{${u8('__proto__', 0, 2)}}`, 2)
    const file = openSafetensors(path)
    expect(file.read('__proto__').bytes).toEqual(Uint8Array.of(0, 0))
    file.close()
    expect(({} as { dtype?: string }).dtype).toBeUndefined()
  })

  it('with a huge header length is refused before memory is allocated', () => {
    writeFileSync(path, Buffer.from('ffffffffffffff7f7b7d', 'hex'))
    expect(() => openSafetensors(path)).toThrow(/its header claims/)
  })
})

const dtypes: Dtype[] = ['F32', 'F16', 'BF16', 'U8', 'I64']
const tensor: fc.Arbitrary<StoredTensor> = fc
  .record({ dtype: fc.constantFrom(...dtypes), shape: fc.array(fc.nat(4), { maxLength: 3 }) })
  .chain(({ dtype, shape }) => {
    const length = elementCount(shape) * bytesPerElement[dtype]
    return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ({ dtype, shape, bytes }))
  })
const name = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 12 })
  .filter((name) => !/\p{Cs}/u.test(name) && name !== '__proto__' && name !== '__metadata__')

describe('a file that was written', () => {
  it('is read back', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, tensor), { maxLength: 5, selector: ([name]) => name }), (tensors) => {
        writeSafetensors(path, new Map(tensors))
        const file = openSafetensors(path)
        for (const [name, tensor] of tensors) expect(file.read(name)).toEqual(tensor)
        file.close()
      }),
      { numRuns: 60 },
    )
  })

  it('is read or refused after some of its bytes were changed', () => {
    const key = (side: string) => `diffusion_model.a.lora_${side}.weight`
    const factor = (shape: number[]): StoredTensor => ({ dtype: 'F32', shape, bytes: new Uint8Array(24) })
    writeSafetensors(
      path,
      new Map([
        [key('A'), factor([2, 3])],
        [key('B'), factor([3, 2])],
      ]),
      { rank: '2' },
    )
    const whole = readFileSync(path)
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(changes, fc.nat(whole.length), (changes, length) => {
        const bytes = Buffer.from(whole)
        for (const [position, value] of changes) bytes[position] = value
        writeFileSync(path, length % 4 === 0 ? bytes.subarray(0, length) : bytes)
        try {
          readLora(path)
        } catch (error) {
          expect(error).toBeInstanceOf(UserError)
        }
      }),
      { numRuns: 200 },
    )
  })
})
