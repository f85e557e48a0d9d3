import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { fingerprint, openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const tensor = (change?: [at: number, value: number], shape = [40, 16]): StoredTensor => {
  const bytes = new Uint8Array(2 * 640).map((_, i) => i % 251)
  if (change) bytes[change[0]] = change[1]
  return { dtype: 'BF16', shape, bytes }
}

let count = 0
function fingerprintOf(tensors: [string, StoredTensor][], isPart = (_name: string) => true) {
  const path = join(folder, `${count++}.safetensors`)
  writeSafetensors(path, new Map(tensors))
  const file = openSafetensors(path)
  try {
    return fingerprint(file, isPart)
  } finally {
    file.close()
  }
}

const original = fingerprintOf([
  ['a', tensor()],
  ['b', tensor()],
])

describe('the fingerprint of a checkpoint', () => {
  it('does not depend on the order of the tensors or on excluded tensors', () => {
    expect(
      fingerprintOf([
        ['b', tensor()],
        ['a', tensor()],
      ]),
    ).toBe(original)
    const tensors: [string, StoredTensor][] = [
      ['a', tensor()],
      ['b', tensor()],
      ['video', tensor()],
    ]
    expect(fingerprintOf(tensors, (name) => name !== 'video')).toBe(original)
  })

  it('has 64 bits', () => expect(original).toMatch(/^[0-9a-f]{16}$/))

  it.each<[what: string, tensors: [string, StoredTensor][]]>([
    [
      'the first byte of a tensor',
      [
        ['a', tensor([0, 255])],
        ['b', tensor()],
      ],
    ],
    [
      'byte 1023 of the last tensor',
      [
        ['a', tensor()],
        ['b', tensor([1023, 255])],
      ],
    ],
    [
      'the shape of a tensor',
      [
        ['a', tensor(undefined, [16, 40])],
        ['b', tensor()],
      ],
    ],
    [
      'the name of a tensor',
      [
        ['a', tensor()],
        ['c', tensor()],
      ],
    ],
    [
      'an additional tensor',
      [
        ['a', tensor()],
        ['b', tensor()],
        ['c', tensor()],
      ],
    ],
  ])('changes with %s', (_, tensors) => expect(fingerprintOf(tensors)).not.toBe(original))
})
