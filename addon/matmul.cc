#include "matmul.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "parallel_for.h"
#include "processor.h"

#if defined(__x86_64__) && defined(__linux__) && __has_include(<amxbf16intrin.h>)
#define HAS_BFLOAT16_PRODUCTS 1
#include <immintrin.h>
#endif

namespace tfnodejs {

#ifdef HAS_BFLOAT16_PRODUCTS

namespace {

// Operands are packed into tiles of 16 rows of 64 bytes, as AMX takes them. Every row of a left tile has 32 values along the depth. Every row of a right
// tile has 16 columns of two values along the depth. Missing values are zeros.
//
// A block of the result has 32 × 32 values: two left tiles times two right tiles. A *strip* is 32 rows of the left operand or 32 columns of the right one.
constexpr int64_t kTile = 16, kTileDepth = 32, kTileBytes = 1024;
constexpr int64_t kStrip = 2 * kTile, kBlock = kStrip * kStrip;
constexpr int64_t kStripTileBytes = 2 * kTileBytes;

// Tiles along the depth whose strips of both operands fit into the first-level cache.
constexpr int64_t kTilesPerPass = 8;

// Strips of one operand that a thread multiplies by all strips of the other. More of them use the caches better, but keep fewer cores busy.
int64_t StripsPerTask(int64_t strips) {
  constexpr int64_t kFewest = 4, kMost = 16, kTasksPerCore = 2;
  return std::clamp(strips / (kTasksPerCore * CoreCount()), kFewest, kMost);
}

#define VECTOR_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define TILE_TARGET __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw")))

constexpr int64_t CeilDiv(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Memory of the thread, aligned for vectors. Its content is lost at the next request for the same use.
enum class BufferUse { kResident, kStreamed, kSums };

uint8_t *Buffer(BufferUse use, int64_t bytes) {
  struct Aligned {
    void *data = nullptr;
    int64_t bytes = 0;
    ~Aligned() { std::free(data); }
  };
  static thread_local Aligned buffers[3];
  Aligned &buffer = buffers[static_cast<int>(use)];
  if (buffer.bytes < bytes) {
    std::free(buffer.data);
    buffer.bytes = CeilDiv(bytes, 4096) * 4096;
    buffer.data = std::aligned_alloc(4096, buffer.bytes);
    if (buffer.data == nullptr) throw std::bad_alloc();
  }
  return static_cast<uint8_t *>(buffer.data);
}

// Transposes 16 × 16 values of 32 bits.
VECTOR_TARGET inline void Transpose(__m512i v[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// One operand, seen along its rows (left) or its columns (right): x counts those, k counts along the depth.
struct Operand {
  const Bfloat16 *data;
  int64_t stride, size, depth;
  // Whether the values along the depth are neighbours in memory; else those along x are.
  bool is_contiguous;
};

Operand LeftOperand(const MatrixView &a, int64_t rows, int64_t depth) {
  return {a.data, a.stride, rows, depth, !a.transposed};
}

Operand RightOperand(const MatrixView &b, int64_t columns, int64_t depth) {
  return {b.data, b.stride, columns, depth, b.transposed};
}

// The mask of the first `count` of 32 values.
VECTOR_TARGET inline __mmask32 FirstOf(int64_t count) {
  return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<int64_t>(0, count)) - 1;
}

// Loads values x … x + 15 at depths k … k + 31 as pairs along the depth, one row per x.
VECTOR_TARGET inline void LoadAlongDepth(const Operand &from, int64_t x, int64_t k, __m512i v[16]) {
  const __mmask32 mask = FirstOf(from.depth - k);
  for (int64_t i = 0; i < 16; i++)
    v[i] = x + i < from.size ? _mm512_maskz_loadu_epi16(mask, from.data + (x + i) * from.stride + k)
                             : _mm512_setzero_si512();
}

// Loads values x … x + 31 at depths k … k + 31 as pairs along the depth, one row per pair: the first 16 values, then the others.
VECTOR_TARGET inline void LoadAcrossDepth(const Operand &from, int64_t x, int64_t k, __m512i v[2][16]) {
  alignas(64) static constexpr uint16_t kFirst[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i first = _mm512_load_si512(kFirst), second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  const __mmask32 mask = FirstOf(from.size - x);
  for (int64_t i = 0; i < 16; i++) {
    const int64_t at = k + 2 * i;
    const Bfloat16 *row = from.data + at * from.stride + x;
    const __m512i even = at < from.depth ? _mm512_maskz_loadu_epi16(mask, row) : _mm512_setzero_si512();
    const __m512i odd =
        at + 1 < from.depth ? _mm512_maskz_loadu_epi16(mask, row + from.stride) : _mm512_setzero_si512();
    v[0][i] = _mm512_permutex2var_epi16(even, first, odd);
    v[1][i] = _mm512_permutex2var_epi16(even, second, odd);
  }
}

VECTOR_TARGET inline void StoreTile(const __m512i v[16], uint8_t *to) {
  for (int64_t i = 0; i < 16; i++) _mm512_store_si512(to + 64 * i, v[i]);
}

// Packs 32 depths of one strip: two tiles.
template <bool kIsLeft>
VECTOR_TARGET inline void PackTiles(const Operand &from, int64_t strip, int64_t tile, uint8_t *to) {
  const int64_t x = strip * kStrip, k = tile * kTileDepth;
  if (from.is_contiguous) {
    for (int64_t half = 0; half < 2; half++) {
      __m512i v[16];
      LoadAlongDepth(from, x + half * kTile, k, v);
      if (!kIsLeft) Transpose(v);
      StoreTile(v, to + half * kTileBytes);
    }
  } else {
    __m512i v[2][16];
    LoadAcrossDepth(from, x, k, v);
    for (int64_t half = 0; half < 2; half++) {
      if (kIsLeft) Transpose(v[half]);
      StoreTile(v[half], to + half * kTileBytes);
    }
  }
}

// Packs strips between two depths. `bytes` is the distance between packed strips. Neighbours in memory are read one after another.
template <bool kIsLeft>
VECTOR_TARGET void PackStrips(const Operand &from, int64_t first_strip, int64_t strips, int64_t first_tile,
                              int64_t tiles, int64_t bytes, uint8_t *to) {
  for (int64_t i = 0; i < strips * tiles; i++) {
    const int64_t strip = from.is_contiguous ? i / tiles : i % strips;
    const int64_t tile = from.is_contiguous ? i % tiles : i / strips;
    PackTiles<kIsLeft>(from, first_strip + strip, first_tile + tile, to + strip * bytes + tile * kStripTileBytes);
  }
}

// Adds left strip · right strip to 32 × 32 sums.
using MultiplyBlock = void (*)(const uint8_t *left, const uint8_t *right, int64_t tiles, float *sums, bool is_first);

TILE_TARGET void MultiplyBlockAmx(const uint8_t *left, const uint8_t *right, int64_t tiles, float *sums,
                                  bool is_first) {
  constexpr int64_t sum_stride = kStrip * sizeof(float);
  float *lower = sums + kTile * kStrip;
  if (is_first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, sum_stride);
    _tile_loadd(1, sums + kTile, sum_stride);
    _tile_loadd(2, lower, sum_stride);
    _tile_loadd(3, lower + kTile, sum_stride);
  }
  for (int64_t tile = 0; tile < tiles; tile++, left += kStripTileBytes, right += kStripTileBytes) {
    _tile_loadd(4, left, 64);
    _tile_loadd(6, right, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + kTileBytes, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + kTileBytes, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, sum_stride);
  _tile_stored(1, sums + kTile, sum_stride);
  _tile_stored(2, lower, sum_stride);
  _tile_stored(3, lower + kTile, sum_stride);
}

// 8 rows × 32 columns at a time: 16 accumulators.
VECTOR_TARGET void MultiplyBlockAvx512(const uint8_t *left, const uint8_t *right, int64_t tiles, float *sums,
                                       bool is_first) {
  constexpr int kRows = 8;
  for (int64_t row = 0; row < kStrip; row += kRows) {
    const uint8_t *rows = left + row / kTile * kTileBytes + row % kTile * 64;
    float *to = sums + row * kStrip;
    __m512 sum[kRows][2];
    for (int i = 0; i < kRows; i++)
      for (int half = 0; half < 2; half++)
        sum[i][half] = is_first ? _mm512_setzero_ps() : _mm512_load_ps(to + i * kStrip + half * kTile);
    for (int64_t tile = 0; tile < tiles; tile++) {
      const uint8_t *a = rows + tile * kStripTileBytes, *b = right + tile * kStripTileBytes;
      for (int pair = 0; pair < 16; pair++) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(b + 64 * pair);
        const __m512bh b1 = (__m512bh)_mm512_load_si512(b + kTileBytes + 64 * pair);
        for (int i = 0; i < kRows; i++) {
          int values;
          std::memcpy(&values, a + 64 * i + 4 * pair, sizeof(values));
          const __m512bh both = (__m512bh)_mm512_set1_epi32(values);
          sum[i][0] = _mm512_dpbf16_ps(sum[i][0], both, b0);
          sum[i][1] = _mm512_dpbf16_ps(sum[i][1], both, b1);
        }
      }
    }
    for (int i = 0; i < kRows; i++)
      for (int half = 0; half < 2; half++) _mm512_store_ps(to + i * kStrip + half * kTile, sum[i][half]);
  }
}

// Rounds to nearest, ties to even. NaN stays NaN.
VECTOR_TARGET inline __m256i RoundToBfloat16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __m512i result = _mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7fc00000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(result, 16));
}

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
    plan.left.push_back(LeftOperand(a, plan.rows, product.depth));
    plan.right.push_back(RightOperand(b, plan.columns, product.depth));
    plan.tiles.push_back(CeilDiv(product.depth, kTileDepth));
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
    if (plan.StreamsLeft()) PackStrips<false>(plan.right[i], strip, 1, 0, plan.tiles[i], 0, to);
    else PackStrips<true>(plan.left[i], strip, 1, 0, plan.tiles[i], 0, to);
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
void MultiplyStrips(const Plan &plan, int64_t first_strip, int64_t strips, const uint8_t *resident,
                    MultiplyBlock multiply) {
  const bool streams_left = plan.StreamsLeft();
  uint8_t *streamed = Buffer(BufferUse::kStreamed, strips * kTilesPerPass * kStripTileBytes);
  float *sums = reinterpret_cast<float *>(
      Buffer(BufferUse::kSums, strips * plan.ResidentStrips() * kBlock * static_cast<int64_t>(sizeof(float))));
  int64_t before = 0;  // tiles along the depth that were multiplied already
  for (size_t i = 0; i < plan.tiles.size(); i++) {
    for (int64_t tile = 0; tile < plan.tiles[i]; tile += kTilesPerPass) {
      const int64_t tiles = std::min(kTilesPerPass, plan.tiles[i] - tile), bytes = tiles * kStripTileBytes;
      if (streams_left) PackStrips<true>(plan.left[i], first_strip, strips, tile, tiles, bytes, streamed);
      else PackStrips<false>(plan.right[i], first_strip, strips, tile, tiles, bytes, streamed);
      const bool is_first = before == 0, is_last = before + tiles == plan.total_tiles;
      for (int64_t other = 0; other < plan.ResidentStrips(); other++) {
        const uint8_t *fixed = resident + other * plan.ResidentStripBytes() + before * kStripTileBytes;
        for (int64_t strip = 0; strip < strips; strip++) {
          const uint8_t *moving = streamed + strip * bytes;
          float *block = sums + (other * strips + strip) * kBlock;
          multiply(streams_left ? moving : fixed, streams_left ? fixed : moving, tiles, block, is_first);
          if (!is_last) continue;
          if (streams_left) WriteBlock(plan, first_strip + strip, other, block);
          else WriteBlock(plan, other, first_strip + strip, block);
        }
      }
      before += tiles;
    }
  }
}

struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// All eight tiles have 16 rows of 64 bytes. A global, because GCC assumes that the instruction reads only its first bytes.
const TileConfiguration kFullTiles;

// The thread keeps its tiles until they are released.
TILE_TARGET void ConfigureTiles() { _tile_loadconfig(&kFullTiles); }

TILE_TARGET void ReleaseTiles() { _tile_release(); }

void MultiplyTask(const Plan &plan, int64_t first, int64_t strips, const uint8_t *resident) {
  if (AvailableInstructions() < Instructions::kAmx)
    return MultiplyStrips(plan, first, strips, resident, MultiplyBlockAvx512);
  ConfigureTiles();
  MultiplyStrips(plan, first, strips, resident, MultiplyBlockAmx);
  ReleaseTiles();
}

uint8_t *ResidentBuffer(const Plan &plan) {
  return Buffer(BufferUse::kResident, plan.ResidentStrips() * plan.ResidentStripBytes());
}

void ComputeOnOneCore(const Plan &plan) {
  uint8_t *resident = ResidentBuffer(plan);
  for (int64_t strip = 0; strip < plan.ResidentStrips(); strip++) PackResidentStrip(plan, strip, resident);
  constexpr int64_t per_task = 16;
  for (int64_t strip = 0; strip < plan.StreamedStrips(); strip += per_task)
    MultiplyTask(plan, strip, std::min(per_task, plan.StreamedStrips() - strip), resident);
}

// The first chunks pack the resident operand. The others wait until all of it is packed; chunks begin in their order, so none waits for one that has not
// begun.
void ComputeOnAllCores(const Plan &plan) {
  uint8_t *resident = ResidentBuffer(plan);
  const int64_t packing = plan.ResidentStrips(), strips = plan.StreamedStrips(), per_task = StripsPerTask(strips);
  std::atomic<int64_t> packed{0};
  RunChunks(packing + CeilDiv(strips, per_task), [&](int64_t chunk) {
    if (chunk < packing) {
      PackResidentStrip(plan, chunk, resident);
      packed.fetch_add(1, std::memory_order_release);
      return;
    }
    while (packed.load(std::memory_order_acquire) < packing) std::this_thread::yield();
    const int64_t first = (chunk - packing) * per_task;
    MultiplyTask(plan, first, std::min(per_task, strips - first), resident);
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
