/** TensorFlow from a package index on this machine, with small wheels. */
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createReporter, type ProgressEvent } from '../../src/platform/progress.ts'
import { obtainWheels, type WheelChoice } from '../../src/setup/tensorflow-wheels.ts'
import { cudaMetadata, type PackageServer, servePackages, tensorflowFiles, wheelBytes } from './package-server.ts'

const tag = 'cp312-cp312-manylinux_2_17_x86_64'
const machine = { platform: 'linux' as const, arch: 'x64', glibc: '2.31' }

let server: PackageServer
let folders: { downloads: string; unpacked: string }
let events: ProgressEvent[]
beforeEach(async () => {
  server = await servePackages()
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-wheels-'))
  folders = { downloads: join(folder, 'downloads'), unpacked: join(folder, 'libtensorflow') }
  events = []
})
afterEach(() => server.close())

type Options = { index?: URL; further?: URL[]; freeBytes?: number; signal?: AbortSignal }

function obtain(choice: WheelChoice, { index = server.index, further = [], freeBytes = 1e12, signal }: Options = {}) {
  const reporter = createReporter<ProgressEvent>({ signal, onEvent: (event) => void events.push(event) })
  return obtainWheels(choice, folders, reporter, {
    settings: { indexes: [index, ...further] },
    client: { fetch, sleep: async () => {} },
    machine,
    freeBytes: () => freeBytes,
  })
}

const infos = () => events.flatMap((event) => (event.type === 'info' ? event.message : []))
const files = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()

/** Adds a release of TensorFlow for the CPU. */
const addCpu = async (version: string, size = 0) =>
  server.add(`tensorflow_cpu-${version}-${tag}.whl`, await wheelBytes(tensorflowFiles, size))

const cublas = (version: string) => `nvidia_cublas_cu12-${version}-py3-none-manylinux2014_x86_64.whl`
const cublasFiles = {
  'nvidia/cublas/lib/libcublas.so.12': 'cublas',
  'nvidia/cublas/include/cublas.h': 'not needed',
  'nvidia/cublas/lib/__init__.py': 'not needed',
}

/** Adds a release of TensorFlow for CUDA. */
async function addCuda(version: string, requirements: string[], listed: object = {}) {
  const metadata = { [`tensorflow-${version}.dist-info/METADATA`]: cudaMetadata(...requirements) }
  server.add(`tensorflow-${version}-${tag}.whl`, await wheelBytes({ ...tensorflowFiles, ...metadata }), listed)
}

describe('TensorFlow for the CPU', () => {
  it('is the newest release; its size is said before it is downloaded, and only what is needed is unpacked', async () => {
    await addCpu('9.0.0')
    await addCpu('9.10.0')
    await addCpu('9.11.0rc1')
    expect(await obtain({ device: 'CPU' })).toBe('tensorflow_cpu-9.10.0')
    const bytes = statSync(join(folders.downloads, files(folders.downloads)[0] as string)).size
    expect(infos()).toEqual([`To download from ${server.index.host}: tensorflow-cpu 9.10.0, ${bytes} bytes`])
    expect(events.findIndex(({ type }) => type === 'info')).toBe(0)
    expect(files(folders.unpacked)).toEqual([
      'tensorflow/include/tensorflow/c/eager/c_api.h',
      expect.stringContaining('tensorflow/libtensorflow_cc.'),
      expect.stringContaining('tensorflow/libtensorflow_framework.'),
    ])
  })

  it('is the release that the prebuilt addon is for, where an index has it', async () => {
    await addCpu('9.0.0')
    await addCpu('9.1.0')
    expect(await obtain({ device: 'CPU', version: '9.0.0' })).toBe('tensorflow_cpu-9.0.0')
    expect(await obtain({ device: 'CPU', version: '8.0.0' })).toBe('tensorflow_cpu-9.1.0')
  })

  it('is the package tensorflow where that is newer', async () => {
    await addCpu('9.0.0')
    await addCuda('9.1.0', [])
    expect(await obtain({ device: 'CPU' })).toBe('tensorflow-9.1.0')
  })

  it('comes from one index where another has an empty page', async () => {
    await addCpu('9.0.0')
    const { intercept } = server
    server.intercept = (request, response, count) => {
      if (!request.url?.startsWith('/empty/')) return intercept?.(request, response, count) ?? false
      response.setHeader('content-type', 'text/html').end('<html><body></body></html>')
      return true
    }
    expect(await obtain({ device: 'CPU' }, { further: [new URL(server.url('empty/'))] })).toBe('tensorflow_cpu-9.0.0')
  })

  it('comes from an index that has HTML pages only, sends no parts of files and needs a login', async () => {
    await addCpu('9.0.0')
    Object.assign(server, { format: 'html', hasRanges: false, login: 'me:secret' })
    const index = new URL(server.index)
    Object.assign(index, { username: 'me', password: 'secret' })
    expect(await obtain({ device: 'CPU' }, { index })).toBe('tensorflow_cpu-9.0.0')
    expect(infos().join()).not.toContain('secret')
  })

  it('continues an interrupted download', async () => {
    await addCpu('9.0.0', 2_000_000)
    const controller = new AbortController()
    server.pause = 20
    server.onWheel = () => {
      setTimeout(() => controller.abort(new Error('stopped')), 50)
      return false
    }
    await expect(obtain({ device: 'CPU' }, { signal: controller.signal })).rejects.toThrow('stopped')
    delete server.onWheel
    server.pause = 0
    const [partial = ''] = files(folders.downloads)
    const { size } = statSync(join(folders.downloads, partial))
    expect(partial).toMatch(/\.whl\.partial$/)
    server.requests = []
    events = []
    expect(await obtain({ device: 'CPU' })).toBe('tensorflow_cpu-9.0.0')
    expect(server.requests.map(({ start }) => start)).toEqual([size])
    expect(infos()[0]).toMatch(/, 2\.0 MB, of which \d+ kB has arrived already$/)
    expect(events).toContainEqual(
      expect.objectContaining({ stage: 'Downloading', status: 'started', total: 3, unit: 'MB' }),
    )
  })
})

