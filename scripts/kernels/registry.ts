/** Which kernels a TensorFlow has: read from its library by a small C++ program. */
import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import { runProgram } from '../../src/machine/programs.ts'
import { findLibrary } from '../../src/setup/tensorflow-source.ts'
import { unpackWheel } from '../../src/setup/wheel-archive.ts'

/** By attribute, the data types that a kernel takes, as TensorFlow's codes. */
export type Constraints = Record<string, number[]>

/** The kernels of an op by their device, such as `GPU`; `DEFAULT` kernels run on any device. */
export type Kernels = Record<string, Constraints[]>

/** @param source a wheel of TensorFlow, or a folder that contains it. @returns the kernels of each op. */
export async function readRegistry(source: string): Promise<Map<string, Kernels>> {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-kernels-'))
  try {
    const isFolder = statSync(source).isDirectory()
    if (!isFolder) await unpackWheel(source, folder)
    const library = findLibrary(isFolder ? realpathSync(source) : folder)
    if (!library) throw new Error(`${source} holds no TensorFlow with its C headers`)
    const { include, libraries } = library
    const [program, file] = [join(folder, 'print-kernels'), join(folder, 'kernels')]
    const code = fileURLToPath(new URL('print-kernels.cc', import.meta.url))
    const rpath = `-Wl,-rpath,${dirname(libraries[0] as string)}`
    await runProgram(process.env.CXX || 'c++', ['-std=c++17', code, `-I${include}`, ...libraries, rpath, '-o', program])
    await runProgram('sh', ['-c', `'${program}' > '${file}'`])
    return decode(readFileSync(file))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The fields that are used here, from tensorflow/core/framework/kernel_def.proto and attr_value.proto. */
const definitions = `
  syntax = "proto3";
  message KernelList { repeated KernelDef kernel = 1; }
  message KernelDef { string op = 1; string device_type = 2; repeated Constraint constraint = 3; }
  message Constraint { string name = 1; AttrValue allowed_values = 2; }
  message AttrValue { ListValue list = 1; }
  message ListValue { repeated int32 type = 6; }
`

const listType = protobuf.parse(definitions, { keepCase: true }).root.lookupType('KernelList')

type KernelDef = {
  op: string
  device_type: string
  constraint: { name: string; allowed_values: { list: { type: number[] } | null } | null }[]
}

function decode(bytes: Uint8Array): Map<string, Kernels> {
  const { kernel } = listType.toObject(listType.decode(bytes), { arrays: true, defaults: true })
  const registry = new Map<string, Kernels>()
  for (const { op, device_type: device, constraint } of kernel as KernelDef[]) {
    const kernels = registry.get(op) ?? {}
    kernels[device] ??= []
    kernels[device].push(
      Object.fromEntries(constraint.map(({ name, allowed_values }) => [name, allowed_values?.list?.type ?? []])),
    )
    registry.set(op, kernels)
  }
  return registry
}
