/** The operations of a transformer block on the current backend. */
import { nativeOperations, portableOperations } from './composed-operations.ts'
import { fusedBfloat16Operations, fusedOperations } from './fused-operations.ts'
import { fusedOps, isNative } from './native.ts'
import type { Operations } from './operations.ts'
import { currentPrecision } from './precision.ts'

export function currentOperations(): Operations {
  if (!isNative()) return portableOperations
  const precision = currentPrecision()
  const { any, bfloat16Products } = fusedOps()
  if (!any || precision === 'half') return nativeOperations
  return bfloat16Products && precision === 'bfloat16' ? fusedBfloat16Operations : fusedOperations
}