describe('TensorFlow for CUDA', () => {
  it.each([
    ['the METADATA that the index serves', { 'core-metadata': true }, true],
    ['the wheel on the server', {}, true],
    ['the downloaded wheel, if the server sends no parts', {}, false],
  ])('comes with the libraries that it requires according to %s', async (_, listed, hasRanges) => {
    await addCuda('9.0.0', ['nvidia-cublas-cu12<13.0,>=12.5.3.2', 'nvidia-cuda-nvcc-cu12==12.5.82'], listed)
    const offered = cudaMetadata('nvidia-cublas-cu12<13.0,>=12.5.3.2', 'nvidia-cuda-nvcc-cu12==12.5.82')
    server.files.set(`files/tensorflow-9.0.0-${tag}.whl.metadata`, {
      size: offered.length,
      bytes: () => Buffer.from(offered),
    })
    for (const version of ['12.4.0.1', '12.9.1.4', '13.0.0']) server.add(cublas(version), await wheelBytes(cublasFiles))
    const nvcc = { 'nvidia/cuda_nvcc/bin/ptxas': 'ptxas', 'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc': 'bc' }
    server.add('nvidia_cuda_nvcc_cu12-12.5.82-py3-none-manylinux2014_x86_64.whl', await wheelBytes(nvcc))
    server.hasRanges = hasRanges
    expect(await obtain({ device: 'CUDA', driver: '550.54' })).toBe('tensorflow-9.0.0')
    expect(infos().at(-1)).toMatch(/: tensorflow 9\.0\.0 and 2 packages of NVIDIA, \d/)
    expect(infos()).toHaveLength(hasRanges ? 1 : 2) // the second follows the download of the wheel with the METADATA
    expect(server.paths.filter((path) => path.includes('cublas') && path.endsWith('.whl'))).toEqual([
      `files/${cublas('12.9.1.4')}`,
    ])
    expect(files(folders.unpacked)).toEqual([
      'nvidia/cublas/lib/libcublas.so.12', // TensorFlow looks in ../nvidia/*/lib
      'nvidia/cuda_nvcc/bin/ptxas',
      'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc',
      'tensorflow/include/tensorflow/c/eager/c_api.h',
      expect.stringContaining('tensorflow/libtensorflow_cc.'),
      expect.stringContaining('tensorflow/libtensorflow_framework.'),
    ])
  })

  it('is an older release where the driver is too old for the CUDA of the newest', async () => {
    await addCuda('9.1.0', ['nvidia-cublas-cu13>=13.0'])
    await addCuda('9.0.0', ['nvidia-cublas-cu12>=12.5'])
    server.add(cublas('12.5.3.2'), await wheelBytes(cublasFiles))
    expect(await obtain({ device: 'CUDA', driver: '550.54' })).toBe('tensorflow-9.0.0')
    await expect(obtain({ device: 'CUDA', driver: '470.1' })).rejects.toThrow(
      'the driver 470.1 is too old for the CUDA of TensorFlow 9.1.0, 9.0.0, which needs 525.60.13 or later',
    )
  })
})

