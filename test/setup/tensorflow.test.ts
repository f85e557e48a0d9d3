/**
 * The complete setup with a real TensorFlow: the package folder in `LTX_A2A_TENSORFLOW_DIR`, or that of python3. Without one these tests are
 * skipped. They need the npm registry and a C++ compiler.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { hasWideVectors } from '../../src/machine/hardware.ts'
import type { DoctorReport } from '../../src/setup/doctor.ts'
import { ltxA2a } from '../cli/bin.ts'
import { needs } from '../needs.ts'

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
      expect(readdirSync(join(data, 'tensorflow')).sort()).toEqual(['installation.json', 'tfjs-node'])
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

describe('setup-tensorflow', () => {
  const failing = (args: string[], env: Record<string, string> = {}) =>
    ltxA2a(['setup-tensorflow', ...args], { env: { LTX_A2A_DATA: newFolder(), ...env } })

  it.each([
    ['a missing folder', ['--from', '/nowhere/tensorflow'], '/nowhere/tensorflow does not exist'],
    ['a file that is not an archive', ['--from', process.execPath], 'is neither a .tar.gz nor a .whl'],
    ['a Python that does not run', ['--python', '/nowhere/python'], '--python /nowhere/python does not run'],
    ['both --undo and --from', ['--undo', '--from', 'x'], 'both --undo and --from were given'],
  ])('reports %s in one sentence with a hint', async (_, args, sentence) => {
    const { code, stdout, stderr } = await failing(args)
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringMatching(/^error: .*\n {2}hint: .*\n/)])
    expect(stderr).toContain(sentence)
  })

  it('reports a missing compiler in one sentence that names the package', async () => {
    const { code, stderr } = await failing([], { PATH: '/nowhere', CXX: '' })
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^error: there is no C\+\+ compiler to build the addon with\n {2}hint: install one: .+\n$/),
    ])
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
