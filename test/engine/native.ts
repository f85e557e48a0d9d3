/** Whether native TensorFlow can be started. Tests that need it are skipped otherwise. */
import { startBackend } from '../../src/engine/backend.ts'
import { fusedAudio } from '../../src/engine/fused-audio.ts'
import { fusedOps } from '../../src/engine/native.ts'
import { isEmulated } from '../../src/engine/precision.ts'

export const hasNative = await startBackend('tensorflow').then(
  () => true,
  () => false,
)

/** Whether it computes bfloat16. Processors that emulate it truncate instead of rounding. All of this is determined here, because tests change the backend. */
export const hasBfloat16 = hasNative && !isEmulated('bfloat16')

/** Which fused ops it has. */
export const hasFusedOps = hasNative && fusedOps().any
export const hasFusedConvolution = hasNative && fusedAudio().convolution
