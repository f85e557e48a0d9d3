#include "matmul.h"

#include <cstdlib>

#include "parallel_for.h"
#include "processor.h"
#include "tiles.h"

namespace tfnodejs {

#ifdef HAS_BFLOAT16_PRODUCTS

namespace {

// Tiles along the depth whose strips of both operands fit into the first-level cache.
constexpr int64_t kTilesPerPass = 8;

// Strips of one operand that a thread multiplies by all strips of the other. More of them use the caches better, but keep fewer cores busy.
int64_t StripsPerTask(int64_t strips) {
  constexpr int64_t kFewest = 4, kMost = 16, kTasksPerCore = 2;
  return std::clamp(strips / (kTasksPerCore * CoreCount()), kFewest, kMost);
}

enum BufferNumber { kResident, kStreamed, kSums };

// A sum of products whose operands may have changed places: then it is the transpose of what was asked for.
struct Plan {
  int64_t rows, columns;  // of the left operands, of the right operands
  std::vector<Operand> left, right;
  std::vector<int64_t> tiles;  // of each product along the depth
  int64_t total_tiles = 0;
  const float *row_bias, *column_bias;
  Bfloat16 *bfloat16;
  float *float32;
  bool is_transposed;

  // The smaller operand is packed as a whole first. The other one is packed while it is multiplied.
  bool StreamsLeft() const { return rows >= columns; }
  int64_t StreamedStrips() const { return CeilDiv(std::max(rows, columns), kStrip); }
  int64_t ResidentStrips() const { return CeilDiv(std::min(rows, columns), kStrip); }
  int64_t ResidentStripBytes() const { return total_tiles * kStripTileBytes; }
};

// About how many cycles it takes to pack 32 values.
int64_t PackingCost(const Operand &operand, bool is_left) {
  const int64_t cycles = is_left ? (operand.is_contiguous ? 2 : 7) : (operand.is_contiguous ? 6 : 3);
  return cycles * operand.size * operand.depth;
}

Plan PlanFor(const ProductSum &sum, bool swap) {
  Plan plan{};
  plan.is_transposed = swap;
  plan.rows = swap ? sum.columns : sum.rows;
  plan.columns = swap ? sum.rows : sum.columns;
  plan.row_bias = swap ? sum.column_bias : sum.row_bias;
  plan.column_bias = swap ? sum.row_bias : sum.column_bias;
  plan.bfloat16 = sum.bfloat16;
  plan.float32 = sum.float32;
  for (const Product &product : sum.products) {
    const MatrixView a = swap ? product.b.Transposed() : product.a, b = swap ? product.a.Transposed() : product.b;
    plan.left.push_back({a.data, a.stride, plan.rows, product.depth, !a.transposed, a.is_float32});
    plan.right.push_back({b.data, b.stride, plan.columns, product.depth, b.transposed, b.is_float32});
    plan.tiles.push_back(std::max<int64_t>(1, CeilDiv(product.depth, kTileDepth)));  // without depth, a tile of zeros
    plan.total_tiles += plan.tiles.back();
  }
  return plan;
}

int64_t CostOf(const Plan &plan) {
  int64_t cost = plan.is_transposed ? 4 * plan.rows * plan.columns : 0;
  for (const Operand &left : plan.left) cost += PackingCost(left, true);
  for (const Operand &right : plan.right) cost += PackingCost(right, false);
  return cost;
}

Plan BestPlan(const ProductSum &sum) {
  Plan plain = PlanFor(sum, false), swapped = PlanFor(sum, true);
  return CostOf(swapped) < CostOf(plain) ? swapped : plain;
}

void PackResidentStrip(const Plan &plan, int64_t strip, uint8_t *resident) {
  uint8_t *to = resident + strip * plan.ResidentStripBytes();
  for (size_t i = 0; i < plan.tiles.size(); i++) {
    if (plan.StreamsLeft()) PackRight(plan.right[i], strip, 1, 0, plan.tiles[i], 0, to);
    else PackLeft(plan.left[i], strip, 1, 0, plan.tiles[i], 0, to);
    to += plan.tiles[i] * kStripTileBytes;
  }
}

// Adds the bias to a block and writes it to the result.
VECTOR_TARGET void WriteBlock(const Plan &plan, int64_t row_strip, int64_t column_strip, const float *sums) {
  const int64_t first_row = row_strip * kStrip, first_column = column_strip * kStrip;
  for (int64_t row = 0; row < kStrip; row += kTile) {
    for (int64_t column = 0; column < kStrip; column += kTile) {
      const int64_t r = first_row + row, c = first_column + column;
      const int64_t rows = std::min(kTile, plan.rows - r), columns = std::min(kTile, plan.columns - c);
      if (rows <= 0 || columns <= 0) continue;
      const __mmask16 column_mask = static_cast<__mmask16>(FirstOf(columns));
      const __m512 column_bias =
          plan.column_bias ? _mm512_maskz_loadu_ps(column_mask, plan.column_bias + c) : _mm512_setzero_ps();
      __m512 values[16];
      for (int64_t i = 0; i < 16; i++) {
        const float row_bias = plan.row_bias && i < rows ? plan.row_bias[r + i] : 0.0f;
        const __m512 bias = _mm512_add_ps(column_bias, _mm512_set1_ps(row_bias));
        values[i] = _mm512_add_ps(_mm512_load_ps(sums + (row + i) * kStrip + column), bias);
      }
      if (plan.is_transposed) Transpose(reinterpret_cast<__m512i *>(values));
      const int64_t lines = plan.is_transposed ? columns : rows;
      const int64_t stride = plan.is_transposed ? plan.rows : plan.columns;
      const int64_t first = plan.is_transposed ? c * stride + r : r * stride + c;
      const __mmask16 mask = static_cast<__mmask16>(FirstOf(plan.is_transposed ? rows : columns));
      for (int64_t i = 0; i < lines; i++) {
        if (plan.float32) _mm512_mask_storeu_ps(plan.float32 + first + i * stride, mask, values[i]);
        else _mm256_mask_storeu_epi16(plan.bfloat16 + first + i * stride, mask, RoundToBfloat16(values[i]));
      }
    }
  }
}

// Multiplies some strips of the streamed operand by all of the resident one, which is packed already.
void MultiplyStrips(const Plan &plan, int64_t first_strip, int64_t strips, const uint8_t *resident) {
  const BlockMultiplier multiply;
  const bool streams_left = plan.StreamsLeft();
  uint8_t *streamed = Buffer(kStreamed, strips * kTilesPerPass * kStripTileBytes);
  float *sums = reinterpret_cast<float *>(
      Buffer(kSums, strips * plan.ResidentStrips() * kBlock * static_cast<int64_t>(sizeof(float))));
  int64_t before = 0;  // tiles along the depth that were multiplied already
  for (size_t i = 0; i < plan.tiles.size(); i++) {
    for (int64_t tile = 0; tile < plan.tiles[i]; tile += kTilesPerPass) {
      const int64_t tiles = std::min(kTilesPerPass, plan.tiles[i] - tile), bytes = tiles * kStripTileBytes;
      if (streams_left) PackLeft(plan.left[i], first_strip, strips, tile, tiles, bytes, streamed);
      else PackRight(plan.right[i], first_strip, strips, tile, tiles, bytes, streamed);
      const bool is_first = before == 0, is_last = before + tiles == plan.total_tiles;
      for (int64_t other = 0; other < plan.ResidentStrips(); other++) {
        const uint8_t *resident_strip = resident + other * plan.ResidentStripBytes() + before * kStripTileBytes;
        for (int64_t strip = 0; strip < strips; strip++) {
          const uint8_t *streamed_strip = streamed + strip * bytes;
          float *block = sums + (other * strips + strip) * kBlock;
          multiply(streams_left ? streamed_strip : resident_strip, streams_left ? resident_strip : streamed_strip, tiles,
                   block, is_first);
          if (!is_last) continue;
          if (streams_left) WriteBlock(plan, first_strip + strip, other, block);
          else WriteBlock(plan, other, first_strip + strip, block);
        }
      }
      before += tiles;
    }
  }
}

uint8_t *ResidentBuffer(const Plan &plan) {
  return Buffer(kResident, plan.ResidentStrips() * plan.ResidentStripBytes());
}

void ComputeOnOneCore(const Plan &plan) {
  uint8_t *resident = ResidentBuffer(plan);
  for (int64_t strip = 0; strip < plan.ResidentStrips(); strip++) PackResidentStrip(plan, strip, resident);
  constexpr int64_t per_task = 16;
  for (int64_t strip = 0; strip < plan.StreamedStrips(); strip += per_task)
    MultiplyStrips(plan, strip, std::min(per_task, plan.StreamedStrips() - strip), resident);
}

void ComputeOnAllCores(const Plan &plan) {
  uint8_t *resident = ResidentBuffer(plan);
  const int64_t strips = plan.StreamedStrips(), per_task = StripsPerTask(strips);
  const auto pack = [&](int64_t strip) { PackResidentStrip(plan, strip, resident); };
  RunPreparedChunks(plan.ResidentStrips(), pack, CeilDiv(strips, per_task), [&](int64_t chunk) {
    const int64_t first = chunk * per_task;
    MultiplyStrips(plan, first, std::min(per_task, strips - first), resident);
  });
}

}  // namespace

bool CanMultiplyBfloat16() { return AvailableInstructions() >= Instructions::kAvx512Bf16; }

void ComputeProductSums(const std::vector<ProductSum> &sums) {
  if (sums.size() == 1) return ComputeOnAllCores(BestPlan(sums[0]));
  RunChunks(static_cast<int64_t>(sums.size()), [&](int64_t i) { ComputeOnOneCore(BestPlan(sums[i])); });
}

#else

bool CanMultiplyBfloat16() { return false; }

void ComputeProductSums(const std::vector<ProductSum> &) { std::abort(); }

#endif

}  // namespace tfnodejs
