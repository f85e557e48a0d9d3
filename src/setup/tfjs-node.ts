/** tfjs-node's JavaScript and C++ from the registry, without its install script, which downloads a TensorFlow of 2022. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { replaceFile, replaceJson } from '../files.ts'
import { addonFile } from './compiler.ts'
import { runProgram } from './programs.ts'

/**
 * Makes `folder` the package of tfjs-node with what it needs to run, except tfjs: that one it must share with us.
 * @throws UserError when npm cannot fetch it.
 */
export async function fetchTfjsNode(folder: string, version: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await npm(['pack', `@tensorflow/tfjs-node@${version}`], folder)
  const archive = `tensorflow-tfjs-node-${version}.tgz`
  await runProgram('tar', ['-xzf', archive, '--strip-components=1'], { cwd: folder })
  rmSync(join(folder, archive))
  trimManifest(join(folder, 'package.json'))
  await npm(['install', '--no-package-lock', '--omit=dev'], folder)
  replacePreGyp(folder)
}

/** Where npm put the headers of Node's C interface, which are the same for every Node. */
export const nodeHeaders = (folder: string) => join(folder, 'node_modules', 'node-api-headers', 'include')

/** Left are what the package loads while it runs, and the headers. The others serve its install script and its tests. */
function trimManifest(path: string) {
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  const loaded = ['google-protobuf', 'progress']
  const dependencies = Object.fromEntries(loaded.map((name) => [name, manifest.dependencies[name]]))
  const { devDependencies: _, scripts: __, ...kept } = manifest
  replaceJson(path, { ...kept, dependencies: { ...dependencies, 'node-api-headers': '^1.5.0' } })
}

/** tfjs-node asks node-pre-gyp one thing: where its addon lies. The answer does not take the sixty packages behind the real one. */
function replacePreGyp(folder: string) {
  const standIn = join(folder, 'node_modules', '@mapbox', 'node-pre-gyp', 'index.js')
  const path = `path.join(__dirname, '../../..', '${addonFile}')`
  replaceFile(standIn, [`const path = require('node:path')\nexports.find = () => ${path}\n`])
}

async function npm(args: readonly string[], cwd: string) {
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  await runProgram('npm', [...args, ...quiet, '--prefix', cwd], { cwd }).catch((cause) => {
    if (cause.isMissing) throw new UserError('there is no npm to fetch tfjs-node with', { hint: 'install npm' })
    throw new UserError(`npm could not fetch tfjs-node (npm ${args.join(' ')})`, {
      hint: 'check the network, and what npm config get registry says',
      cause,
    })
  })
}
