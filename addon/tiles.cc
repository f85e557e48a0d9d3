#include "tiles.h"

#ifdef HAS_BFLOAT16_PRODUCTS

#include <cstdlib>
#include <new>

namespace tfnodejs {
namespace {

// Loads the values of the mask from 32 neighbours, as bfloat16; the others are zeros.
template <bool kIsFloat32>
VECTOR_TARGET inline __m512i LoadRow(const Operand &from, int64_t index, __mmask32 mask) {
  if (!kIsFloat32) return _mm512_maskz_loadu_epi16(mask, static_cast<const Bfloat16 *>(from.data) + index);
  const float *first = static_cast<const float *>(from.data) + index;
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), first);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), first + 16);
  return RoundToBfloat16(low, high);
}

// Loads values x … x + 15 at depths k … k + 31 as pairs along the depth, one row per x.
template <bool kIsFloat32>
VECTOR_TARGET inline void LoadAlongDepth(const Operand &from, int64_t x, int64_t k, __m512i v[16]) {
  const __mmask32 mask = FirstOf(from.depth - k);
  for (int64_t i = 0; i < 16; i++)
    v[i] = x + i < from.size ? LoadRow<kIsFloat32>(from, (x + i) * from.stride + k, mask) : _mm512_setzero_si512();
}

// Loads values x … x + 31 at depths k … k + 31 as pairs along the depth, one row per pair: the first 16 values, then the others.
template <bool kIsFloat32>
VECTOR_TARGET inline void LoadAcrossDepth(const Operand &from, int64_t x, int64_t k, __m512i v[2][16]) {
  const __mmask32 mask = FirstOf(from.size - x);
  for (int64_t i = 0; i < 16; i++) {
    const int64_t at = k + 2 * i, index = at * from.stride + x;
    const __m512i even = at < from.depth ? LoadRow<kIsFloat32>(from, index, mask) : _mm512_setzero_si512();
    const __m512i odd = at + 1 < from.depth ? LoadRow<kIsFloat32>(from, index + from.stride, mask) : _mm512_setzero_si512();
    __m512i pairs[2];
    Interleave(even, odd, pairs);
    v[0][i] = pairs[0];
    v[1][i] = pairs[1];
  }
}

VECTOR_TARGET inline void StoreTile(const __m512i v[16], uint8_t *to) {
  for (int64_t i = 0; i < 16; i++) _mm512_store_si512(to + 64 * i, v[i]);
}

// Packs 32 depths of one strip: two tiles.
template <bool kIsLeft, bool kIsFloat32>
VECTOR_TARGET inline void PackTiles(const Operand &from, int64_t strip, int64_t tile, uint8_t *to) {
  const int64_t x = strip * kStrip, k = tile * kTileDepth;
  if (from.is_contiguous) {
    for (int64_t half = 0; half < 2; half++) {
      __m512i v[16];
      LoadAlongDepth<kIsFloat32>(from, x + half * kTile, k, v);
      if (!kIsLeft) Transpose(v);
      StoreTile(v, to + half * kTileBytes);
    }
  } else {
    __m512i v[2][16];
    LoadAcrossDepth<kIsFloat32>(from, x, k, v);
    for (int64_t half = 0; half < 2; half++) {
      if (kIsLeft) Transpose(v[half]);
      StoreTile(v[half], to + half * kTileBytes);
    }
  }
}

// Packs strips between two depths. `bytes` is the distance between packed strips. Neighbours in memory are read one after another.
template <bool kIsLeft, bool kIsFloat32>
VECTOR_TARGET void PackStrips(const Operand &from, int64_t first_strip, int64_t strips, int64_t first_tile,
                              int64_t tiles, int64_t bytes, uint8_t *to) {
  for (int64_t i = 0; i < strips * tiles; i++) {
    const int64_t strip = from.is_contiguous ? i / tiles : i % strips;
    const int64_t tile = from.is_contiguous ? i % tiles : i / strips;
    PackTiles<kIsLeft, kIsFloat32>(from, first_strip + strip, first_tile + tile, to + strip * bytes + tile * kStripTileBytes);
  }
}

TILE_TARGET void MultiplyBlockAmx(const uint8_t *left, const uint8_t *right, int64_t tiles, float *sums,
                                  bool is_first) {
  LoadSums(sums, is_first);
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
  StoreSums(sums);
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

}  // namespace

uint8_t *Buffer(int number, int64_t bytes) {
  struct Aligned {
    void *data = nullptr;
    int64_t bytes = 0;
    ~Aligned() { std::free(data); }
  };
  static thread_local Aligned buffers[8];
  Aligned &buffer = buffers[number];
  if (buffer.bytes < bytes) {
    std::free(buffer.data);
    buffer.bytes = 0;
    buffer.data = std::aligned_alloc(4096, CeilDiv(bytes, 4096) * 4096);
    if (buffer.data == nullptr) throw std::bad_alloc();
    buffer.bytes = CeilDiv(bytes, 4096) * 4096;
  }
  return static_cast<uint8_t *>(buffer.data);
}

void PackLeft(const Operand &from, int64_t first_strip, int64_t strips, int64_t first_tile, int64_t tiles,
              int64_t bytes, uint8_t *to) {
  const auto pack = from.is_float32 ? PackStrips<true, true> : PackStrips<true, false>;
  pack(from, first_strip, strips, first_tile, tiles, bytes, to);
}

void PackRight(const Operand &from, int64_t first_strip, int64_t strips, int64_t first_tile, int64_t tiles,
               int64_t bytes, uint8_t *to) {
  const auto pack = from.is_float32 ? PackStrips<false, true> : PackStrips<false, false>;
  pack(from, first_strip, strips, first_tile, tiles, bytes, to);
}

BlockMultiplier::BlockMultiplier() : multiply_(MultiplyBlockAvx512) {
  if (AvailableInstructions() < Instructions::kAmx) return;
  ConfigureTiles();
  multiply_ = MultiplyBlockAmx;
}

BlockMultiplier::~BlockMultiplier() {
  if (AvailableInstructions() >= Instructions::kAmx) ReleaseTiles();
}

}  // namespace tfnodejs

#endif
