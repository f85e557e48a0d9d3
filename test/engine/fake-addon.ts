/** A stand-in for native TensorFlow on a graphics card. It computes in JavaScript, without the binding's ops. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addonFolder, installationFolder, ownTfjs, writeInstallation } from '../../src/engine/installation.ts'

/** What it finds when it is loaded: a card, unless all are hidden. The environment goes to the file `FAKE_ADDON_LOG`. */
const source = `const tf = require('@tensorflow/tfjs')
const { env } = process
if (env.FAKE_ADDON_LOG) require('node:fs').writeFileSync(env.FAKE_ADDON_LOG, JSON.stringify(env))
const usesGpu = env.FAKE_ADDON_DEVICE !== 'CPU' && env.CUDA_VISIBLE_DEVICES !== '-1'
const binding = { TF_Version: '2.21.0', isUsingGpuDevice: () => usesGpu, convolvesFloat32: false, addFunction() {} }
for (const kernel of tf.getKernelsForBackend('cpu')) tf.registerKernel({ ...kernel, backendName: 'tensorflow' })
tf.registerBackend('tensorflow', () => Object.assign(tf.findBackendFactory('cpu')(), { binding }))
`

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
