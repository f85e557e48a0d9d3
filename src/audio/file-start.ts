/** A look at the start of an audio file. It finds what cannot be audio without starting ffmpeg, which takes longer than decoding a short file. */
import { open } from 'node:fs/promises'
import { UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'

/** Bytes. Not even the header of a compressed format is smaller. */
const smallestFile = 12

/** What the files of a demuxer start with, where the demuxer refuses all others. */
const signatures: Readonly<Record<string, readonly string[]>> = {
  wav: ['RIFF', 'RIFX', 'RF64', 'BW64'],
  aiff: ['FORM'],
  caf: ['caff'],
  asf: ['\x30\x26\xb2\x75'],
  matroska: ['\x1a\x45\xdf\xa3'],
}

/** ffmpeg skips such a tag in front of any format. */
const id3 = 'ID3'

/**
 * Whether ffmpeg may be able to read a file with this demuxer.
 * @param name what the file is called in messages.
 * @throws UserError when the file cannot be opened, is empty, or is too small for audio.
 */
export async function canBeAudio(path: string, demuxer: string, name: string): Promise<boolean> {
  const file = await open(path).catch((cause) => {
    throw new UserError(`${name} cannot be opened`, { hint: 'check its permissions', cause })
  })
  try {
    const { size } = await file.stat()
    if (size < smallestFile)
      throw new UserError(size === 0 ? `${name} is empty (0 bytes)` : `${name} has only ${countText(size, 'byte')}`, {
        hint: 'export or copy it again, or leave it out',
      })
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
    const start = buffer.toString('latin1')
    return start.startsWith(id3) || (signatures[demuxer]?.includes(start) ?? true)
  } finally {
    await file.close()
  }
}
