/** Whether native TensorFlow can be started here. Tests that need it are skipped elsewhere. */
import { startBackend } from '../../src/engine/backend.ts'

export const hasNative = await startBackend('tensorflow').then(
  () => true,
  () => false,
)
