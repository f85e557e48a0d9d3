/** Whether TensorFlow computes everything on a graphics card, as far as the kernels of its CUDA build say. No card is needed. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { type KernelRecord, missingKernels } from '../../scripts/kernels/coverage.ts'
import { collectUsedOps, opText, type UsedOp } from '../../scripts/kernels/used-ops.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { capturesGraphs } from '../../src/engine/capture.ts'

/** The kernels for graphics cards of the wheel `tensorflow` 2.21, of the ops in use (`scripts/check-kernels.ts --record`). */
const record: KernelRecord = JSON.parse(readFileSync(new URL('cuda-kernels.json', import.meta.url), 'utf8'))

await startBackend('tensorflow')

describe.skipIf(!capturesGraphs())('on a graphics card', () => {
  let used: UsedOp[]
  beforeAll(async () => {
    used = await collectUsedOps('bfloat16')
  }, 300_000)

  it('a run uses the composed operations, as graphs, with bfloat16 products', () => {
    const graph = used.filter(({ place }) => place === 'graph').map(opText)
    expect(graph).toEqual(
      expect.arrayContaining(['MatMul T=bfloat16', 'Softmax T=float32', 'ResourceApplyAdam T=float32']),
    )
    expect(used.filter(({ op }) => /^Ltx/.test(op))).toEqual([])
    expect(used.filter(({ place }) => place === 'eager').map(opText)).toContain('Conv2D T=float32') // the encoder of sound
  })

  it('every op of a run has a kernel for its data types', () => {
    expect(missingKernels(used, record).map((op) => `${op.place}: ${opText(op)}`)).toEqual([])
  })

  it('an op is found that has none, or none for its data type', () => {
    const ops: UsedOp[] = [
      { op: 'Empty', types: { dtype: [10] }, place: 'eager' },
      { op: 'NoSuchOp', types: {}, place: 'graph' },
      { op: 'MatMul', types: { T: [14] }, place: 'graph' },
    ]
    expect(missingKernels([...ops, ...ops], record).map(opText)).toEqual(['Empty dtype=bool', 'NoSuchOp'])
  })
})
