/** Python wheels: zips of which only the C part is wanted. */
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { openPromise } from 'yauzl'
import { UserError } from '../errors.ts'

/** The libraries, and the headers that the C interface leads to; Eigen and the rest are a hundred times as many. */
const wanted = /^tensorflow\/(libtensorflow[^/]*|include\/(tensorflow|tsl|xla)\/.*\.(h|inc))$/

/**
 * Unpacks TensorFlow's C headers and libraries out of its wheel, to `folder/tensorflow`.
 * @throws UserError when the file is no wheel of TensorFlow.
 */
export async function unpackWheel(wheel: string, folder: string): Promise<void> {
  const archive = await openPromise(wheel, { lazyEntries: true, autoClose: false }).catch((cause) => {
    throw new UserError(`${wheel} is not a wheel`, { hint: 'download it again', cause })
  })
  try {
    let files = 0
    for await (const entry of archive.eachEntry()) {
      if (!wanted.test(entry.fileName)) continue
      const path = join(folder, entry.fileName) // yauzl refuses names that lead out of the folder
      await mkdir(dirname(path), { recursive: true })
      await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(path))
      files++
    }
    if (files === 0)
      throw new UserError(`${basename(wheel)} holds no TensorFlow libraries`, {
        hint: 'give the wheel of tensorflow or tensorflow-cpu for Linux or macOS',
      })
  } catch (cause) {
    if (cause instanceof UserError) throw cause
    throw new UserError(`${wheel} could not be unpacked to ${folder}`, {
      hint: 'download it again, and check the free space',
      cause,
    })
  } finally {
    archive.close()
  }
}
