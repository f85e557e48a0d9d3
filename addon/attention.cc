#include "attention.h"

#include <cmath>
#include <cstdlib>

#include "parallel_for.h"
#include "tiles.h"

namespace tfnodejs {

#ifdef HAS_BFLOAT16_PRODUCTS

namespace {

enum BufferNumber { kKeys, kValues, kKeysByDim, kQueries, kScores, kWeights, kSumsOfQueries, kSumsOfKeys };

// Strips of queries whose probabilities are kept at the same time for the gradients of keys and values.
constexpr int64_t kStripsPerGroup = 8;

float *FloatBuffer(int number, int64_t count) {
  return reinterpret_cast<float *>(Buffer(number, count * static_cast<int64_t>(sizeof(float))));
}

// One head. A strip is 32 queries, 32 keys or 32 features; a strip of features or keys along the depth is one tile.
struct Head {
  int64_t head_dim, queries, keys;
  const Bfloat16 *query, *key, *value, *dy;
  const float *log_sums, *sums;

  int64_t DimStrips() const { return CeilDiv(head_dim, kStrip); }
  int64_t QueryStrips() const { return CeilDiv(queries, kStrip); }
  int64_t KeyStrips() const { return CeilDiv(keys, kStrip); }

  // [d, tokens], seen along its tokens, with the features as the depth, or the other way round.
  static Operand ByToken(const Bfloat16 *x, int64_t tokens, int64_t dim) { return {x, tokens, tokens, dim, false}; }
  static Operand ByDim(const Bfloat16 *x, int64_t tokens, int64_t dim) { return {x, tokens, dim, tokens, true}; }
};

Head HeadOf(const AttentionInputs &inputs, int64_t head) {
  const auto [heads, head_dim, queries, keys] = inputs.size;
  return {head_dim, queries, keys, inputs.query + head * head_dim * queries, inputs.key + head * head_dim * keys,
          inputs.value + head * head_dim * keys, nullptr, nullptr, nullptr};
}

// Packs keys or values, [d, S], as right operands with the features as the depth.
uint8_t *PackKeys(const Head &head, const Bfloat16 *x, int number) {
  const int64_t bytes = head.DimStrips() * kStripTileBytes;
  uint8_t *packed = Buffer(number, head.KeyStrips() * bytes);
  PackRight(Head::ByToken(x, head.keys, head.head_dim), 0, head.KeyStrips(), 0, head.DimStrips(), bytes, packed);
  return packed;
}

// Packs keys or values, [d, S], as right operands with the keys as the depth.
uint8_t *PackKeysByDim(const Head &head, const Bfloat16 *x, int number) {
  const int64_t bytes = head.KeyStrips() * kStripTileBytes;
  uint8_t *packed = Buffer(number, head.DimStrips() * bytes);
  PackRight(Head::ByDim(x, head.keys, head.head_dim), 0, head.DimStrips(), 0, head.KeyStrips(), bytes, packed);
  return packed;
}

// The place of a row of 32 values in a left tile along the depth.
uint8_t *LeftRow(uint8_t *tile, int64_t row) { return tile + row / kTile * kTileBytes + row % kTile * 64; }

// A row of a block: 32 values.
struct Row {
  __m512 low, high;
};

VECTOR_TARGET inline Row LoadRow(const float *values) { return {_mm512_load_ps(values), _mm512_load_ps(values + kTile)}; }

// As bfloat16.
VECTOR_TARGET inline __m512i Round(const Row &row) { return RoundToBfloat16(row.low, row.high); }

// The row with `otherwise` in place of what is behind `count` values.
VECTOR_TARGET inline Row FirstValues(const Row &row, int64_t count, float otherwise) {
  const __m512 other = _mm512_set1_ps(otherwise);
  return {_mm512_mask_mov_ps(other, static_cast<__mmask16>(FirstOf(count)), row.low),
          _mm512_mask_mov_ps(other, static_cast<__mmask16>(FirstOf(count - kTile)), row.high)};
}

// e^x within 2 units in the last place. NaN stays NaN.
VECTOR_TARGET inline __m512 Exp(__m512 x) {
  const __m512 clamped = _mm512_max_ps(_mm512_set1_ps(-104.0f), x);  // e^-104 is 0; the second operand is the result where one is NaN
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(clamped, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
  const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f),
                                    _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), clamped));
  __m512 p = _mm512_set1_ps(1.0f / 720);
  for (float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(coefficient));
  return _mm512_scalef_ps(p, n);
}

