import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { float32Bytes, toBfloat16 } from '../../src/formats/dtypes.ts'
import {
  openSafetensors,
  type Safetensors,
  type StoredTensor,
  writeSafetensors,
} from '../../src/formats/safetensors.ts'
import { countMembers, weightsOf } from '../../src/model/weights.ts'
import { UserError } from '../../src/platform/errors.ts'

const tensor = (shape: number[], ...values: number[]): StoredTensor => ({
  dtype: 'F32',
  shape,
  bytes: float32Bytes(Float32Array.from(values)),
})

let file: Safetensors

beforeAll(() => {
  const path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-weights-')), 'base.safetensors')
  const tensors = new Map<string, StoredTensor>([
    ['model.blocks.0.to_q.weight', tensor([2, 3], 1, 2, 3, 4, 5, 6)],
    ['model.blocks.0.to_q.bias', { dtype: 'BF16', shape: [2], bytes: toBfloat16(Float32Array.of(1, -2)) }],
    ['model.blocks.1.to_q.weight', tensor([1], 1)],
    ['model.blocks.3.to_q.weight', tensor([1], 1)],
    ['model.quantized', { dtype: 'F8_E4M3', shape: [2], bytes: Uint8Array.of(0x38, 0xbc) }],
    ['model.scaled', { dtype: 'F8_E4M3', shape: [2], bytes: Uint8Array.of(0x38, 0xbc) }],
    ['model.scaled_scale', tensor([], 0.25)],
  ])
  writeSafetensors(path, tensors)
  file = openSafetensors(path)
})

afterAll(() => file.close())

const weights = () => weightsOf(file, 'model.')

describe('weights', () => {
  it('are found by their names without the prefix', () => {
    const toQ = weights().at('blocks.0').at('to_q')
    expect(toQ.name).toBe('blocks.0.to_q')
    expect([...toQ.float32('weight', [2, 3])]).toEqual([1, 2, 3, 4, 5, 6])
    expect([...toQ.float32('bias', [2])]).toEqual([1, -2])
    expect([toQ.has('weight'), toQ.has('gone')]).toEqual([true, false])
    expect(toQ.shape('weight')).toEqual([2, 3])
  })

  it('are accepted with any size where the expected size is null', () => {
    expect(weights().read('blocks.0.to_q.weight', [null, 3]).shape).toEqual([2, 3])
  })

  it('are counted by the members of their list', () => {
    const names = ['blocks.0.to_q.weight', 'blocks.0.to_k.weight', 'blocks.1.to_q.weight', 'blocks.20.to_q.weight']
    expect(countMembers(names, 'blocks.')).toBe(3)
    expect(countMembers(names, 'gone.')).toBe(0)
  })

  it('in fp8 are read as float32, multiplied by their scale', () => {
    expect(weights().read('quantized', [2])).toEqual(tensor([2], 1, -1.5))
    expect(weights().read('scaled', [2])).toEqual(tensor([2], 0.25, -0.375))
  })
})

describe('weights are refused', () => {
  it('when missing, with the full name and the file', () => {
    const read = () => weights().at('blocks.0').at('to_k').read('weight', [2, 3])
    expect(read).toThrow('base.safetensors has no tensor model.blocks.0.to_k.weight')
    expect(read).toThrow(UserError)
    expect(() => weights().shape('gone')).toThrow('base.safetensors has no tensor model.gone')
  })

  it('with another shape, with both shapes in the message', () => {
    const read = () => weights().at('blocks.0.to_q').read('weight', [3, null])
    expect(read).toThrow('model.blocks.0.to_q.weight in base.safetensors has the shape [2,3], not [3,any]')
    expect(read).toThrow(UserError)
  })

  it('with more or fewer axes', () => {
    expect(() => weights().read('blocks.0.to_q.weight', [6])).toThrow('has the shape [2,3], not [6]')
    expect(() => weights().read('blocks.0.to_q.weight', [2, 3, 1])).toThrow('has the shape [2,3], not [2,3,1]')
  })
})
