// Layers of the audio VAE and the vocoder as single ops of TensorFlow, for CPUs. `src/engine/fused-audio.ts` uses them. All arrays are float32 and
// channels-last: B clips, N samples, C channels.

#include <cmath>
#include <vector>

#include "convolution.h"
#include "fused_ops.h"
#include "parallel_for.h"
#include "vector_math.h"

namespace tfnodejs {
namespace {

// x [..., C] → SiLU(RMS norm of x over C)
void NormSilu(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  KernelCall::Expect(!shape.empty() && shape.back() > 0, "the input has no channels");
  const int64_t channels = shape.back();
  const auto [from, to] = call.Updated<float>(0, 0);
  const float *x = from;
  float *y = to;
  ParallelFor(ElementCount(shape) / channels, channels, LOOP(begin, end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t first = row * channels;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < channels; i++) sum += x[first + i] * x[first + i];
      const float inverse = InverseRms(sum, channels);
#pragma omp simd
      for (int64_t i = 0; i < channels; i++) {
        const float normed = x[first + i] * inverse;
        y[first + i] = normed * Sigmoid(normed);
      }
    }
  });
}

// SnakeBeta between a filter that doubles the sample rate and one that halves it again. Samples with even and with odd numbers at the high rate are kept
// apart: each is then a filter of the samples at the low rate, and each result is a filter of both.
constexpr int64_t kTaps = 12, kHalfTaps = kTaps / 2;
// How many samples each filter uses on each side, at the low rate.
constexpr int64_t kReach = kHalfTaps / 2;
// One block of results.
constexpr int64_t kBlockSamples = 128, kBlockChannels = 64;

// Rows of samples, each with the channels of a block, one row after another.
struct SnakeBuffers {
  static constexpr int64_t kRows = kBlockSamples + 4 * kReach;
  float x[kRows * kBlockChannels], even[kRows * kBlockChannels], odd[kRows * kBlockChannels];
  float frequency[kRows * kBlockChannels], gain[kRows * kBlockChannels];
};

inline SnakeBuffers &ThreadBuffers() {
  static thread_local std::vector<SnakeBuffers> buffers(1);
  return buffers[0];
}

// v + gain · sin²(frequency · v) of the filtered samples v[i] = Σ taps[t] · x[i + t · stride].
INLINE void FilterAndActivate(const float *x, const float *taps, int64_t stride, const SnakeBuffers &buffers, int64_t count,
                              float *y) {
#pragma omp simd
  for (int64_t i = 0; i < count; i++) {
    float v = 0;
#pragma GCC unroll 6
    for (int64_t t = 0; t < kHalfTaps; t++) v += taps[t] * x[i + t * stride];
    y[i] = v + buffers.gain[i] * SquaredSine(v * buffers.frequency[i]);
  }
}

struct SnakeLayer {
  int64_t samples, channels;
  const float *up, *down;             // the taps of the filters
  const float *frequency, *gain;      // of each channel
};

// Computes the results of `count` samples after `first` for channels of one clip. x and y begin at the first sample of these channels.
INLINE void ActivateBlock(const SnakeLayer &layer, const float *x, int64_t first, int64_t count, int64_t first_channel,
                          int64_t channels, float *y) {
  SnakeBuffers &buffers = ThreadBuffers();
  const int64_t last = layer.samples - 1;
  for (int64_t row = 0; row < count + 4 * kReach; row++) {  // the first and the last sample are repeated beyond the ends
    const int64_t sample = std::clamp<int64_t>(first - 2 * kReach + row, 0, last), at = row * channels;
    for (int64_t i = 0; i < channels; i++) {
      buffers.x[at + i] = x[sample * layer.channels + i];
      buffers.frequency[at + i] = layer.frequency[first_channel + i];
      buffers.gain[at + i] = layer.gain[first_channel + i];
    }
  }
  float even_taps[kHalfTaps], odd_taps[kHalfTaps];  // times two, because every second sample would be zero
  for (int64_t t = 0; t < kHalfTaps; t++) {
    even_taps[t] = 2 * layer.up[kTaps - 1 - 2 * t];
    odd_taps[t] = 2 * layer.up[kTaps - 2 - 2 * t];
  }
  const int64_t rows = count + 2 * kReach;
  FilterAndActivate(buffers.x, even_taps, channels, buffers, rows * channels, buffers.even);
  FilterAndActivate(buffers.x + channels, odd_taps, channels, buffers, rows * channels, buffers.odd);
  for (int64_t row = 0; row < rows; row++) {  // the same for the samples at the high rate
    const int64_t sample = first - kReach + row;
    if (sample >= 0 && sample <= last) continue;
    const float *end = sample < 0 ? buffers.even + (kReach - first) * channels : buffers.odd + (last - first + kReach) * channels;
    for (int64_t i = 0; i < channels; i++) buffers.even[row * channels + i] = buffers.odd[row * channels + i] = end[i];
  }
  const float *even = buffers.even + channels, *odd = buffers.odd, *down = layer.down;
  for (int64_t row = 0; row < count; row++) {
    float *to = y + (first + row) * layer.channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; i++) {
      float sum = 0;
#pragma GCC unroll 6
      for (int64_t t = 0; t < kHalfTaps; t++) {
        const int64_t at = (row + t) * channels + i;
        sum += down[2 * t + 1] * even[at] + down[2 * t] * odd[at];
      }
      to[i] = sum;
    }
  }
}

