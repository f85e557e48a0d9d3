/**
 * The complete setup with a real TensorFlow: the package folder in `LTX_A2A_TENSORFLOW_DIR`, or that of python3. Without one these tests are
 * skipped. They need the npm registry and a C++ compiler.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { devNull, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { makePrebuilt } from '../../scripts/build-addon.ts'
import { bytesIn, hasWideVectors } from '../../src/machine/hardware.ts'
import { lockFolder } from '../../src/platform/lock.ts'
import type { ProgressEvent } from '../../src/platform/progress.ts'
import type { DoctorReport } from '../../src/setup/doctor.ts'
import { setUpTensorFlow } from '../../src/setup/tensorflow.ts'
import { inFolder, ltxA2a } from '../cli/bin.ts'
import { needs } from '../needs.ts'
import { servePackages, tensorflowFiles, wheelBytes, wheelTag } from './package-server.ts'

const whereScript = `
import importlib.util
spec = importlib.util.find_spec('tensorflow')
print(spec.submodule_search_locations[0] if spec else '')`

const ofPython = spawnSync('python3', ['-c', whereScript], { encoding: 'utf8' }).stdout?.trim()
const tensorflow = process.env.LTX_A2A_TENSORFLOW_DIR || ofPython || ''

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-setup-'))

describe.skipIf(tensorflow === '')(
  'after setup-tensorflow with the Python package,',
  needs('TensorFlow of Python'),
  () => {
    const data = newFolder()
    const run = (...args: string[]) => ltxA2a(args, { env: { LTX_A2A_DATA: data } })
    const doctor = async (): Promise<DoctorReport> => JSON.parse((await run('doctor', '--json')).stdout)

    beforeAll(async () => {
      const { code, stdout, stderr } = await run('setup-tensorflow', '--from', tensorflow)
      expect(code, stderr).toBe(0)
      expect(stdout).toMatch(/^TensorFlow \d+\.\d+\.\d+ from the folder .*, computing on the [CG]PU\n$/)
    })

    it('native TensorFlow is used, with correct products in float32, and in bfloat16 unless it is emulated', async () => {
      const { backend, native, products } = await doctor()
      expect(backend).toMatchObject({ name: 'tensorflow', passedOver: [] })
      expect(native).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+/), hasGraphs: true, hasFusedOps: true })
      expect(products).toMatchObject({ float32: { works: true }, bfloat16: { works: hasWideVectors() } })
    })

    it('an installed TensorFlow is not copied, and no temporary files remain', () => {
      expect(readdirSync(data)).toEqual(['tensorflow'])
      const names = readdirSync(join(data, 'tensorflow')).sort()
      expect(names.filter((name) => name !== 'libtensorflow')).toEqual(['installation.json', 'tfjs-node'])
      expect(bytesIn(data)).toBeLessThan(50e6) // libtensorflow holds a link, for the prebuilt addon
    })

    it('a failed setup does not change the previous one', async () => {
      const { code, stderr } = await run('setup-tensorflow', '--from', newFolder())
      expect([code, stderr]).toEqual([2, expect.stringContaining('holds no TensorFlow with its C headers')])
      expect((await doctor()).native).toBeDefined()
    })

    it('a C archive can be used instead', async () => {
      const { code, stdout, stderr } = await run('setup-tensorflow', '--from', archiveOf(tensorflow))
      expect(code, stderr).toBe(0)
      expect(stdout).toContain('from libtensorflow.tar.gz')
      expect((await doctor()).products?.float32.works).toBe(true)
    })

    it('the prebuilt addon needs no compiler and no Python', async () => {
      const prebuilt = newFolder()
      await makePrebuilt(tensorflow, prebuilt)
      const messages: string[] = []
      const { products } = await inFolder({ env: { PATH: pathWith('node', 'npm', 'tar'), CXX: '' } }, () =>
        setUpTensorFlow(
          { from: tensorflow, dataFolder: data, prebuilt },
          { onEvent: (event) => void (event.type === 'info' && messages.push(event.message)) },
        ),
      )
      expect(messages).toEqual(['Using the addon that comes with ltx-a2a'])
      expect(products.float32.works).toBe(true)
      expect(readlinkSync(join(data, 'tensorflow', 'libtensorflow', 'tensorflow'))).toBe(realpathSync(tensorflow))
      expect((await doctor()).native).toMatchObject({ hasGraphs: true, hasFusedOps: true })
    })

    it('--undo removes the installation', async () => {
      expect(await run('setup-tensorflow', '--undo')).toEqual({
        code: 0,
        stdout: `removed TensorFlow from ${data}\n`,
        stderr: '',
      })
      expect(readdirSync(data)).toEqual([])
      expect((await doctor()).backend.description).not.toContain('libtensorflow.tar.gz')
    })
  },
)

/** A PATH with only these programs. */
function pathWith(...programs: string[]): string {
  const folder = newFolder()
  for (const program of programs)
    symlinkSync(
      execFileSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim(),
      join(folder, program),
    )
  return folder
}

