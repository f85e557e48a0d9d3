/** Builds zip files byte by byte, so that their fields can be invalid. */
import { deflateRawSync } from 'node:zlib'
import { crc32 } from '../../src/formats/crc.ts'

export type RawEntry = {
  name: string | Buffer
  content?: Buffer | string
  /** The compression method: 0 is store, 8 is deflate. */
  method?: number
  flags?: number
  /** The values in the headers. Default: the correct values. */
  crc?: number
  size?: number
  packedSize?: number
  /** The Unix file mode. */
  mode?: number
  comment?: Buffer
  /** The extra fields of the list. */
  extra?: Buffer
}

/** The extra field of Info-ZIP with the name in UTF-8. @param rawName the name that it belongs to. */
export function unicodePathField(rawName: Buffer, name: string): Buffer {
  const head = Buffer.alloc(9)
  head.writeUInt16LE(0x7075, 0)
  head.writeUInt16LE(5 + Buffer.byteLength(name), 2)
  head[4] = 1
  head.writeUInt32LE(crc32(rawName), 5)
  return Buffer.concat([head, Buffer.from(name)])
}

export function rawZip(entries: readonly RawEntry[], { zip64 = false, count = entries.length } = {}): Buffer {
  const parts: Buffer[] = []
  const list: Buffer[] = []
  let at = 0
  for (const entry of entries) {
    const body = compressed(entry)
    const local = Buffer.concat([header(0x04034b50, entry, body, undefined), body])
    list.push(header(0x02014b50, entry, body, at))
    parts.push(local)
    at += local.length
  }
  const directory = Buffer.concat(list)
  return Buffer.concat([
    ...parts,
    directory,
    ...(zip64 ? end64(count, directory.length, at) : []),
    end(count, directory.length, at),
  ])
}

function compressed({ content = '', method = 8 }: RawEntry): Buffer {
  const bytes = Buffer.from(content as string)
  return method === 8 ? deflateRawSync(bytes) : bytes
}

function header(signature: number, entry: RawEntry, body: Buffer, offset: number | undefined): Buffer {
  const { content = '', method = 8, flags = 0x800, mode = 0o100644 } = entry
  const { comment = Buffer.alloc(0), extra = Buffer.alloc(0) } = entry
  const name = Buffer.from(entry.name as string)
  const plain = Buffer.from(content as string)
  const isListed = offset !== undefined
  const head = Buffer.alloc(isListed ? 46 : 30)
  const shift = isListed ? 2 : 0
  head.writeUInt32LE(signature, 0)
  if (isListed) head.writeUInt16LE((3 << 8) | 20, 4)
  head.writeUInt16LE(20, 4 + shift)
  head.writeUInt16LE(flags, 6 + shift)
  head.writeUInt16LE(method, 8 + shift)
  head.writeUInt32LE(entry.crc ?? crc32(plain), 14 + shift)
  head.writeUInt32LE(entry.packedSize ?? body.length, 18 + shift)
  head.writeUInt32LE(entry.size ?? plain.length, 22 + shift)
  head.writeUInt16LE(name.length, 26 + shift)
  if (!isListed) return Buffer.concat([head, name])
  head.writeUInt16LE(extra.length, 30)
  head.writeUInt16LE(comment.length, 32)
  head.writeUInt32LE(mode * 2 ** 16, 38)
  head.writeUInt32LE(offset, 42)
  return Buffer.concat([head, name, extra, comment])
}

function end(count: number, listBytes: number, at: number): Buffer {
  const record = Buffer.alloc(22)
  record.writeUInt32LE(0x06054b50, 0)
  record.writeUInt16LE(Math.min(count, 0xffff), 8)
  record.writeUInt16LE(Math.min(count, 0xffff), 10)
  record.writeUInt32LE(listBytes, 12)
  record.writeUInt32LE(at, 16)
  return record
}

export function end64(count: number | bigint, listBytes: number, at: number | bigint, recordAt?: bigint): Buffer[] {
  const record = Buffer.alloc(56)
  record.writeUInt32LE(0x06064b50, 0)
  record.writeBigUInt64LE(44n, 4)
  record.writeBigUInt64LE(BigInt(count), 24)
  record.writeBigUInt64LE(BigInt(count), 32)
  record.writeBigUInt64LE(BigInt(listBytes), 40)
  record.writeBigUInt64LE(BigInt(at), 48)
  const locator = Buffer.alloc(20)
  locator.writeUInt32LE(0x07064b50, 0)
  locator.writeBigUInt64LE(recordAt ?? BigInt(at) + BigInt(listBytes), 8)
  locator.writeUInt32LE(1, 16)
  return [record, locator]
}
