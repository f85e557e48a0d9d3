/** Whether native TensorFlow is at hand: what needs it is skipped elsewhere, and says so. */
import { startBackend } from '../../src/engine/backend.ts'

export const hasNative = await startBackend('tensorflow').then(
  () => true,
  () => false,
)