/** A small archive with the layout of the official one: its library only links to that of the package. */
function archiveOf(tensorflow: string): string {
  const folder = newFolder()
  const lib = join(folder, 'lib')
  mkdirSync(lib)
  symlinkSync(join(tensorflow, 'libtensorflow_framework.so.2'), join(lib, 'libtensorflow_framework.so.2'))
  const name = 'libtensorflow.so.2'
  const leading = ['-Wl,--no-as-needed', join(tensorflow, 'libtensorflow_cc.so.2'), `-Wl,-rpath,${tensorflow}`]
  execFileSync('c++', ['-shared', '-o', join(lib, name), `-Wl,-soname,${name}`, ...leading])
  const headers = ['tensorflow/c', 'tensorflow/core/platform', 'tsl/platform', 'xla/tsl/c']
  const archive = join(folder, 'libtensorflow.tar.gz')
  const members = headers.map((path) => `include/${path}`)
  execFileSync('tar', ['-czf', archive, '-C', tensorflow, ...members, '-C', folder, 'lib'])
  return archive
}

/** A PATH with only these programs, which are scripts. */
function programs(scripts: Record<string, string>): string {
  const folder = newFolder()
  for (const [name, script] of Object.entries(scripts))
    writeFileSync(join(folder, name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`, { mode: 0o755 })
  return folder
}

function writeFile(path: string) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, '')
}

const libraryName = process.platform === 'darwin' ? 'libtensorflow_cc.2.dylib' : 'libtensorflow_cc.so.2'

describe('setup-tensorflow', () => {
  const failing = (args: string[], env: Record<string, string> = {}) =>
    ltxA2a(['setup-tensorflow', ...args], { env: { LTX_A2A_DATA: newFolder(), ...env } })

  it.each([
    ['a missing folder', ['--from', '/nowhere/tensorflow'], '/nowhere/tensorflow does not exist'],
    ['a file that is not an archive', ['--from', process.execPath], 'is neither a folder nor a .tar.gz or a .whl'],
    [
      'a URL',
      ['--from', 'https://x.test/tf.whl'],
      '--from takes a folder or a file, not the URL https://x.test/tf.whl',
    ],
    ['a Python that does not run', ['--python', '/nowhere/python'], '--python /nowhere/python does not run'],
    ['a Python without TensorFlow', ['--python', process.execPath], 'has no tensorflow package with its C headers'],
    ['both --undo and --from', ['--undo', '--from', 'x'], 'both --undo and --from were given'],
    ['both --undo and --cuda', ['--undo', '--cuda'], 'both --undo and --cuda were given'],
    ['both --undo and --gpu', ['--undo', '--gpu'], 'both --undo and --cuda were given'],
    ['both --cpu and --gpu', ['--cpu', '--gpu'], 'both --cpu and --cuda were given'],
    ['both --cpu and --cuda', ['--cpu', '--cuda'], 'both --cpu and --cuda were given'],
    ['both --from and --cuda', ['--from', 'x', '--cuda'], 'both --from and --cuda were given'],
    ['both --from and --python', ['--from', 'x', '--python', 'y'], 'both --from and --python were given'],
  ])('reports %s in one sentence with a hint', async (_, args, sentence) => {
    const { code, stdout, stderr } = await failing(args)
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringMatching(/^error: .*\n {2}hint: .*\n/)])
    expect(stderr).toContain(sentence)
  })

  it('needs neither Python nor pip, and keeps the download when it fails later', async () => {
    const server = await servePackages()
    server.add(`tensorflow_cpu-9.0.0-cp312-cp312-${wheelTag}.whl`, await wheelBytes(tensorflowFiles))
    const data = newFolder()
    const PATH = programs({ npm: '[ "$1" = --version ]', tar: 'exit 0' })
    const env = { PATH, CXX: process.execPath, PIP_INDEX_URL: server.index.href, PIP_CONFIG_FILE: devNull }
    const { code, stderr } = await failing(['--cpu'], { LTX_A2A_DATA: data, ...env })
    await server.close()
    expect(stderr).toContain('TensorFlow for the CPU: --cpu\n')
    expect(stderr).toContain(`To download from ${server.index.host}: tensorflow-cpu 9.0.0, `)
    expect(stderr).toContain('error: npm could not fetch tfjs-node')
    expect(code).toBe(2)
    expect(readdirSync(data)).toEqual(['tensorflow-downloads'])
    expect(await ltxA2a(['setup-tensorflow', '--undo'], { env: { LTX_A2A_DATA: data } })).toMatchObject({ code: 0 })
    expect(readdirSync(data)).toEqual([])
  })

  it('says how to continue when its download is stopped', async () => {
    const server = await servePackages()
    server.add(`tensorflow_cpu-9.0.0-cp312-cp312-${wheelTag}.whl`, await wheelBytes(tensorflowFiles, 2_000_000))
    server.pause = 20
    const controller = new AbortController()
    server.onWheel = () => {
      setTimeout(() => controller.abort(), 50)
      return false
    }
    const [dataFolder, env] = [newFolder(), { CXX: process.execPath, PIP_INDEX_URL: server.index.href }]
    const settingUp = inFolder({ env }, () => setUpTensorFlow({ cpu: true, dataFolder }, { signal: controller.signal }))
    await expect(settingUp).rejects.toMatchObject({
      name: 'Interrupted',
      message: 'stopped; nothing was installed',
      hint: 'run the same command again: a download continues where it stopped',
    })
    await server.close()
    expect(readdirSync(dataFolder)).toEqual(['tensorflow-downloads'])
  })

  it('does not download where another setup does', async () => {
    const data = newFolder()
    const lock = lockFolder(join(data, 'tensorflow-downloads'))
    const { code, stderr } = await failing(['--cpu'], { LTX_A2A_DATA: data, CXX: process.execPath })
    lock.release()
    expect([code, stderr]).toEqual([2, expect.stringContaining(`downloads is being written by process ${process.pid}`)])
  })

  it.each([
    ['npm', { tar: 'exit 0' }, 'error: there is no npm to fetch tfjs-node with\n  hint: install npm'],
    ['tar', { npm: 'exit 0' }, 'error: there is no tar to unpack tfjs-node with\n  hint: install tar'],
    ['C++ compiler', { npm: 'exit 0', tar: 'exit 0' }, 'error: there is no C++ compiler to build the addon with'],
  ])('without a %s says so before it downloads anything', async (_, present, message) => {
    const data = newFolder()
    const { code, stderr } = await failing(['--cpu'], { LTX_A2A_DATA: data, PATH: programs(present), CXX: '' })
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
    expect(readdirSync(data)).toEqual([])
  })

  it('stops while a program does not answer', async () => {
    const controller = new AbortController()
    const onEvent = (event: ProgressEvent) => {
      if (event.type === 'stage') setTimeout(() => controller.abort(), 100)
    }
    const python = join(programs({ python: 'exec sleep 100' }), 'python')
    const settingUp = inFolder({ env: { CXX: process.execPath } }, () =>
      setUpTensorFlow({ python, dataFolder: newFolder() }, { signal: controller.signal, onEvent }),
    )
    await expect(settingUp).rejects.toMatchObject({ name: 'Interrupted' })
  })

  it.each([
    ['a folder that does not exist', 'echo /nowhere/tensorflow'],
    ['text that is not a path', 'printf "a\\0b"'],
    ['nothing', 'exit 0'],
    ['nothing, and fails', 'exit 1'],
  ])('refuses a Python that prints %s', async (_, script) => {
    const python = join(programs({ python: `[ "$1" = --version ] && exit 0\n${script}` }), 'python')
    const { code, stderr } = await failing(['--python', python])
    expect([code, stderr]).toEqual([2, expect.stringContaining('has no tensorflow package with its C headers')])
  })

  it.each([
    ['LTX_A2A_THREADS', '99'],
    ['LTX_A2A_PRECISION', 'foo'],
  ])('refuses a wrong %s before it downloads anything', async (name, value) => {
    const { code, stderr } = await failing(['--cpu'], { PATH: '/nowhere', [name]: value })
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${name} is ${value}`)])
  })

  it('refuses a TensorFlow whose path has a colon', async () => {
    const folder = join(newFolder(), 'a:b')
    for (const file of ['include/tensorflow/c/eager/c_api.h', libraryName]) writeFile(join(folder, file))
    const { code, stderr } = await failing(['--from', folder], { CXX: process.execPath })
    expect([code, stderr]).toEqual([2, expect.stringContaining('has a colon in its path')])
  })

  it('refuses a folder whose lib is a file', async () => {
    const folder = newFolder()
    writeFile(join(folder, 'lib'))
    const { code, stderr } = await failing(['--from', folder], { CXX: process.execPath })
    expect([code, stderr]).toEqual([2, expect.stringContaining('holds no TensorFlow with its C headers')])
  })

  it.skipIf(!existsSync('/proc/self'))('refuses a data folder that cannot be created', needs('/proc'), async () => {
    for (const args of [['--cpu'], ['--from', newFolder()]]) {
      const { code, stderr } = await failing(args, { LTX_A2A_DATA: '/proc/x', CXX: process.execPath })
      expect([code, stderr]).toEqual([2, expect.stringMatching(/\/proc.*\n {2}hint: set LTX_A2A_DATA/)])
    }
  })

  it('refuses unknown instructions before it compiles anything', async () => {
    const { code, stderr } = await failing([], { PATH: '/nowhere', CXX: '', LTX_A2A_INSTRUCTIONS: 'avx3' })
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^error: LTX_A2A_INSTRUCTIONS is avx3\n {2}hint: .+\n$/)])
  })

  it('reports when --undo finds no installation', async () => {
    const { code, stdout } = await failing(['--undo'])
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^nothing to undo: no TensorFlow was set up in /)])
  })
})
