/** Cyclic redundancy checks of 32 bits with reflected bits: CRC-32 in zip archives and PNG files, CRC-32C in TensorBoard's event files. */

/** @param polynomial with its bits reversed. */
function checksum(polynomial: number): (bytes: Uint8Array, before?: number) => number {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1
    return value
  })
  return (bytes, before = 0) => {
    let crc = ~before
    for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
    return ~crc >>> 0
  }
}

/** CRC-32. `before` is the checksum of the bytes that precede these, so that a file can be checked in parts. */
export const crc32 = checksum(0xedb88320)

/** CRC-32C (Castagnoli). */
export const crc32c = checksum(0x82f63b78)
