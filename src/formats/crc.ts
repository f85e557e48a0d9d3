/** Cyclic redundancy checks of 32 bits, the reflected kind: PNG files have one, TensorBoard's event files another. */

/** @param polynomial with its bits reversed */
function checksum(polynomial: number): (bytes: Uint8Array) => number {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1
    return value
  })
  return (bytes) => {
    let crc = 0xffffffff
    for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
    return (crc ^ 0xffffffff) >>> 0
  }
}

export const crc32 = checksum(0xedb88320)

/** Castagnoli's. */
export const crc32c = checksum(0x82f63b78)
