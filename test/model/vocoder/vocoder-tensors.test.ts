import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors, type StoredTensor } from '../../../src/formats/safetensors.ts'
import { openBase } from '../../../src/model/base-model.ts'
import { nameNormalizer } from '../../../src/model/checkpoint-layout.ts'
import { readModelConfig, type VocoderConfig } from '../../../src/model/config.ts'
import { disposeVocoder, loadVocoder } from '../../../src/model/vocoder/vocoder.ts'
import { vocoderTensors } from '../../../src/model/vocoder/vocoder-tensors.ts'
import { weightsOf } from '../../../src/model/weights.ts'
import { type CheckpointChanges, configOf, copyCheckpoint, leaveOutVocoder } from '../../fixtures/checkpoint-copy.ts'
import { goldenPath, startGoldenBackend } from '../../golden/golden.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-vocoder-tensors-'))
const { checkpoint: whole, textEncoder = '' } = openBase()
const wholeConfig = configOf(whole)
afterAll(() => {
  whole.close()
  rmSync(folder, { recursive: true })
})

/** Opens a copy of the base of the tests. */
function openCopy(changes: CheckpointChanges) {
  const path = join(folder, 'copy.safetensors')
  copyCheckpoint(whole, path, changes)
  const base = openBase({ model: path, textEncoder })
  base.close()
  return base
}

describe('the tensors of the vocoder', () => {
  beforeAll(startGoldenBackend)

  it('are those that loading it reads', () => {
    const file = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
    const read = new Set<string>()
    const record = (name: string) => {
      read.add(name)
      return file.read(name)
    }
    const config = readModelConfig(file).vocoder as VocoderConfig
    const before = tf.memory().numTensors
    disposeVocoder(loadVocoder(weightsOf({ ...file, read: record }, 'vocoder.'), config))
    const listed = Array.from(vocoderTensors(config), ([name]) => `vocoder.${name}`)
    expect(listed.sort()).toEqual([...read].sort())
    expect(tf.memory().numTensors).toBe(before)
    file.close()
  })

  it('are recognized in a file with the first generator alone, without a prefix', () => {
    const names = new Set(['vocoder.conv_pre.weight', 'vocoder.conv_post.weight'])
    expect([...names].map(nameNormalizer(names))).toEqual([
      'vocoder.vocoder.conv_pre.weight',
      'vocoder.vocoder.conv_post.weight',
    ])
  })
})

describe('a base', () => {
  it.each([
    ['without the bandwidth extension', 'vocoder.bwe_generator.', 'vocoder.bwe_generator.conv_pre.weight'],
    ['without the first generator', 'vocoder.vocoder.', 'vocoder.vocoder.conv_pre.weight'],
    ['without the mel filterbank', 'vocoder.mel_stft.mel_basis', 'vocoder.mel_stft.mel_basis'],
  ])('%s is refused', (_, prefix, first) => {
    expect(() => openCopy({ tensor: (name, tensor) => (name.startsWith(prefix) ? undefined : tensor) })).toThrow(
      new RegExp(`^the vocoder in copy.safetensors is incomplete: it lacks \\d+ of \\d+ tensors, such as ${first}$`),
    )
  })

  it('with a vocoder of other sizes than its config is refused with both shapes', () => {
    const flat = (tensor: StoredTensor) => ({ ...tensor, shape: [1, ...tensor.shape] })
    expect(() => openCopy({ tensor: (name, tensor) => (name.endsWith('mel_basis') ? flat(tensor) : tensor) })).toThrow(
      /^vocoder\.mel_stft\.mel_basis in copy\.safetensors has the shape \[1,\d+,\d+\], but the model config says \[\d+,\d+\]$/,
    )
  })

  it.each([[null], ['none'], [{ vocoder: { resblock: 'of another model' } }]])(
    'without a vocoder is opened whatever its config says of one: %j',
    (vocoder) => {
      const base = openCopy({ tensor: leaveOutVocoder, config: { ...wholeConfig, vocoder } })
      expect(base.config.vocoder).toBeUndefined()
    },
  )

  it('with a vocoder and null in its config is refused', () => {
    expect(() => openCopy({ config: { ...wholeConfig, vocoder: null } })).toThrow(
      'copy.safetensors has a vocoder, but the model config does not describe it',
    )
  })
})
