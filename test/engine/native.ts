/** Whether native TensorFlow can be started. Tests that need it are skipped otherwise. */
import { startBackend } from '../../src/engine/backend.ts'

export const hasNative = await startBackend('tensorflow').then(
  () => true,
  () => false,
)