describe('an error of one sentence comes from', () => {
  it('a TensorFlow without an extra for CUDA', async () => {
    await addCuda('9.0.0', [])
    await expect(obtain({ device: 'CUDA', driver: '550.54' })).rejects.toMatchObject({
      name: 'UserError',
      message: 'TensorFlow 9.0.0 asks for no libraries of NVIDIA: it has no extra and-cuda',
      hint: expect.stringContaining('--cpu'),
    })
  })

  it('an index without a wheel for this system', async () => {
    server.add('tensorflow_cpu-9.0.0-cp312-cp312-win_amd64.whl', await wheelBytes({}))
    server.add('tensorflow_cpu-9.0.0-cp312-cp312-manylinux_2_35_x86_64.whl', await wheelBytes({}))
    await expect(obtain({ device: 'CPU' })).rejects.toMatchObject({
      name: 'UserError',
      message: `there is no wheel of tensorflow for linux with glibc 2.31 on x64 at ${server.index.host}`,
    })
  })

  it('an index without a library that is required', async () => {
    await addCuda('9.0.0', ['nvidia-cublas-cu12<13.0,>=12.5'])
    await expect(obtain({ device: 'CUDA' })).rejects.toThrow(
      'there is no wheel of nvidia-cublas-cu12<13.0,>=12.5 for linux with glibc 2.31',
    )
  })

  it('a wheel with another SHA-256 than listed, of which nothing is unpacked', async () => {
    server.add(`tensorflow_cpu-9.0.0-${tag}.whl`, await wheelBytes(tensorflowFiles), {
      hashes: { sha256: 'ab'.repeat(32) },
    })
    await expect(obtain({ device: 'CPU' })).rejects.toThrow('does not have the SHA-256 that the index lists')
    expect(files(folders.downloads)).toEqual([])
    expect(() => readFileSync(folders.unpacked)).toThrow()
  })

  it('an index that lists no SHA-256', async () => {
    server.add(`tensorflow_cpu-9.0.0-${tag}.whl`, await wheelBytes(tensorflowFiles), { hashes: { md5: 'ab' } })
    await expect(obtain({ device: 'CPU' })).rejects.toThrow(`lists no SHA-256 for tensorflow_cpu-9.0.0-${tag}.whl`)
  })

  it('a wheel that is larger than the index lists', async () => {
    const size = { size: 10 }
    server.add(`tensorflow_cpu-9.0.0-${tag}.whl`, await wheelBytes(tensorflowFiles), size)
    await expect(obtain({ device: 'CPU' })).rejects.toThrow('is larger than the 10 bytes that the index lists')
    expect(files(folders.downloads)).toEqual([])
  })

  it('a wheel whose files have no room', async () => {
    const huge = { 'tensorflow/libtensorflow_cc.so.2': ' '.repeat(10_000_000) }
    server.add(`tensorflow_cpu-9.0.0-${tag}.whl`, await wheelBytes({ ...tensorflowFiles, ...huge }))
    await expect(obtain({ device: 'CPU' }, { freeBytes: 1_000_000 })).rejects.toThrow(/unpacks to 10 MB, but the disk/)
  })

  it('a disk that is too small, before anything is downloaded', async () => {
    await addCpu('9.0.0', 2_000_000)
    await expect(obtain({ device: 'CPU' }, { freeBytes: 5e6 })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(
        /^the download and what is unpacked of it need 9\.0 MB, but the disk of .* has 5\.0 MB free$/,
      ),
      hint: expect.stringMatching(/^free 4\.0 MB, or set LTX_A2A_DATA/),
    })
    expect(server.paths.filter((path) => path.endsWith('.whl'))).toEqual([])
  })

  it('an index that cannot be reached', async () => {
    await expect(obtain({ device: 'CPU' }, { index: new URL('http://127.0.0.1:1/simple/') })).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/^http:\/\/127\.0\.0\.1:1\/simple\/tensorflow-cpu\/ cannot be reached/),
      hint: expect.stringContaining('check the network, the settings of pip'),
    })
  })

  it('a wheel on the server that is not a zip file', async () => {
    server.add(`tensorflow-9.0.0-${tag}.whl`, Buffer.from('x'.repeat(1000)))
    await expect(obtain({ device: 'CUDA' })).rejects.toMatchObject({
      name: 'UserError',
      message: `what tensorflow-9.0.0-${tag}.whl requires cannot be read`,
    })
  })
})