// Turns the scores of 32 queries, in blocks of 32 keys, into e^(score − highest) as left tiles. Returns the highest score and the sum of each row.
VECTOR_TARGET void Exponentials(const float *scores, int64_t rows, int64_t keys, uint8_t *weights, float *highest,
                                float *sums) {
  const int64_t strips = CeilDiv(keys, kStrip);
  for (int64_t row = 0; row < kStrip; row++) {
    if (row >= rows) {  // no query: zeros
      for (int64_t strip = 0; strip < strips; strip++)
        _mm512_store_si512(LeftRow(weights + strip * kStripTileBytes, row), _mm512_setzero_si512());
      continue;
    }
    const auto score_row = [&](int64_t strip) VECTOR_TARGET {
      return FirstValues(LoadRow(scores + strip * kBlock + row * kStrip), keys - strip * kStrip, -INFINITY);
    };
    __m512 most = _mm512_set1_ps(-INFINITY);
    for (int64_t strip = 0; strip < strips; strip++) {
      const Row values = score_row(strip);
      most = _mm512_max_ps(most, _mm512_max_ps(values.low, values.high));
    }
    highest[row] = _mm512_reduce_max_ps(most);
    const __m512 shift = _mm512_set1_ps(highest[row]);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t strip = 0; strip < strips; strip++) {
      const Row values = score_row(strip);
      const Row powers{Exp(_mm512_sub_ps(values.low, shift)), Exp(_mm512_sub_ps(values.high, shift))};
      sum = _mm512_add_ps(sum, _mm512_add_ps(powers.low, powers.high));
      _mm512_store_si512(LeftRow(weights + strip * kStripTileBytes, row), Round(powers));
    }
    sums[row] = _mm512_reduce_add_ps(sum);
  }
}

// Writes a block of 32 queries × 32 features, each row times its factor, to [d, N].
VECTOR_TARGET void WriteTransposed(const float *block, const float *factors, int64_t rows, int64_t dims,
                                   int64_t stride, Bfloat16 *to) {
  for (int64_t row = 0; row < kStrip; row += kTile) {
    for (int64_t dim = 0; dim < kStrip; dim += kTile) {
      __m512 values[16];
      for (int64_t i = 0; i < kTile; i++) {
        const __m512 value = _mm512_load_ps(block + (row + i) * kStrip + dim);
        values[i] = factors ? _mm512_mul_ps(value, _mm512_set1_ps(factors[row + i])) : value;
      }
      Transpose(reinterpret_cast<__m512i *>(values));
      const __mmask16 mask = static_cast<__mmask16>(FirstOf(rows - row));
      for (int64_t i = 0; i < std::min(kTile, dims - dim); i++)
        _mm256_mask_storeu_epi16(to + (dim + i) * stride + row, mask, RoundToBfloat16(values[i]));
    }
  }
}

// Writes a block of 32 features × 32 keys to [d, S].
VECTOR_TARGET void Write(const float *block, int64_t dims, int64_t keys, int64_t stride, Bfloat16 *to) {
  for (int64_t dim = 0; dim < std::min(kStrip, dims); dim++)
    _mm512_mask_storeu_epi16(to + dim * stride, FirstOf(keys), Round(LoadRow(block + dim * kStrip)));
}

void ForwardHead(const Head &head, Bfloat16 *y, float *log_sums) {
  const int64_t dim_strips = head.DimStrips(), key_strips = head.KeyStrips();
  const uint8_t *keys = PackKeys(head, head.key, kKeys), *values = PackKeysByDim(head, head.value, kValues);
  uint8_t *queries = Buffer(kQueries, dim_strips * kStripTileBytes);
  uint8_t *weights = Buffer(kWeights, key_strips * kStripTileBytes);
  float *scores = FloatBuffer(kScores, key_strips * kBlock), *block = FloatBuffer(kSumsOfQueries, kBlock);
  const BlockMultiplier multiply;
  for (int64_t strip = 0; strip < head.QueryStrips(); strip++) {
    const int64_t first = strip * kStrip, rows = std::min(kStrip, head.queries - first);
    PackLeft(Head::ByToken(head.query, head.queries, head.head_dim), strip, 1, 0, dim_strips, 0, queries);
    for (int64_t key = 0; key < key_strips; key++)
      multiply(queries, keys + key * dim_strips * kStripTileBytes, dim_strips, scores + key * kBlock, true);
    float highest[kStrip], sums[kStrip], factors[kStrip] = {};
    Exponentials(scores, rows, head.keys, weights, highest, sums);
    for (int64_t row = 0; row < rows; row++) {
      factors[row] = 1.0f / sums[row];
      log_sums[first + row] = highest[row] + std::log(sums[row]);
    }
    for (int64_t dim = 0; dim < dim_strips; dim++) {
      multiply(weights, values + dim * key_strips * kStripTileBytes, key_strips, block, true);
      WriteTransposed(block, factors, rows, head.head_dim - dim * kStrip, head.queries,
                      y + dim * kStrip * head.queries + first);
    }
  }
}

