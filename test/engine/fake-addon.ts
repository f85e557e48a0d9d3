/** A stand-in for native TensorFlow on a graphics card. It computes in JavaScript, without the binding's ops. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addonFolder, installationFolder, ownTfjs, writeInstallation } from '../../src/engine/installation.ts'

/**
 * What it finds when it is loaded: a card, unless all are hidden. The environment goes to the file `FAKE_ADDON_LOG`, and `FAKE_ADDON_STDERR` is what
 * TensorFlow logs.
 */
const source = `const tf = require('@tensorflow/tfjs')
const { env } = process
if (env.FAKE_ADDON_LOG) require('node:fs').writeFileSync(env.FAKE_ADDON_LOG, JSON.stringify(env))
if (env.FAKE_ADDON_STDERR) require('node:fs').writeSync(2, env.FAKE_ADDON_STDERR)
const usesGpu = env.FAKE_ADDON_DEVICE !== 'CPU' && env.CUDA_VISIBLE_DEVICES !== '-1'
const binding = { TF_Version: '2.21.0', isUsingGpuDevice: () => usesGpu, convolvesFloat32: false, addFunction() {} }
for (const kernel of tf.getKernelsForBackend('cpu')) tf.registerKernel({ ...kernel, backendName: 'tensorflow' })
tf.registerBackend('tensorflow', () => Object.assign(tf.findBackendFactory('cpu')(), { binding }))
`

/** What the Python packages of TensorFlow say of their builds. */
export const cudaBuildInfo = `build_info = OrderedDict([('cuda_compute_capabilities', ['sm_60', 'sm_70', 'sm_80', 'sm_89', 'compute_90']), ('cuda_version', '12.5.1'), ('is_cuda_build', True)])`
export const cpuBuildInfo = "build_info = OrderedDict([('is_cuda_build', False), ('is_rocm_build', False)])"

/**
 * @param buildInfo what the Python package says of its build; by default nothing.
 * @returns a data folder in which it is set up.
 */
export function fakeAddon(buildInfo?: string): string {
  const data = mkdtempSync(join(tmpdir(), 'ltx-a2a-addon-'))
  const folder = installationFolder(data)
  const library = join(folder, 'libtensorflow', 'tensorflow', 'libtensorflow_cc.so.2')
  const python = join(folder, 'libtensorflow', 'tensorflow', 'python', 'platform')
  for (const each of [addonFolder(folder), python]) mkdirSync(each, { recursive: true })
  writeFileSync(library, '')
  if (buildInfo !== undefined) writeFileSync(join(python, 'build_info.py'), buildInfo)
  writeFileSync(join(addonFolder(folder), 'index.js'), source)
  writeInstallation(folder, { tfjs: ownTfjs().version, from: 'a test', libraries: [library] })
  return data
}
