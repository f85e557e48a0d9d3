/** A run's memory: parameters, moments and the count of steps in one file, so that a resumed run ends in the same bytes as an uninterrupted one. */
import * as tf from '@tensorflow/tfjs'
import { float32Bytes } from '../checkpoint/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../checkpoint/safetensors.ts'
import { UserError } from '../errors.ts'
import type { Trainer } from './trainer.ts'

/** Written beside and renamed: the previous state stays until the next is complete. */
export function saveState(path: string, trainer: Trainer, identity: string) {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, variable] of stateVariables(trainer))
    tensors.set(name, { dtype: 'F32', shape: variable.shape, bytes: float32Bytes(variable.dataSync<'float32'>()) })
  writeSafetensors(path, tensors, { step: String(trainer.step), updates: String(trainer.optimizer.updates), identity })
}

/**
 * Puts a saved state into a fresh trainer.
 * @param identity what must be as it was: settings, data and base, as one text.
 * @throws UserError when the state belongs to another training.
 */
export function restoreState(path: string, trainer: Trainer, identity: string) {
  const file = openSafetensors(path)
  try {
    if (file.metadata.identity !== identity)
      throw new UserError(`${path} belongs to a training with other settings, data or base model`, {
        hint: 'resume with what the run was started with, or start a new one',
      })
    for (const [name, variable] of stateVariables(trainer)) {
      const saved = tf.tensor(file.float32(name), variable.shape)
      variable.assign(saved)
      saved.dispose()
    }
    trainer.step = Number(file.metadata.step)
    trainer.optimizer.updates = Number(file.metadata.updates)
  } finally {
    file.close()
  }
}

function stateVariables({ parameters, optimizer }: Trainer): [string, tf.Variable][] {
  const moment = (of: string, variables: ReadonlyMap<string, tf.Variable>): [string, tf.Variable][] =>
    [...variables].map(([name, variable]) => [`${of}.${name}`, variable])
  return [...parameters, ...moment('first', optimizer.first), ...moment('second', optimizer.second)]
}
