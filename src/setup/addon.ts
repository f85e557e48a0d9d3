/** tfjs-node from the registry, and its C++ addon, built against a current TensorFlow. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { firstProgram, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'
import type { TensorFlowLibrary } from './tensorflow-source.ts'

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

/** The command that installs a C++ compiler. @param osRelease the text of /etc/os-release. */
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
  /** The package folder of tfjs-node. */
  addon: string
  /** The folder that contains node_api.h. */
  nodeHeaders: string
  tensorflow: TensorFlowLibrary
  /** The folder that will be moved together with the addon: libraries in it are found relative to the addon. */
  movedFolder: string
}

/** The file name of the addon. */
export const addonFile = 'tfjs_binding.node'

/** Takes about 15 seconds. @throws UserError with the last output of the compiler. */
export async function buildAddon(compiler: string, build: Build, signal?: AbortSignal): Promise<void> {
  await runProgram(compiler, compilerArguments(build), { cwd: build.addon, signal }).catch((cause) => {
    throw new UserError(`${compiler} could not build the addon against ${build.tensorflow.include}`, {
      hint: 'use another TensorFlow (--from), or a compiler that supports C++17 (CXX)',
      cause,
    })
  })
}

/**
 * The run path is the real folder of the libraries: through links, TensorFlow would not find the CUDA libraries, which the Python package keeps
 * relative to itself.
 */
export function compilerArguments(
  { addon, nodeHeaders, tensorflow: { include, libraries }, movedFolder }: Build,
  platform: NodeJS.Platform = process.platform,
): string[] {
  const isMac = platform === 'darwin'
  const home = dirname(libraries[0] as string)
  const isMoved = !relative(movedFolder, home).startsWith('..')
  const runPath = isMoved ? `${isMac ? '@loader_path' : '$ORIGIN'}/${relative(addon, home)}` : home
  return [
    ...['-O3', '-std=c++17', '-fopenmp-simd', '-fPIC', '-DNAPI_VERSION=8'], // the newest version that Node 20, 22 and 24 and tfjs-node all support
    ...[nodeHeaders, include].map((folder) => `-I${folder}`),
    ...(isMac ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-Wl,--no-as-needed']),
    ...['tfjs_backend.cc', 'tfjs_binding.cc', ...extensionSources()].map((file) => join('binding', file)),
    ...libraries,
    `-Wl,-rpath,${runPath}`,
    ...['-o', addonFile],
  ]
}

/**
 * Installs tfjs-node into `folder` without its install script, which downloads TensorFlow 2.9. TensorFlow.js itself is not installed: the addon must
 * share the one of this tool.
 * @throws UserError when npm cannot fetch it, or brings another source.
 */
export async function fetchTfjsNode(folder: string, version: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await npm(['pack', `@tensorflow/tfjs-node@${version}`], folder, signal)
  const archive = `tensorflow-tfjs-node-${version}.tgz`
  await runProgram('tar', ['-xzf', archive, '--strip-components=1'], { cwd: folder, signal })
  rmSync(join(folder, archive))
  addExtensions(folder)
  trimManifest(join(folder, 'package.json'))
  await npm(['install', '--no-package-lock', '--omit=dev'], folder, signal)
  replacePreGyp(folder)
}

/** Our extensions of the addon: functions of TensorFlow's eager context, and fused ops. The package contains them. */
export const extensionsFolder = fileURLToPath(new URL('../../addon', import.meta.url))

const extensionFiles = () => readdirSync(extensionsFolder).sort()
const extensionSources = () => extensionFiles().filter((file) => file.endsWith('.cc'))

/** What tfjs-node's own sources need in order to use it: `added` comes before the line `at`. */
const hooks = [
  {
    file: 'tfjs_backend.h',
    at: '  bool is_gpu_device;\n',
    added: '  TFE_Context *context() const { return tfe_context_; }\n',
  },
  {
    file: 'tfjs_binding.cc',
    at: 'static napi_value InitTFNodeJSBinding(',
    added: 'void DefineExtensions(napi_env env, napi_value exports);\n\n',
  },
  {
    file: 'tfjs_binding.cc',
    at: '  // Export TF property types to JS\n',
    added: '  DefineExtensions(env, exports);\n\n',
  },
]

/**
 * Adds the extensions to the sources of tfjs-node in `folder`.
 * @throws UserError when these are not the sources that the extensions were written for.
 */
export function addExtensions(folder: string) {
  const binding = join(folder, 'binding')
  for (const { file, at, added } of hooks) {
    const path = join(binding, file)
    const parts = existsSync(path) ? readFileSync(path, 'utf8').split(at) : []
    if (parts.length !== 2)
      throw new UserError(
        `the source of tfjs-node is not the expected one: binding/${file} does not contain once: ${at.trim()}`,
        {
          hint: 'check that the npm registry has the original @tensorflow/tfjs-node, or report this',
        },
      )
    replaceFile(path, [parts.join(`${added}${at}`)])
  }
  for (const file of extensionFiles()) copyFileSync(join(extensionsFolder, file), join(binding, file))
}

/** The headers of Node's C interface, which are the same for every Node version. */
export const nodeHeaders = (folder: string) => join(folder, 'node_modules', 'node-api-headers', 'include')

/** Keeps the dependencies that are loaded at run time, and adds the headers. The others serve the install script and the tests. */
function trimManifest(path: string) {
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  const loaded = ['google-protobuf', 'progress']
  const dependencies = Object.fromEntries(loaded.map((name) => [name, manifest.dependencies[name]]))
  const { devDependencies: _, scripts: __, ...rest } = manifest
  replaceJson(path, { ...rest, dependencies: { ...dependencies, 'node-api-headers': '^1.5.0' } })
}

/** tfjs-node needs node-pre-gyp only for the path of its addon. A module of two lines replaces its sixty packages. */
function replacePreGyp(folder: string) {
  const replacement = join(folder, 'node_modules', '@mapbox', 'node-pre-gyp', 'index.js')
  const path = `path.join(__dirname, '../../..', '${addonFile}')`
  replaceFile(replacement, [`const path = require('node:path')\nexports.find = () => ${path}\n`])
}

async function npm(args: readonly string[], cwd: string, signal: AbortSignal | undefined) {
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  await runProgram('npm', [...args, ...quiet, '--prefix', cwd], { cwd, signal }).catch((cause) => {
    if (cause.isMissing) throw new UserError('there is no npm to fetch tfjs-node with', { hint: 'install npm' })
    throw new UserError(`npm could not fetch tfjs-node (npm ${args.join(' ')})`, {
      hint: 'check the network, and the output of npm config get registry',
      cause,
    })
  })
}
