// Blocks of bfloat16 products: what matmul.cc and attention.cc have in common. For processors with AVX512_BF16 or AMX.

#ifndef LTX_A2A_TILES_H_
#define LTX_A2A_TILES_H_

#include <algorithm>
#include <cstdint>

#include "vector_math.h"

// GCC since 11 and Clang since 12 have the intrinsics of AMX, in headers of different names.
#if defined(__x86_64__) && defined(__linux__) && (__has_include(<amxbf16intrin.h>) || __has_include(<amxintrin.h>))
#define HAS_BFLOAT16_PRODUCTS 1
#include <immintrin.h>

#define VECTOR_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define TILE_TARGET __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw")))

namespace tfnodejs {

// Operands are packed into tiles of 16 rows of 64 bytes, as AMX takes them. Every row of a left tile has 32 values along the depth. Every row of a right
// tile has 16 columns of two values along the depth. Missing values are zeros.
//
// A block of the result has 32 × 32 values: two left tiles times two right tiles. A *strip* is 32 rows of the left operand or 32 columns of the right one.
constexpr int64_t kTile = 16, kTileDepth = 32, kTileBytes = 1024;
constexpr int64_t kStrip = 2 * kTile, kBlock = kStrip * kStrip;
constexpr int64_t kStripTileBytes = 2 * kTileBytes;
// From one row of 32 sums to the next.
constexpr int64_t kSumBytes = kStrip * sizeof(float);

// Memory of the calling thread, aligned for vectors. There is one for every number; its content is lost at the next request for the same.
uint8_t *Buffer(int number, int64_t bytes);

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

// Pairs of 16-bit values of two rows: v[0] those of the first 16 columns, v[1] those of the others.
VECTOR_TARGET inline void Interleave(__m512i even, __m512i odd, __m512i v[2]) {
  alignas(64) static constexpr uint16_t kFirst[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i first = _mm512_load_si512(kFirst), second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  v[0] = _mm512_permutex2var_epi16(even, first, odd);
  v[1] = _mm512_permutex2var_epi16(even, second, odd);
}

// One operand, seen along its rows (left) or its columns (right): x counts those, k counts along the depth.
struct Operand {
  const void *data;
  int64_t stride, size, depth;
  // Whether the values along the depth are neighbours in memory; else those along x are.
  bool is_contiguous;
  // Whether the values are float32, to be rounded, and not bfloat16.
  bool is_float32 = false;
};

// Packs strips between two depths: for every 32 depths of a strip two tiles. `bytes` is the distance between packed strips.
void PackLeft(const Operand &from, int64_t first_strip, int64_t strips, int64_t first_tile, int64_t tiles,
              int64_t bytes, uint8_t *to);
void PackRight(const Operand &from, int64_t first_strip, int64_t strips, int64_t first_tile, int64_t tiles,
               int64_t bytes, uint8_t *to);

// The mask of the first `count` of 32 values.
VECTOR_TARGET inline __mmask32 FirstOf(int64_t count) {
  return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<int64_t>(0, count)) - 1;
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

// 32 values.
VECTOR_TARGET inline __m512i RoundToBfloat16(__m512 low, __m512 high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(RoundToBfloat16(low)), RoundToBfloat16(high), 1);
}

// Puts 32 × 32 sums into the first four tiles of AMX, or zeros there where `is_first`.
TILE_TARGET inline void LoadSums(const float *sums, bool is_first) {
  if (is_first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  const float *lower = sums + kTile * kStrip;
  _tile_loadd(0, sums, kSumBytes);
  _tile_loadd(1, sums + kTile, kSumBytes);
  _tile_loadd(2, lower, kSumBytes);
  _tile_loadd(3, lower + kTile, kSumBytes);
}

// Writes the first four tiles to 32 × 32 sums.
TILE_TARGET inline void StoreSums(float *sums) {
  float *lower = sums + kTile * kStrip;
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + kTile, kSumBytes);
  _tile_stored(2, lower, kSumBytes);
  _tile_stored(3, lower + kTile, kSumBytes);
}

// Multiplies blocks with the best instructions. While it exists, the thread's tiles belong to it.
class BlockMultiplier {
 public:
  BlockMultiplier();
  ~BlockMultiplier();
  BlockMultiplier(const BlockMultiplier &) = delete;

  // Adds left strip · right strip, both packed, to 32 × 32 sums, or assigns the product to them where `is_first`.
  void operator()(const uint8_t *left, const uint8_t *right, int64_t tiles, float *sums, bool is_first) const {
    multiply_(left, right, tiles, sums, is_first);
  }

 private:
  void (*multiply_)(const uint8_t *left, const uint8_t *right, int64_t tiles, float *sums, bool is_first);
};

}  // namespace tfnodejs

#endif

#endif  // LTX_A2A_TILES_H_
