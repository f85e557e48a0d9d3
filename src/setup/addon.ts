/** The C++ compiler, and how tfjs-node's addon is built with it. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { firstProgram, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'
import type { Layout } from './tensorflow-source.ts'

/** @throws UserError that names the package to install. */
export async function findCompiler({ CXX }: NodeJS.ProcessEnv = process.env): Promise<string> {
  const compiler = await firstProgram(CXX ? [CXX] : ['c++', 'g++', 'clang++'], ['--version'])
  if (compiler !== undefined) return compiler
  if (CXX)
    throw new UserError(`CXX is ${CXX}, which does not run`, { hint: 'point CXX at a C++ compiler, or unset it' })
  throw new UserError('there is no C++ compiler to build the addon with', {
    hint: `install one: ${compilerCommand(process.platform, osRelease())}`,
  })
}

const osRelease = () => (existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '')

/** How a C++ compiler is installed here. @param osRelease the text of /etc/os-release. */
export function compilerCommand(platform: NodeJS.Platform, osRelease: string): string {
  if (platform === 'darwin') return 'xcode-select --install'
  const families = [...osRelease.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)/gm)].flatMap(([, ids]) => ids?.split(' ') ?? [])
  return Object.entries(compilerCommands).find(([family]) => families.includes(family))?.[1] ?? 'the package g++'
}

const compilerCommands: Record<string, string> = {
  debian: 'apt install g++',
  fedora: 'dnf install gcc-c++',
  suse: 'zypper install gcc-c++',
  arch: 'pacman -S gcc',
}

export type Build = {
  /** tfjs-node's package folder. */
  addon: string
  /** The folder with node_api.h. */
  nodeHeaders: string
  tensorflow: Layout
  /** What moves together with the addon: libraries in here are found relative to it. */
  movable: string
}

/** The name that tfjs-node's stand-in for node-pre-gyp answers with. */
export const addonFile = 'tfjs_binding.node'

/** Some ten seconds. @throws UserError with the compiler's last words. */
export async function buildAddon(compiler: string, build: Build): Promise<void> {
  await runProgram(compiler, compilerArguments(build), { cwd: build.addon }).catch((cause) => {
    throw new UserError(`${compiler} could not build the addon against ${build.tensorflow.include}`, {
      hint: 'use another TensorFlow (--from), or a compiler that knows C++17 (CXX)',
      cause,
    })
  })
}

/**
 * The addon knows its libraries by the folder that they really lie in: through links, TensorFlow would not find the CUDA libraries, which Python's
 * package keeps relative to itself.
 */
export function compilerArguments(
  { addon, nodeHeaders, tensorflow: { include, libraries }, movable }: Build,
  platform: NodeJS.Platform = process.platform,
): string[] {
  const isMac = platform === 'darwin'
  const home = dirname(libraries[0] as string)
  const moves = !relative(movable, home).startsWith('..')
  const runPath = moves ? `${isMac ? '@loader_path' : '$ORIGIN'}/${relative(addon, home)}` : home
  return [
    ...['-O2', '-std=c++17', '-fPIC', '-DNAPI_VERSION=8'], // 8 is the newest that Node 20, 22 and 24 share and tfjs-node knows
    ...[nodeHeaders, include].map((folder) => `-I${folder}`),
    ...(isMac ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-Wl,--no-as-needed']),
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join('binding', file)),
    ...libraries,
    `-Wl,-rpath,${runPath}`,
    ...['-o', addonFile],
  ]
}

/** tfjs-node's JavaScript and C++ from the registry, without its install script, which downloads a TensorFlow of 2022. */

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
