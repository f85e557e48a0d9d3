import { createWriteStream, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import yazl from 'yazl'
import { unpackWheel } from '../../src/setup/wheel-archive.ts'

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-wheel-'))

async function wheelOf(files: Record<string, string>): Promise<string> {
  const path = join(newFolder(), 'tensorflow_cpu-9.0.0-cp312-cp312-linux_x86_64.whl')
  const zip = new yazl.ZipFile()
  for (const [name, text] of Object.entries(files)) zip.addBuffer(Buffer.from(text), name)
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(path))
  return path
}

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
