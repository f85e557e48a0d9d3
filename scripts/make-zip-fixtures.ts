/** Writes fixtures/zips: small archives, each named after its content or its fault. The bytes are the same on every run. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ZipFile } from 'yazl'
import { encodeWav } from '../src/audio/wav.ts'

const folder = fileURLToPath(new URL('../fixtures/zips', import.meta.url))
const mtime = new Date('2025-01-01T00:00:00Z')

/** A sine, 8 kHz mono. Its period is 16 samples, so it compresses to a few hundred bytes. */
function tone(seconds: number): Buffer {
  const samples = Float32Array.from({ length: seconds * 8000 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * i) / 16))
  return Buffer.from(encodeWav({ sampleRate: 8000, channels: [samples] }))
}

const pair = (name: string, seconds = 1) => ({
  [`${name}_start.wav`]: tone(seconds),
  [`${name}_end.wav`]: tone(seconds),
})

const valid = await zip(pair('drums'))

const fixtures: Record<string, Buffer> = {
  'valid/ten-pairs.zip': await zip(
    Object.assign(
      {},
      ...Array.from({ length: 10 }, (_, i) => ({ ...pair(`tone-${i}`), [`tone-${i}.txt`]: text(`tone ${i}`) })),
    ),
  ),
  'valid/mac-leftovers-and-folders.zip': await zip({
    ...prefixed('takes/', pair('drums')),
    '__MACOSX/takes/._drums_start.wav': text('resource fork'),
    'takes/.DS_Store': text('finder'),
    'takes/._drums_end.wav': text('resource fork'),
    'takes/cover.JPG': text('a picture'),
    'captions/drums.TXT': Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), text('  dry drums \r\n')]),
    'more takes/Snare_START.WAV': tone(1),
    'more takes/Snare_End.Wav': tone(1),
  }),
  'invalid/reference-missing-for-drums.zip': await zip({ ...pair('snare'), 'drums_end.wav': tone(1) }),
  'invalid/drums-in-two-folders.zip': await zip({ ...prefixed('a/', pair('drums')), ...prefixed('b/', pair('drums')) }),
  'invalid/drums-end-is-text.zip': await zip({ ...pair('drums'), 'drums_end.wav': text('not a wav file') }),
  'invalid/caption-in-latin-1.zip': await zip({ ...pair('drums'), 'drums.txt': Buffer.from('caf\xe9', 'latin1') }),
  'invalid/shorter-than-five-seconds.zip': await zip({ ...pair('drums', 3.25), ...pair('snare', 4.1) }),
  'invalid/without-pairs.zip': await zip({ 'notes.md': text('soon') }),
  'invalid/without-files.zip': await zip({}),
  'invalid/encrypted.zip': markedAsEncrypted(valid),
  'invalid/path-leads-out.zip': withPathReplaced(
    await zip({ ...pair('drums'), 'up/evil_end.wav': tone(1) }),
    'up/evil',
    '../evil',
  ),
  'invalid/cut-off.zip': valid.subarray(0, valid.length - 100),
  'invalid/content-damaged.zip': withDamagedContent(valid),
  'invalid/web-page.zip': text('<!doctype html><title>Sign in</title>'),
  'invalid/empty-file.zip': Buffer.alloc(0),
}

for (const [name, bytes] of Object.entries(fixtures)) {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), bytes)
}

async function zip(files: Record<string, Buffer>): Promise<Buffer> {
  const archive = new ZipFile()
  for (const [path, bytes] of Object.entries(files)) archive.addBuffer(bytes, path, { mtime, forceDosTimestamp: true })
  archive.end()
  const chunks: Buffer[] = []
  for await (const chunk of archive.outputStream) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks)
}

function prefixed(prefix: string, files: Record<string, Buffer>): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(files).map(([path, bytes]) => [prefix + path, bytes]))
}

function text(content: string): Buffer {
  return Buffer.from(content)
}

/** Sets the encryption bit of every entry of the central directory; the flags are 8 bytes after its signature. */
function markedAsEncrypted(archive: Buffer): Buffer {
  const copy = Buffer.from(archive)
  for (let at = copy.indexOf('PK\x01\x02'); at >= 0; at = copy.indexOf('PK\x01\x02', at + 1))
    copy.writeUInt16LE(copy.readUInt16LE(at + 8) | 1, at + 8)
  return copy
}

/** Replaces a path by another of the same length, in the local headers and in the central directory. */
function withPathReplaced(archive: Buffer, from: string, to: string): Buffer {
  return Buffer.from(archive.toString('latin1').replaceAll(from, to), 'latin1')
}

/** Overwrites a part of the compressed content of the first file. The headers stay valid. */
function withDamagedContent(archive: Buffer): Buffer {
  const copy = Buffer.from(archive)
  copy.fill(0xff, 60, 120)
  return copy
}