// Packs two rows of a block as a row of each of two right tiles, whose depth are the rows of the block.
VECTOR_TARGET inline void PackPair(const Row &even, const Row &odd, uint8_t *to) {
  const auto pairs = [](__m512 even, __m512 odd) VECTOR_TARGET {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(RoundToBfloat16(even)),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(RoundToBfloat16(odd)), 16));
  };
  _mm512_store_si512(to, pairs(even.low, odd.low));
  _mm512_store_si512(to + kTileBytes, pairs(even.high, odd.high));
}

// Where the packed results of a block of 32 queries × 32 keys go. What goes to the right may be null.
struct PackedBlocks {
  uint8_t *left_gradients, *right_gradients, *right_probabilities;
};

// From scores and dP = dyᵀ · value of a block: the probabilities P = e^(score − log sum) and the gradients of the scores, P · (dP − sum). Both are rounded
// and packed.
VECTOR_TARGET void ScoreGradients(const float *scores, const float *dp, const float *log_sums, const float *sums,
                                  int64_t rows, int64_t columns, const PackedBlocks &to) {
  for (int64_t pair = 0; pair < kTile; pair++) {
    Row probabilities[2], gradients[2];
    for (int64_t i = 0; i < 2; i++) {
      const int64_t row = 2 * pair + i;
      const bool exists = row < rows;
      const __m512 log_sum = _mm512_set1_ps(exists ? log_sums[row] : 0.0f), sum = _mm512_set1_ps(exists ? sums[row] : 0.0f);
      const Row score = LoadRow(scores + row * kStrip), d = LoadRow(dp + row * kStrip);
      const Row p{Exp(_mm512_sub_ps(score.low, log_sum)), Exp(_mm512_sub_ps(score.high, log_sum))};
      const Row g{_mm512_mul_ps(p.low, _mm512_sub_ps(d.low, sum)), _mm512_mul_ps(p.high, _mm512_sub_ps(d.high, sum))};
      probabilities[i] = FirstValues(p, exists ? columns : 0, 0.0f);
      gradients[i] = FirstValues(g, exists ? columns : 0, 0.0f);
      _mm512_store_si512(LeftRow(to.left_gradients, row), Round(gradients[i]));
    }
    if (to.right_gradients) PackPair(gradients[0], gradients[1], to.right_gradients + 64 * pair);
    if (to.right_probabilities) PackPair(probabilities[0], probabilities[1], to.right_probabilities + 64 * pair);
  }
}

// The packed blocks of some strips of queries as right operands, whose depth are these queries.
struct Group {
  uint8_t *probabilities, *score_gradients;

  // The tiles of a strip of keys.
  static int64_t StripBytes() { return kStripsPerGroup * kStripTileBytes; }
};

// Adds x · blocks to sums, for every strip of features and of keys. x: [d, N].
void AddProducts(const BlockMultiplier &multiply, const Head &head, const Bfloat16 *x, const uint8_t *blocks,
                 int64_t first_strip, int64_t strips, float *sums) {
  uint8_t *left = Buffer(kQueries, kStripsPerGroup * kStripTileBytes);
  for (int64_t dim = 0; dim < head.DimStrips(); dim++) {
    PackLeft(Head::ByDim(x, head.queries, head.head_dim), dim, 1, first_strip, strips, 0, left);
    for (int64_t key = 0; key < head.KeyStrips(); key++)
      multiply(left, blocks + key * Group::StripBytes(), strips, sums + (dim * head.KeyStrips() + key) * kBlock,
               first_strip == 0);
  }
}

void WriteSums(const Head &head, const float *sums, Bfloat16 *to) {
  for (int64_t dim = 0; dim < head.DimStrips(); dim++)
    for (int64_t key = 0; key < head.KeyStrips(); key++)
      Write(sums + (dim * head.KeyStrips() + key) * kBlock, head.head_dim - dim * kStrip, head.keys - key * kStrip,
            head.keys, to + dim * kStrip * head.keys + key * kStrip);
}

