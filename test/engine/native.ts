/** Whether native TensorFlow can be started. Tests that need it are skipped otherwise. */
import { startBackend } from '../../src/engine/backend.ts'
import { isEmulated } from '../../src/engine/precision.ts'

export const hasNative = await startBackend('tensorflow').then(
  () => true,
  () => false,
)

/** Whether it computes bfloat16. Processors that emulate it truncate instead of rounding. Determined here, because tests change the backend. */
export const hasBfloat16 = hasNative && !isEmulated('bfloat16')
