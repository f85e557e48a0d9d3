#include "convolution.h"

#include <atomic>
#include <cstdlib>
#include <vector>

#include "parallel_for.h"
#include "processor.h"
#include "tiles.h"

namespace tfnodejs {

#ifdef HAS_BFLOAT16_PRODUCTS

namespace {

// A convolution is a product of matrices: a row is a position of the padded input, the depth is a tap and an input channel, a column is an output channel.
// Positions are numbered through all images, with the padding; the input of a tap is the position some numbers later. A result whose taps would reach into
// the next line or image is computed, but not written.
//
// A value of float32 is the sum of three of bfloat16, its *parts*; the first is the value rounded, the others are what is missing. Of the products of parts,
// those are computed that are not below the precision of float32. Kernels of the released models have one part: they are stored in bfloat16.
//
// Operands are kept in *steps* of 32 channels of one tap. In the left operand, a step is the parts of 32 channels of each position, in the right operand it
// is two tiles of each part, for 32 output channels.
constexpr int64_t kMostParts = 3, kPartBytes = kTileDepth * sizeof(Bfloat16), kPositionBytes = kMostParts * kPartBytes;

// Strips of the kernel that the same positions are multiplied by while they are in the first-level cache.
constexpr int64_t kStripsPerPass = 2;

enum BufferNumber { kKernel, kPositions, kSums };

// The first `count` of 32 values, the others are zeros.
struct Values {
  __m512 first, second;
};

VECTOR_TARGET inline Values LoadValues(const float *from, int64_t count) {
  const __mmask32 mask = FirstOf(count);
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from),
          _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16)};
}

// What is missing in values rounded to bfloat16. Nothing where they are infinite or not numbers.
VECTOR_TARGET inline __m512 Remainder(__m512 x, __m256i rounded) {
  constexpr int kInfiniteOrNan = 0x99;
  const __m512 high = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16));
  return _mm512_maskz_sub_ps(_knot_mask16(_mm512_fpclass_ps_mask(high, kInfiniteOrNan)), x, high);
}

