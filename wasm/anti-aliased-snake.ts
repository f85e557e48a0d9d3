/**
 * SnakeBeta between a filter that doubles the sample rate and one that halves it again, in AssemblyScript. `addon/audio_kernels.cc` computes the same for
 * native TensorFlow, and explains it. Signals are rows of samples, each with all channels; addresses are in bytes.
 */

const taps: i32 = 12
const halfTaps: i32 = taps / 2
/** How many samples each filter uses on each side, at the low rate. */
const reach: i32 = halfTaps / 2
const blockSamples: i32 = 128
const blockChannels: i32 = 64
/** The rows of a buffer, and the values that a vector may read after them. */
const bufferBytes: usize = ((blockSamples + 4 * reach) * blockChannels + 4) * 4

/** Where the values of one block lie. */
const input: usize = 1024
const even: usize = input + bufferBytes
const odd: usize = even + bufferBytes
const frequencies: usize = odd + bufferBytes
const gains: usize = frequencies + bufferBytes
const output: usize = gains + bufferBytes

/** The first address that the caller may use. */
export function freeMemory(): usize {
  return output + bufferBytes
}

/**
 * [B, N, C] → [B, N, C]. @param up the taps [12] of the filter that doubles the rate. @param down those of the other. @param frequency [C]. @param gain [C].
 */
export function antiAliasedSnake(
  x: usize,
  y: usize,
  batch: i32,
  samples: i32,
  channels: i32,
  up: usize,
  down: usize,
  frequency: usize,
  gain: usize,
): void {
  for (let channel = 0; channel < channels; channel += blockChannels) {
    const width = min(blockChannels, channels - channel)
    const at = (<usize>channel) << 2
    repeat(frequency + at, frequencies, width)
    repeat(gain + at, gains, width)
    for (let item = 0; item < batch; item++) {
      const clip = ((<usize>item * <usize>samples * <usize>channels) << 2) + at
      for (let first = 0; first < samples; first += blockSamples) {
        activate(x + clip, y + clip, first, min(blockSamples, samples - first), samples, channels, width, up, down)
      }
    }
  }
}

/** Writes a value of each channel into every row. */
function repeat(values: usize, to: usize, width: i32): void {
  const rowBytes = (<usize>width) << 2
  for (let row = 0; row < blockSamples + 4 * reach; row++) memory.copy(to + <usize>row * rowBytes, values, rowBytes)
}

/** One block. @param clip the first sample of the block's channels. @param width how many channels the block has. */
function activate(
  clip: usize,
  result: usize,
  first: i32,
  count: i32,
  samples: i32,
  channels: i32,
  width: i32,
  up: usize,
  down: usize,
): void {
  const rowBytes = (<usize>width) << 2
  const stride = (<usize>channels) << 2
  for (let row = 0; row < count + 4 * reach; row++) {
    const sample = min(max(first - 2 * reach + row, 0), samples - 1) // the ends are repeated
    memory.copy(input + <usize>row * rowBytes, clip + <usize>sample * stride, rowBytes)
  }
  const rows = count + 2 * reach
  upsample(input, up + ((taps - 1) << 2), rowBytes, rows, even)
  upsample(input + rowBytes, up + ((taps - 2) << 2), rowBytes, rows, odd)
  for (let row = 0; row < rows; row++) {
    const sample = first - reach + row
    if (sample >= 0 && sample < samples) continue
    const end =
      sample < 0 ? even + <usize>(reach - first) * rowBytes : odd + <usize>(samples - 1 - first + reach) * rowBytes
    memory.copy(even + <usize>row * rowBytes, end, rowBytes)
    memory.copy(odd + <usize>row * rowBytes, end, rowBytes)
  }
  downsample(down, rowBytes, count)
  for (let row = 0; row < count; row++)
    memory.copy(result + <usize>(first + row) * stride, output + <usize>row * rowBytes, rowBytes)
}

/**
 * v + gain · sin²(frequency · v) of filtered samples v. @param rows the first row that the first sample uses. @param tap the address of its tap; the next
 * row uses the tap two before it.
 */
function upsample(rows: usize, tap: usize, rowBytes: usize, count: i32, to: usize): void {
  const tap0 = doubled(tap)
  const tap1 = doubled(tap - 8)
  const tap2 = doubled(tap - 16)
  const tap3 = doubled(tap - 24)
  const tap4 = doubled(tap - 32)
  const tap5 = doubled(tap - 40)
  const bytes = <usize>count * rowBytes
  for (let i: usize = 0; i < bytes; i += 16) {
    const row = rows + i
    let v = f32x4.mul(tap0, v128.load(row))
    v = f32x4.add(v, f32x4.mul(tap1, v128.load(row + rowBytes)))
    v = f32x4.add(v, f32x4.mul(tap2, v128.load(row + 2 * rowBytes)))
    v = f32x4.add(v, f32x4.mul(tap3, v128.load(row + 3 * rowBytes)))
    v = f32x4.add(v, f32x4.mul(tap4, v128.load(row + 4 * rowBytes)))
    v = f32x4.add(v, f32x4.mul(tap5, v128.load(row + 5 * rowBytes)))
    const sine = sineSquared(f32x4.mul(v, v128.load(frequencies + i)))
    v128.store(to + i, f32x4.add(v, f32x4.mul(v128.load(gains + i), sine)))
  }
}

/** A tap in all lanes, times two because every second sample would be zero. */
function doubled(tap: usize): v128 {
  return f32x4.splat(2 * load<f32>(tap))
}

/** Filters the samples with even numbers by the odd taps, and those with odd numbers by the even taps, into `output`. */
function downsample(down: usize, rowBytes: usize, count: i32): void {
  const bytes = <usize>count * rowBytes
  for (let i: usize = 0; i < bytes; i += 16) {
    let sum = f32x4.splat(0)
    for (let tap = 0; tap < halfTaps; tap++) {
      const at = i + <usize>tap * rowBytes
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(down + ((<usize>tap) << 3)), v128.load(odd + at)))
      sum = f32x4.add(
        sum,
        f32x4.mul(v128.load32_splat(down + ((<usize>tap) << 3) + 4), v128.load(even + at + rowBytes)),
      )
    }
    v128.store(output + i, sum)
  }
}

/** sin²(x) = sin²(π·r) with r = x / π − round(x / π), as a polynomial in r²; as in `src/model/vocoder/generator.ts`. */
function sineSquared(x: v128): v128 {
  const halfTurns = f32x4.mul(x, f32x4.splat(0.318309886))
  const r = f32x4.sub(halfTurns, f32x4.nearest(halfTurns))
  const square = f32x4.mul(r, r)
  let ratio = f32x4.splat(0.0772201259)
  ratio = f32x4.add(f32x4.mul(ratio, square), f32x4.splat(-0.598045172))
  ratio = f32x4.add(f32x4.mul(ratio, square), f32x4.splat(2.55003138))
  ratio = f32x4.add(f32x4.mul(ratio, square), f32x4.splat(-5.16770688))
  ratio = f32x4.add(f32x4.mul(ratio, square), f32x4.splat(3.14159258))
  return f32x4.mul(square, f32x4.mul(ratio, ratio))
}
