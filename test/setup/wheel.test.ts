import { createWriteStream, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import yazl from 'yazl'
import { metadataOfFile, unpackWheel } from '../../src/setup/wheel-archive.ts'

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-wheel-'))

async function wheelOf(files: Record<string, string>): Promise<string> {
  const path = join(newFolder(), 'tensorflow_cpu-9.0.0-cp312-cp312-linux_x86_64.whl')
  const zip = new yazl.ZipFile()
  for (const [name, text] of Object.entries(files)) zip.addBuffer(Buffer.from(text), name)
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(path))
  return path
}

const library = 'tensorflow/libtensorflow_cc.so.2'

/** Changes the size of the first file in the list at the end of the wheel. */
function listSize(wheel: string, size: number) {
  const bytes = readFileSync(wheel)
  bytes.writeUInt32LE(size, bytes.indexOf('PK\x01\x02') + 24)
  writeFileSync(wheel, bytes)
}

it('METADATA of a wheel is not read where it would fill the memory', async () => {
  const wheel = await wheelOf({ 'tensorflow-9.0.0.dist-info/METADATA': 'Name: tensorflow' })
  expect(await metadataOfFile(wheel)).toBe('Name: tensorflow')
  listSize(wheel, 2e9)
  await expect(metadataOfFile(wheel)).rejects.toThrow('the METADATA of the wheel has 2.00 GB')
})

describe('unpacking a wheel', () => {
  it('extracts only the C headers, the libraries and what the build is for', async () => {
    const wheel = await wheelOf({
      'tensorflow/libtensorflow_cc.so.2': 'library',
      'tensorflow/include/tensorflow/c/c_api.h': 'header',
      'tensorflow/include/Eigen/Core.h': 'not needed',
      'tensorflow/python/ops.py': 'Python',
      'tensorflow/python/platform/build_info.py': 'CPU',
      'tensorflow_cpu-9.0.0.dist-info/METADATA': 'Name: tensorflow-cpu',
    })
    const folder = newFolder()
    await unpackWheel(wheel, folder)
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    expect(files.map(({ name }) => name).sort()).toEqual(['build_info.py', 'c_api.h', 'libtensorflow_cc.so.2'])
    expect(readFileSync(join(folder, 'tensorflow', 'libtensorflow_cc.so.2'), 'utf8')).toBe('library')
  })

  it('is refused where its files have no room, before any is written', async () => {
    const wheel = await wheelOf({ [library]: 'x'.repeat(30_000), 'tensorflow/python/ops.py': 'not needed' })
    const folder = newFolder()
    await expect(unpackWheel(wheel, folder, undefined, undefined, () => 29_000)).rejects.toMatchObject({
      name: 'UserError',
      message: `${basename(wheel)} unpacks to 30 kB, but the disk of ${folder} has 29 kB free`,
      hint: expect.stringMatching(/^free 1000 bytes, or set LTX_A2A_DATA/),
    })
    expect(readdirSync(folder)).toEqual([])
    await unpackWheel(wheel, folder, undefined, undefined, () => 30_000)
    expect(statSync(join(folder, library)).size).toBe(30_000)
  })

  it('stops at a file that is larger than the list of files says', async () => {
    const wheel = await wheelOf({ [library]: 'x'.repeat(10_000_000) })
    listSize(wheel, 1000)
    const folder = newFolder()
    await expect(unpackWheel(wheel, folder)).rejects.toThrow(`${wheel} could not be unpacked to ${folder}`)
    expect(statSync(join(folder, library)).size).toBeLessThanOrEqual(1000)
  })

  it('is refused for another package', async () => {
    const wheel = await wheelOf({ 'numpy/version.py': '' })
    await expect(unpackWheel(wheel, newFolder())).rejects.toThrow('holds no TensorFlow libraries')
  })

  it('is refused for a file that is not a zip file', async () => {
    const path = join(newFolder(), 'page.whl')
    writeFileSync(path, '<html>')
    await expect(unpackWheel(path, newFolder())).rejects.toThrow(`${path} is not a wheel`)
  })
})
