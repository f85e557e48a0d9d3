/** The state of a run in one file: parameters, moments and the number of steps. A resumed run ends in the same bytes as an uninterrupted one. */
import * as tf from '@tensorflow/tfjs'
import { float32Bytes } from '../formats/dtypes.ts'
import { openSafetensors, type Safetensors, type StoredTensor, writeSafetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { differences, parseResumeCheck, type ResumeCheck } from './resume-check.ts'
import type { Trainer } from './trainer.ts'

/** Replaces the state atomically: the previous one stays until the new one is complete. Variables are read from TensorFlow.js one at a time. */
export function saveState(path: string, trainer: Trainer, check: ResumeCheck) {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, variable] of stateVariables(trainer))
    tensors.set(name, {
      dtype: 'F32',
      shape: variable.shape,
      get bytes() {
        return float32Bytes(variable.dataSync<'float32'>())
      },
    })
  const counts = { step: String(trainer.step), updates: String(trainer.optimizer.updates) }
  writeSafetensors(path, tensors, { ...counts, identity: JSON.stringify(check) })
}

/**
 * Restores a saved state into a new trainer, completely or not at all.
 * @throws UserError when the state belongs to another training, naming what differs, or is incomplete.
 */
export function restoreState(path: string, trainer: Trainer, check: ResumeCheck) {
  const file = openSafetensors(path)
  try {
    requireSame(path, file, check)
    const counts = { step: countIn(file, 'step'), updates: countIn(file, 'updates') }
    const variables = stateVariables(trainer)
    for (const [name, { shape }] of variables) requireTensor(file, name, shape)
    for (const [name, variable] of variables) {
      const saved = tf.tensor(file.float32(name), variable.shape)
      variable.assign(saved)
      saved.dispose()
    }
    trainer.step = counts.step
    trainer.optimizer.updates = counts.updates
  } finally {
    file.close()
  }
}

function stateVariables({ parameters, optimizer }: Trainer): [string, tf.Variable][] {
  const moment = (of: string, variables: ReadonlyMap<string, tf.Variable>): [string, tf.Variable][] =>
    [...variables].map(([name, variable]) => [`${of}.${name}`, variable])
  return [...parameters, ...moment('first', optimizer.first), ...moment('second', optimizer.second)]
}

function requireSame(path: string, { metadata }: Safetensors, check: ResumeCheck) {
  const saved = parseResumeCheck(metadata.identity ?? '')
  if (!saved) throw broken(path, 'it does not say which run it belongs to')
  const differ = differences(saved, check)
  if (differ.length > 0)
    throw new UserError(`${path} is of another training: ${differ.join('; ')}`, {
      hint: 'resume with what the run was started with, or start a new one',
    })
}

function countIn({ path, metadata }: Safetensors, name: string): number {
  const count = metadata[name] ?? ''
  if (!/^\d{1,9}$/.test(count)) throw broken(path, `its ${name} is ${JSON.stringify(count)}`)
  return Number(count)
}

function requireTensor({ path, tensors }: Safetensors, name: string, shape: readonly number[]) {
  const info = tensors.get(name)
  if (!info) throw broken(path, `it lacks ${name}`)
  if (info.dtype !== 'F32' || String(info.shape) !== String(shape))
    throw broken(path, `${name} is ${info.dtype} [${info.shape}], not F32 [${shape}]`)
}

const broken = (path: string, why: string) =>
  new UserError(`${path} is not a usable state: ${why}`, { hint: 'remove it to begin the run anew' })