void BackwardHead(const Head &head, const AttentionGradients &gradients) {
  const int64_t dim_strips = head.DimStrips(), key_strips = head.KeyStrips(), query_strips = head.QueryStrips();
  const uint8_t *keys = PackKeys(head, head.key, kKeys), *values = PackKeys(head, head.value, kValues);
  const uint8_t *keys_by_dim = PackKeysByDim(head, head.key, kKeysByDim);
  const int64_t group_bytes = key_strips * Group::StripBytes();
  uint8_t *weights = Buffer(kWeights, 2 * group_bytes + key_strips * kStripTileBytes);
  const Group group{weights, weights + group_bytes};
  uint8_t *left_gradients = weights + 2 * group_bytes;
  const int64_t sums_size = dim_strips * key_strips * kBlock;
  float *key_sums = FloatBuffer(kSumsOfKeys, 2 * sums_size), *value_sums = key_sums + sums_size;
  float *scores = FloatBuffer(kScores, 2 * kBlock), *dp = scores + kBlock, *block = FloatBuffer(kSumsOfQueries, kBlock);
  if (query_strips == 0) std::fill_n(key_sums, 2 * sums_size, 0.0f);
  const BlockMultiplier multiply;
  for (int64_t first = 0; first < query_strips; first += kStripsPerGroup) {
    const int64_t strips = std::min(kStripsPerGroup, query_strips - first);
    for (int64_t i = 0; i < strips; i++) {
      const int64_t strip = first + i, row = strip * kStrip, rows = std::min(kStrip, head.queries - row);
      uint8_t *queries = Buffer(kQueries, 2 * dim_strips * kStripTileBytes);
      uint8_t *dy = queries + dim_strips * kStripTileBytes;
      PackLeft(Head::ByToken(head.query, head.queries, head.head_dim), strip, 1, 0, dim_strips, 0, queries);
      PackLeft(Head::ByToken(head.dy, head.queries, head.head_dim), strip, 1, 0, dim_strips, 0, dy);
      for (int64_t key = 0; key < key_strips; key++) {
        const int64_t packed = key * dim_strips * kStripTileBytes, at = key * Group::StripBytes() + i * kStripTileBytes;
        multiply(queries, keys + packed, dim_strips, scores, true);
        multiply(dy, values + packed, dim_strips, dp, true);
        ScoreGradients(scores, dp, head.log_sums + row, head.sums + row, rows, head.keys - key * kStrip,
                       {left_gradients + key * kStripTileBytes, gradients.d_key ? group.score_gradients + at : nullptr,
                        gradients.d_value ? group.probabilities + at : nullptr});
      }
      for (int64_t dim = 0; dim < dim_strips; dim++) {
        multiply(left_gradients, keys_by_dim + dim * key_strips * kStripTileBytes, key_strips, block, true);
        WriteTransposed(block, nullptr, rows, head.head_dim - dim * kStrip, head.queries,
                        gradients.d_query + dim * kStrip * head.queries + row);
      }
    }
    if (gradients.d_key) AddProducts(multiply, head, head.query, group.score_gradients, first, strips, key_sums);
    if (gradients.d_value) AddProducts(multiply, head, head.dy, group.probabilities, first, strips, value_sums);
  }
  if (gradients.d_key) WriteSums(head, key_sums, gradients.d_key);
  if (gradients.d_value) WriteSums(head, value_sums, gradients.d_value);
}

}  // namespace

void ComputeAttention(const AttentionInputs &inputs, Bfloat16 *y, float *log_sums) {
  const auto [heads, head_dim, queries, keys] = inputs.size;
  RunChunks(heads, [&, head_dim = head_dim, queries = queries](int64_t head) {
    ForwardHead(HeadOf(inputs, head), y + head * head_dim * queries, log_sums + head * queries);
  });
}

void ComputeAttentionGradients(const AttentionGradientInputs &inputs, const AttentionGradients &gradients) {
  const auto [heads, head_dim, queries, keys] = inputs.forward.size;
  RunChunks(heads, [&, head_dim = head_dim, queries = queries, keys = keys](int64_t i) {
    Head head = HeadOf(inputs.forward, i);
    head.dy = inputs.dy + i * head_dim * queries;
    head.log_sums = inputs.log_sums + i * queries;
    head.sums = inputs.sums + i * queries;
    const auto of = [&](Bfloat16 *x, int64_t tokens) { return x ? x + i * head_dim * tokens : nullptr; };
    BackwardHead(head, {of(gradients.d_query, queries), of(gradients.d_key, keys), of(gradients.d_value, keys)});
  });
}

#else

void ComputeAttention(const AttentionInputs &, Bfloat16 *, float *) { std::abort(); }
void ComputeAttentionGradients(const AttentionGradientInputs &, const AttentionGradients &) { std::abort(); }

#endif

}  // namespace tfnodejs
