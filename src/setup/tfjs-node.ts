/** tfjs-node from the npm registry: its JavaScript and the sources of its addon, to which our extensions are added. */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { isInstalled, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'

/** The file name of the addon. */
export const addonFile = 'tfjs_binding.node'

/**
 * Installs tfjs-node into `folder` without its install script, which downloads TensorFlow 2.9. TensorFlow.js itself is not installed: the addon must
 * share the one of this tool.
 * @throws UserError when npm cannot fetch it, or brings another source.
 */
export async function fetchTfjsNode(folder: string, version: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await npm(['pack', `@tensorflow/tfjs-node@${version}`, '--pack-destination', folder], folder, signal)
  const archive = `tensorflow-tfjs-node-${version}.tgz`
  await unpack(join(folder, archive), folder, signal)
  addExtensions(folder)
  trimManifest(join(folder, 'package.json'))
  await npm(['install', '--no-package-lock', '--omit=dev'], folder, signal)
  replacePreGyp(folder)
}

/** Tar would need the program gzip. */
async function unpack(archive: string, folder: string, signal: AbortSignal | undefined) {
  const unzipped = `${archive}.tar`
  try {
    writeFileSync(unzipped, gunzipSync(readFileSync(archive)))
    await runProgram('tar', ['-xf', unzipped, '--strip-components=1'], { cwd: folder, signal })
  } catch (cause) {
    signal?.throwIfAborted()
    throw new UserError(`${archive} could not be unpacked`, { hint: 'check the free space, and try again', cause })
  }
  for (const path of [archive, unzipped]) rmSync(path)
}

/**
 * Looks for the programs that `fetchTfjsNode` runs.
 * @throws UserError for one that is missing.
 */
export async function requirePrograms(signal?: AbortSignal): Promise<void> {
  if (!(await isInstalled('npm', signal)))
    throw new UserError('there is no npm to fetch tfjs-node with', { hint: npmHint })
  if (!(await isInstalled('tar', signal)))
    throw new UserError('there is no tar to unpack tfjs-node with', { hint: 'install tar, and put it on the PATH' })
}

const npmHint = 'install npm, and put it on the PATH: it comes with Node'

/** Our extensions of the addon: functions of TensorFlow's eager context, and fused ops. The package contains them. */
export const extensionsFolder = fileURLToPath(new URL('../../addon', import.meta.url))

const extensionFiles = () => readdirSync(extensionsFolder).sort()
/** The names of their source files. */
export const extensionSources = () => extensionFiles().filter((file) => file.endsWith('.cc'))

/** Changes when the extensions do, or how they are added. */
export function extensionsChecksum(): string {
  const hash = createHash('sha256').update(JSON.stringify(hooks))
  for (const file of extensionFiles()) hash.update(`\n${file}\n`).update(readFileSync(join(extensionsFolder, file)))
  return hash.digest('hex')
}

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
    if (cause.isMissing) throw new UserError('there is no npm to fetch tfjs-node with', { hint: npmHint })
    throw new UserError(`npm could not fetch tfjs-node (npm ${args.join(' ')})`, {
      hint: 'check the network, and the output of npm config get registry',
      cause,
    })
  })
}
