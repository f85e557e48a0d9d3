import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { float32Bytes } from '../../src/formats/dtypes.ts'
import { type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { openShards } from '../../src/formats/shards.ts'

const column = (...values: number[]): StoredTensor => ({
  dtype: 'F32',
  shape: [values.length, 1],
  bytes: float32Bytes(Float32Array.from(values)),
})

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-shards-'))

function twoShards(): string {
  const folder = newFolder()
  writeSafetensors(join(folder, 'a.safetensors'), new Map([['first', column(1, 2)]]))
  writeSafetensors(join(folder, 'b.safetensors'), new Map([['second', column(3, 4, 5)]]))
  const weightMap = { first: 'a.safetensors', second: 'b.safetensors' }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
  return folder
}

describe('a folder of weights is read like a single file', () => {
  it('when it contains one file', () => {
    const folder = newFolder()
    writeSafetensors(join(folder, 'model.safetensors'), new Map([['only', column(1, 2)]]))
    const weights = openShards(folder)
    expect([...weights.float32('only')]).toEqual([1, 2])
    weights.close()
  })

  it('when an index lists several files', () => {
    const weights = openShards(twoShards())
    expect([...weights.tensors.keys()]).toEqual(['first', 'second'])
    expect([...weights.float32('first')]).toEqual([1, 2])
    expect([...weights.float32('second')]).toEqual([3, 4, 5])
    weights.close()
  })

  it('also by rows', () => {
    const weights = openShards(twoShards())
    const rows = weights.readRows('second', [2, 0, 2])
    expect(rows).toEqual(column(5, 3, 5))
    expect(() => weights.readRows('second', [3])).toThrow('has 3 rows and none numbered 3')
    weights.close()
  })
})

describe('a folder of weights is refused', () => {
  it('when it contains no weights', () =>
    expect(() => openShards(newFolder())).toThrow('model.safetensors cannot be opened'))

  it('when a file of the index is missing', () => {
    const folder = newFolder()
    writeFileSync(join(folder, 'model.safetensors.index.json'), '{"weight_map":{"x":"gone.safetensors"}}')
    expect(() => openShards(folder)).toThrow('gone.safetensors cannot be opened')
  })

  it('when its index is invalid', () => {
    const folder = newFolder()
    writeFileSync(join(folder, 'model.safetensors.index.json'), '[]')
    expect(() => openShards(folder)).toThrow('is not an index of safetensors files')
  })

  it('when its index names a tensor twice', () => {
    const folder = newFolder()
    writeFileSync(
      join(folder, 'model.safetensors.index.json'),
      '{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}',
    )
    expect(() => openShards(folder)).toThrow('model.safetensors.index.json names x twice')
  })
})