// The next part of the values. Takes it away from them.
VECTOR_TARGET inline __m512i TakePart(Values &values) {
  const __m256i first = RoundToBfloat16(values.first), second = RoundToBfloat16(values.second);
  values = {Remainder(values.first, first), Remainder(values.second, second)};
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

VECTOR_TARGET inline bool AreZeros(const Values &values) {
  return _mm512_cmp_ps_mask(values.first, _mm512_setzero_ps(), _CMP_NEQ_UQ) == 0 &&
         _mm512_cmp_ps_mask(values.second, _mm512_setzero_ps(), _CMP_NEQ_UQ) == 0;
}

struct Plan {
  const Convolution &of;
  int64_t kernel_parts, positions, steps_per_tap, strips;
  // How many positions after the first one the last tap reads.
  int64_t reach;
  // How many positions one thread computes at a time, and how many it reads for them.
  int64_t positions_per_task, packed_positions;
  // Where the positions of a step begin, after those of the first.
  std::vector<int64_t> step_offsets;

  Plan(const Convolution &convolution, int64_t parts)
      : of(convolution),
        kernel_parts(parts),
        positions(of.batch * of.PaddedHeight() * of.PaddedWidth()),
        steps_per_tap(CeilDiv(of.inputs, kTileDepth)),
        strips(CeilDiv(of.outputs, kStrip)),
        reach(TapOffset(of.height_taps - 1, of.width_taps - 1)),
        positions_per_task(PositionsPerTask()),
        packed_positions(positions_per_task + reach) {
    for (int64_t row = 0; row < of.height_taps; row++)
      for (int64_t column = 0; column < of.width_taps; column++)
        for (int64_t step = 0; step < steps_per_tap; step++)
          step_offsets.push_back((step * packed_positions + TapOffset(row, column)) * kPositionBytes);
  }

  int64_t TapOffset(int64_t row, int64_t column) const { return (row * of.PaddedWidth() + column) * of.dilation; }
  int64_t Steps() const { return static_cast<int64_t>(step_offsets.size()); }
  int64_t RightStepBytes() const { return kernel_parts * kStripTileBytes; }
  // Steps whose operands fit into the first-level cache.
  int64_t StepsPerPass() const { return kernel_parts == 1 ? 4 : 2; }

 private:
  // About as many as fit into the second-level cache, the same number for every thread.
  int64_t PositionsPerTask() const {
    constexpr int64_t kBytes = 1 << 20, kFewest = 4 * kStrip, kMost = 64 * kStrip;
    const int64_t most = std::clamp(kBytes / (steps_per_tap * kPositionBytes), kFewest, kMost);
    const int64_t rounds = CeilDiv(positions, most * CoreCount());
    return CeilDiv(CeilDiv(positions, rounds * CoreCount()), kStrip) * kStrip;
  }
};

// A position in the padded input.
class Position {
 public:
  Position(const Convolution &convolution, int64_t number)
      : of_(convolution),
        image_(number / of_.PaddedWidth() / of_.PaddedHeight()),
        row_(number / of_.PaddedWidth() % of_.PaddedHeight()),
        column_(number % of_.PaddedWidth()) {}

  void Advance() {
    if (++column_ < of_.PaddedWidth()) return;
    column_ = 0;
    if (++row_ < of_.PaddedHeight()) return;
    row_ = 0;
    image_++;
  }

  // The channels of x here, or null in the padding and after the last image.
  const float *Input() const {
    const int64_t row = row_ - of_.top, column = column_ - of_.left;
    if (image_ >= of_.batch || row < 0 || row >= of_.height || column < 0 || column >= of_.width) return nullptr;
    return of_.x + ((image_ * of_.height + row) * of_.width + column) * of_.inputs;
  }

  // Where the results of this position begin, or -1 where it has none.
  int64_t Output() const {
    if (image_ >= of_.batch || row_ >= of_.OutputHeight() || column_ >= of_.OutputWidth()) return -1;
    return ((image_ * of_.OutputHeight() + row_) * of_.OutputWidth() + column_) * of_.outputs;
  }

 private:
  const Convolution &of_;
  int64_t image_, row_, column_;
};

VECTOR_TARGET void PackPositions(const Plan &plan, int64_t first, int64_t count, uint8_t *to) {
  Position position(plan.of, first);
  for (int64_t i = 0; i < count; i++, position.Advance()) {
    const float *from = position.Input();
    for (int64_t step = 0; step < plan.steps_per_tap; step++) {
      const int64_t channel = step * kTileDepth;
      Values values = from ? LoadValues(from + channel, plan.of.inputs - channel) : Values{};
      uint8_t *parts = to + (step * plan.packed_positions + i) * kPositionBytes;
      for (int64_t part = 0; part < kMostParts; part++) _mm512_store_si512(parts + part * kPartBytes, TakePart(values));
    }
  }
}

// Packs the kernel of 32 output channels. Returns whether its parts are all that there is of it.
VECTOR_TARGET bool PackKernelStrip(const Plan &plan, int64_t strip, uint8_t *to) {
  const Convolution &of = plan.of;
  const int64_t first_output = strip * kStrip;
  bool is_complete = true;
  for (int64_t tap = 0; tap < of.height_taps * of.width_taps; tap++) {
    for (int64_t step = 0; step < plan.steps_per_tap; step++, to += plan.RightStepBytes()) {
      for (int64_t pair = 0; pair < kTile; pair++) {
        Values values[2] = {};  // of two input channels
        for (int64_t i = 0; i < 2; i++) {
          const int64_t input = step * kTileDepth + 2 * pair + i;
          if (input >= of.inputs) continue;
          values[i] = LoadValues(of.kernel + (tap * of.inputs + input) * of.outputs + first_output, of.outputs - first_output);
        }
        for (int64_t part = 0; part < plan.kernel_parts; part++) {
          uint8_t *row = to + part * kStripTileBytes + 64 * pair;
          __m512i tiles[2];
          const __m512i even = TakePart(values[0]);
          Interleave(even, TakePart(values[1]), tiles);
          _mm512_store_si512(row, tiles[0]);
          _mm512_store_si512(row + kTileBytes, tiles[1]);
        }
        is_complete = is_complete && AreZeros(values[0]) && AreZeros(values[1]);
      }
    }
  }
  return is_complete;
}

// Adds the products of some steps to 32 × 32 sums, or assigns them where `is_first`.
TILE_TARGET void MultiplySteps(const Plan &plan, const uint8_t *left, const int64_t *offsets, int64_t steps,
                               const uint8_t *right, float *sums, bool is_first) {
  LoadSums(sums, is_first);
  for (int64_t step = 0; step < steps; step++, right += plan.RightStepBytes()) {
    const uint8_t *upper = left + offsets[step], *below = upper + kTile * kPositionBytes;
    for (int64_t right_part = plan.kernel_parts - 1; right_part >= 0; right_part--) {
      _tile_loadd(6, right + right_part * kStripTileBytes, 64);
      _tile_loadd(7, right + right_part * kStripTileBytes + kTileBytes, 64);
      for (int64_t part = kMostParts - 1 - right_part; part >= 0; part--) {
        _tile_loadd(4, upper + part * kPartBytes, kPositionBytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, below + part * kPartBytes, kPositionBytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  StoreSums(sums);
}

// Adds bias and residual to a block, and writes it to where the results of its positions begin.
VECTOR_TARGET void WriteBlock(const Convolution &of, const int64_t *outputs, int64_t strip, const float *sums) {
  const int64_t first_output = strip * kStrip;
  const __mmask32 mask = FirstOf(of.outputs - first_output);
  for (int64_t i = 0; i < kStrip; i++) {
    const int64_t at = outputs[i];
    if (at < 0) continue;
    for (int64_t half = 0; half < 2; half++) {
      const int64_t column = first_output + half * kTile;
      const __mmask16 columns = static_cast<__mmask16>(mask >> (half * kTile));
      __m512 values = _mm512_load_ps(sums + i * kStrip + half * kTile);
      if (of.bias) values = _mm512_add_ps(values, _mm512_maskz_loadu_ps(columns, of.bias + column));
      if (of.residual) values = _mm512_add_ps(values, _mm512_maskz_loadu_ps(columns, of.residual + at + column));
      _mm512_mask_storeu_ps(of.y + at + column, columns, values);
    }
  }
}

std::vector<int64_t> OutputsOf(const Convolution &convolution, int64_t first, int64_t count) {
  std::vector<int64_t> outputs(count);
  Position position(convolution, first);
  for (int64_t &output : outputs) {
    output = position.Output();
    position.Advance();
  }
  return outputs;
}

// Computes some positions of a task. The strips of the kernel are taken a few at a time.
void ConvolvePositions(const Plan &plan, int64_t first, int64_t count, const uint8_t *kernel) {
  const BlockMultiplier owns_tiles;
  const int64_t blocks = CeilDiv(count, kStrip);
  uint8_t *positions = Buffer(kPositions, plan.steps_per_tap * plan.packed_positions * kPositionBytes);
  float *sums = reinterpret_cast<float *>(Buffer(kSums, kStripsPerPass * blocks * kBlock * static_cast<int64_t>(sizeof(float))));
  PackPositions(plan, first, blocks * kStrip + plan.reach, positions);
  const std::vector<int64_t> outputs = OutputsOf(plan.of, first, blocks * kStrip);
  for (int64_t strip = 0; strip < plan.strips; strip += kStripsPerPass) {
    const int64_t strips = std::min(kStripsPerPass, plan.strips - strip);
    for (int64_t step = 0; step < plan.Steps(); step += plan.StepsPerPass()) {
      const int64_t steps = std::min(plan.StepsPerPass(), plan.Steps() - step);
      const bool is_last = step + steps == plan.Steps();
      for (int64_t block = 0; block < blocks; block++) {
        const uint8_t *left = positions + block * kStrip * kPositionBytes;
        for (int64_t i = 0; i < strips; i++) {
          const uint8_t *right = kernel + ((strip + i) * plan.Steps() + step) * plan.RightStepBytes();
          float *to = sums + (block * kStripsPerPass + i) * kBlock;
          MultiplySteps(plan, left, &plan.step_offsets[step], steps, right, to, step == 0);
          if (is_last) WriteBlock(plan.of, &outputs[block * kStrip], strip + i, to);
        }
      }
    }
  }
}

// Computes the convolution with some parts of its kernel. Returns false, without a result, if the kernel has more of them.
bool ConvolveParts(const Convolution &convolution, int64_t kernel_parts) {
  const Plan plan(convolution, kernel_parts);
  const int64_t strip_bytes = plan.Steps() * plan.RightStepBytes(), per_task = plan.positions_per_task;
  uint8_t *kernel = Buffer(kKernel, plan.strips * strip_bytes);
  std::atomic<bool> is_complete{true};
  const auto pack = [&](int64_t strip) {
    if (!PackKernelStrip(plan, strip, kernel + strip * strip_bytes)) is_complete = false;
  };
  RunPreparedChunks(plan.strips, pack, CeilDiv(plan.positions, per_task), [&](int64_t chunk) {
    if (kernel_parts < kMostParts && !is_complete) return;
    const int64_t first = chunk * per_task;
    ConvolvePositions(plan, first, std::min(per_task, plan.positions - first), kernel);
  });
  return kernel_parts == kMostParts || is_complete;
}

}  // namespace

bool CanConvolveFloat32() { return AvailableInstructions() >= Instructions::kAmx; }

void Convolve(const Convolution &convolution) {
  if (!ConvolveParts(convolution, 1)) ConvolveParts(convolution, kMostParts);
}

#else

bool CanConvolveFloat32() { return false; }

void Convolve(const Convolution &) { std::abort(); }

#endif

}  // namespace tfnodejs
