/**
 * Whether TensorFlow's CUDA build has a kernel for graphics cards for every op that a run uses: `npx tsx scripts/check-kernels.ts <wheel or folder>`. It
 * needs native TensorFlow as `ltx-a2a setup-tensorflow` sets it up, and a C++ compiler; no graphics card. `--record` writes the kernels of these ops to
 * test/native/cuda-kernels.json, which the tests use.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { replaceFile } from '../src/platform/files.ts'
import { missingKernels, recordOf } from './kernels/coverage.ts'
import { readRegistry } from './kernels/registry.ts'
import { collectUsedOps, opText } from './kernels/used-ops.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { record: { type: 'boolean', default: false } },
})
const [source] = positionals
if (source === undefined) throw new Error('give the wheel of tensorflow, or a folder that contains it')

const used = []
for (const precision of ['bfloat16', 'half', 'float32'] as const) used.push(...(await collectUsedOps(precision)))
const registry = await readRegistry(source)
const missing = missingKernels(used, Object.fromEntries(registry))
console.log(`${new Set(used.map(opText)).size} ops with their data types, ${registry.size} ops in the registry`)
for (const op of missing) console.log(`${op.place}: ${opText(op)} has no kernel for graphics cards`)
if (values.record) {
  const lines = Object.entries(recordOf(used, registry)).map((entry) =>
    entry.map((part) => JSON.stringify(part)).join(': '),
  )
  const path = fileURLToPath(new URL('../test/native/cuda-kernels.json', import.meta.url))
  replaceFile(path, [`{\n${lines.join(',\n')}\n}\n`])
}
if (missing.length > 0) process.exitCode = 1
