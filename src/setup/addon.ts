/** The C++ addon of tfjs-node, built against a current TensorFlow. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { firstProgram, ProgramError, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'
import type { TensorFlowLibrary } from './tensorflow-source.ts'
import { addonFile, extensionSources } from './tfjs-node.ts'

/** @throws UserError that names the package to install. */
export async function findCompiler({ CXX }: NodeJS.ProcessEnv = process.env, signal?: AbortSignal): Promise<string> {
  const compiler = await firstProgram(CXX ? [CXX] : ['c++', 'g++', 'clang++'], ['--version'], signal)
  if (compiler !== undefined) return compiler
  if (CXX)
    throw new UserError(`CXX is ${CXX}, which does not run`, { hint: 'point CXX at a C++ compiler, or unset it' })
  throw new UserError('there is no C++ compiler to build the addon with', {
    hint: `install one: ${compilerCommand()}`,
  })
}

const osRelease = () => (existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '')

/** The command that installs a C++ compiler. @param release the text of /etc/os-release. */
export function compilerCommand(
  platform: NodeJS.Platform = process.platform,
  release = osRelease(),
  isRoot = process.getuid?.() === 0,
): string {
  if (platform === 'darwin') return 'xcode-select --install'
  const families = [...release.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)/gm)].flatMap(([, ids]) => ids?.split(' ') ?? [])
  const [, command] = Object.entries(compilerCommands).find(([family]) => families.includes(family)) ?? []
  if (command === undefined) return 'the package g++'
  return isRoot ? command : `sudo ${command}`
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
  /** Further arguments for the compiler. */
  flags?: readonly string[]
}

/** Takes about 15 seconds. @throws UserError with the last output of the compiler. */
export async function buildAddon(compiler: string, build: Build, signal?: AbortSignal): Promise<void> {
  const options = { cwd: build.addon, signal, env: { LC_ALL: 'C' } }
  await runProgram(compiler, compilerArguments(build), options).catch((cause) => {
    if (!(cause instanceof ProgramError)) throw cause
    const hint = isIncomplete(cause.message)
      ? `parts of the compiler are missing; install all of it: ${compilerCommand()}`
      : 'use another TensorFlow (--from), or a compiler that supports C++17 (CXX)'
    throw new UserError(`${compiler} could not build the addon against ${build.tensorflow.include}`, { hint, cause })
  })
}

/** Whether a compiler reports that its assembler, its linker or a header of the system is missing. */
const isIncomplete = (output: string) =>
  /cannot (execute|find) '?(as|ld|collect2|cc1plus)\b|unable to execute command|fatal error: '?(?!(tensorflow|tsl|xla|absl|node_api|js_native)\b)[\w./+-]+'?( file not found|: No such file)/i.test(
    output,
  )

/**
 * The run path is the real folder of the libraries: through links, TensorFlow would not find the CUDA libraries, which the Python package keeps
 * relative to itself.
 */
export function compilerArguments(
  { addon, nodeHeaders, tensorflow: { include, libraries }, movedFolder, flags = [] }: Build,
  platform: NodeJS.Platform = process.platform,
): string[] {
  const isMac = platform === 'darwin'
  const home = dirname(libraries[0] as string)
  const isMoved = !relative(movedFolder, home).startsWith('..')
  const runPath = isMoved ? `${isMac ? '@loader_path' : '$ORIGIN'}/${relative(addon, home)}` : home
  return [
    ...['-O3', '-fopenmp-simd', '-fPIC', ...sourceArguments(nodeHeaders, include)],
    ...(isMac ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-Wl,--no-as-needed']),
    ...flags,
    ...libraries,
    ...['-rpath', runPath].flatMap((argument) => ['-Xlinker', argument]), // -Wl would split a path at commas
    ...['-o', addonFile],
  ]
}

/** The sources and how they are read. Node-API 8 is the newest version that Node 20, 22 and 24 and tfjs-node all support. */
const sourceArguments = (nodeHeaders: string, include: string) => [
  ...['-std=c++17', '-DNAPI_VERSION=8', `-I${nodeHeaders}`, `-I${include}`],
  ...['tfjs_backend.cc', 'tfjs_binding.cc', ...extensionSources()].map((file) => join('binding', file)),
]

/** The headers of TensorFlow that the addon is compiled from, relative to their folder, in alphabetical order. */
export async function includedHeaders(
  compiler: string,
  { addon, nodeHeaders, tensorflow: { include } }: Build,
): Promise<string[]> {
  const rules = await runProgram(compiler, ['-M', ...sourceArguments(nodeHeaders, include)], { cwd: addon })
  const paths = rules.split(/[\s\\]+/).filter((path) => path.startsWith(`${include}/`))
  return [...new Set(paths.map((path) => relative(include, path)))].sort()
}