// x [B, N, C], the taps [12] of both filters, frequency [C], gain [C] → [B, N, C]
void AntiAliasedSnake(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  KernelCall::Expect(shape.size() == 3, "the signal does not have three axes");
  const int64_t clips = shape[0], samples = shape[1], channels = shape[2];
  const float *x = call.Input<float>(0);
  const SnakeLayer layer{samples,
                         channels,
                         call.Input<float>(1, {kTaps}),
                         call.Input<float>(2, {kTaps}),
                         call.Input<float>(3, {channels}),
                         call.Input<float>(4, {channels})};
  float *y = call.Output<float>(0, shape);
  const int64_t sample_blocks = CeilDiv(samples, kBlockSamples), channel_blocks = CeilDiv(channels, kBlockChannels);
  ParallelFor(clips * sample_blocks * channel_blocks, kChunkElements, LOOP(begin, end) {
    for (int64_t block = begin; block < end; block++) {
      const int64_t clip = block / channel_blocks / sample_blocks;
      const int64_t first = block / channel_blocks % sample_blocks * kBlockSamples;
      const int64_t first_channel = block % channel_blocks * kBlockChannels, at = clip * samples * channels + first_channel;
      ActivateBlock(layer, x + at, first, std::min(kBlockSamples, samples - first), first_channel,
                    std::min(kBlockChannels, channels - first_channel), y + at);
    }
  });
}

// x [B, H, W, C], kernel [h, w, C, D], at most one bias [D], at most one residual → the convolution of x, padded with zeros, plus bias and residual,
// [B, H', W', D]. The sizes are the dilation and the zeros before H, after H, before W and after W.
void PaddedConvolution(KernelCall &call) {
  const Shape x = call.ShapeOf(0), kernel = call.ShapeOf(1);
  const std::vector<int64_t> &sizes = call.sizes();
  KernelCall::Expect(x.size() == 4 && kernel.size() == 4 && x[3] == kernel[2] && sizes.size() == 5 && kernel[0] > 0 &&
                         kernel[1] > 0 && kernel[2] > 0,
                     "the shapes of the inputs do not fit");
  for (int64_t size : sizes) KernelCall::Expect(size >= 0 && size < int64_t{1} << 31, "a size is out of range");
  Convolution of{x[0], x[1], x[2], x[3], kernel[3], kernel[0], kernel[1], sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
  const Shape result{of.batch, of.OutputHeight(), of.OutputWidth(), of.outputs};
  KernelCall::Expect(of.dilation > 0 && of.OutputHeight() > 0 && of.OutputWidth() > 0,
                     "the kernel does not fit into the input");
  const bool has_bias = call.InputCount() > 2 && call.ShapeOf(2).size() == 1;
  const int residual = has_bias ? 3 : 2;
  of.x = call.Input<float>(0);
  of.kernel = call.Input<float>(1);
  if (has_bias) of.bias = call.Input<float>(2, {of.outputs});
  if (call.InputCount() > residual) of.residual = call.Input<float>(residual, result);
  of.y = call.Output<float>(0, result);
  if (ElementCount(result) > 0) Convolve(of);
}

}  // namespace

const std::vector<FusedOp> &AudioOps() {
  static const std::vector<FusedOp> ops = {
      {"LtxNormSilu", {"x: T"}, {"y: T"}, {}, nullptr, Compute<NormSilu>},
      {"LtxAntiAliasedSnake",
       {"x: T", "up: float", "down: float", "frequency: float", "gain: float"},
       {"y: T"},
       {},
       nullptr,
       Compute<AntiAliasedSnake>},
      {"LtxConvolution",
       {"x: T", "kernel: T", "bias: bias_count * float", "residual: residual_count * float"},
       {"y: T"},
       {"bias_count: int >= 0", "residual_count: int >= 0"},
       nullptr,
       CanConvolveFloat32() ? Compute<PaddedConvolution> : nullptr,
       OpParameter::kSizes},
  };
  return ops;
}

}  // namespace tfnodejs
