// Operations of a transformer block as single ops of TensorFlow, for CPUs. `src/engine/fused-operations.ts` uses them and `src/engine/operations.ts`
// says what each computes. A *matrix* has the type T, bfloat16 or float32; sums, norms, modulation and the residual stream are float32.
//
// N tokens, S tokens that are attended to, D features, H heads of d features, L noise levels.

#include <vector>

#include "attention.h"
#include "fused_ops.h"
#include "matmul.h"
#include "parallel_for.h"
#include "vector_math.h"

namespace tfnodejs {
namespace {

// Columns of a [D, N] matrix that one thread adds up at a time.
constexpr int64_t kColumns = 64;

// Memory of the thread for the values of one row.
inline float *RowBuffer(int64_t size) {
  static thread_local std::vector<float> buffer;
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(size);
  return buffer.data();
}

// x:T → T
template <typename T>
void Gelu(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  const auto [from, to] = call.Updated<T>(0, 0);
  const T *x = from;
  T *y = to;
  ParallelFor(ElementCount(shape), 1, LOOP(begin, end) {
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
      const float value = Load(x[i]);
      Store(y[i], value * GeluGate(value));
    }
  });
}

// dy:T, x:T → dx:T
template <typename T>
void GeluGradient(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  const auto [from, to] = call.Updated<T>(0, 0);
  const T *dy = from;
  T *dx = to;
  const T *x = call.Input<T>(1, shape);
  ParallelFor(ElementCount(shape), 1, LOOP(begin, end) {
#pragma omp simd
    for (int64_t i = begin; i < end; i++) Store(dx[i], Load(dy[i]) * GeluDerivative(Load(x[i])));
  });
}

// Shifts, scales or gates by noise level [L, D], and the level of each token [N].
struct TokenRows {
  const float *rows;
  const int32_t *levels;

  INLINE const float *Of(int64_t token, int64_t width) const { return rows + levels[token] * width; }
};

// Throws where a token has a level without a row.
TokenRows RowsOf(KernelCall &call, int rows, int levels, int64_t tokens, int64_t width) {
  const Shape shape = call.ShapeOf(rows);
  KernelCall::Expect(shape.size() == 2 && shape[1] == width, "the rows of the noise levels have an unexpected shape");
  const TokenRows result{call.Input<float>(rows), call.Input<int32_t>(levels, {tokens})};
  for (int64_t token = 0; token < tokens; token++)
    KernelCall::Expect(result.levels[token] >= 0 && result.levels[token] < shape[0], "a noise level is out of range");
  return result;
}

struct Size {
  int64_t rows, columns;
};

Size SizeOf(const Shape &shape) {
  KernelCall::Expect(shape.size() == 2, "an input is not a matrix");
  return {shape[0], shape[1]};
}

// x [N, D], shift [L, D], scale [L, D], levels [N] → T [N, D]
template <typename T>
void ModulatedNorm(KernelCall &call) {
  const Size size = SizeOf(call.ShapeOf(0));
  const int64_t tokens = size.rows, width = size.columns;
  const float *x = call.Input<float>(0);
  const TokenRows shift = RowsOf(call, 1, 3, tokens, width), scale = RowsOf(call, 2, 3, tokens, width);
  T *y = call.Output<T>(0, {tokens, width});
  ParallelFor(tokens, width, LOOP(begin, end) {
    for (int64_t token = begin; token < end; token++) {
      const float *row = x + token * width, *shifts = shift.Of(token, width), *scales = scale.Of(token, width);
      T *result = y + token * width;
      float squares = 0;
#pragma omp simd reduction(+ : squares)
      for (int64_t i = 0; i < width; i++) squares += row[i] * row[i];
      const float inverse = InverseRms(squares, width);
#pragma omp simd
      for (int64_t i = 0; i < width; i++) Store(result[i], row[i] * inverse * (1.0f + scales[i]) + shifts[i]);
    }
  });
}

// x [N, D], scale [L, D], levels [N], residual [N, D], and one or more parts of dy:T [N, D] → residual + dx, float32 [N, D].
// y = x · r with r = 1 / √(mean(x²) + ε) has the gradient dx = r · (g − x · r² · mean(g · x)), where g = dy · (1 + scale).
template <typename T>
void ModulatedNormGradient(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  const Size size = SizeOf(shape);
  const int64_t tokens = size.rows, width = size.columns;
  const float *x = call.Input<float>(0, shape);
  const TokenRows scale = RowsOf(call, 1, 2, tokens, width);
  KernelCall::Expect(call.ShapeOf(3) == shape, "the residual has an unexpected shape");
  const auto [residual, to] = call.Updated<float>(0, 3);
  std::vector<const T *> parts;
  for (int input = 4; input < call.InputCount(); input++) parts.push_back(call.Input<T>(input, shape));
  const T *const *dy = parts.data();
  const int64_t count = static_cast<int64_t>(parts.size());
  const float *base = residual;
  float *dx = to;
  ParallelFor(tokens, width * (1 + count), LOOP(begin, end) {
    float *g = RowBuffer(width);
    for (int64_t token = begin; token < end; token++) {
      const int64_t first = token * width;
      const float *row = x + first, *scales = scale.Of(token, width);
      for (int64_t part = 0; part < count; part++) {
        const T *values = dy[part] + first;
        if (part == 0) {
#pragma omp simd
          for (int64_t i = 0; i < width; i++) g[i] = Load(values[i]);
        } else {
#pragma omp simd
          for (int64_t i = 0; i < width; i++) g[i] += Load(values[i]);
        }
      }
      float squares = 0, products = 0;
#pragma omp simd reduction(+ : squares, products)
      for (int64_t i = 0; i < width; i++) {
        g[i] *= 1.0f + scales[i];
        squares += row[i] * row[i];
        products += g[i] * row[i];
      }
      const float inverse = InverseRms(squares, width);
      const float projection = inverse * inverse * products / static_cast<float>(width);
#pragma omp simd
      for (int64_t i = 0; i < width; i++) dx[first + i] = base[first + i] + inverse * (g[i] - row[i] * projection);
    }
  });
}

// x [S, D], shift [1, D], scale [1, D] → T [S, D]
template <typename T>
void Modulate(KernelCall &call) {
  const Size size = SizeOf(call.ShapeOf(0));
  const int64_t tokens = size.rows, width = size.columns;
  const float *x = call.Input<float>(0);
  const float *shift = call.Input<float>(1, {1, width}), *scale = call.Input<float>(2, {1, width});
  T *y = call.Output<T>(0, {tokens, width});
  ParallelFor(tokens, width, LOOP(begin, end) {
    for (int64_t token = begin; token < end; token++) {
      const float *row = x + token * width;
      T *result = y + token * width;
#pragma omp simd
      for (int64_t i = 0; i < width; i++) Store(result[i], row[i] * (1.0f + scale[i]) + shift[i]);
    }
  });
}

// x [N, D], gate [L, D], levels [N], y:T [N, D] → x + gate · y, float32 [N, D]
template <typename T>
void AddGated(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  const Size size = SizeOf(shape);
  const int64_t tokens = size.rows, width = size.columns;
  const auto [from, to] = call.Updated<float>(0, 0);
  const float *x = from;
  float *sum = to;
  const TokenRows gate = RowsOf(call, 1, 2, tokens, width);
  const T *y = call.Input<T>(3, shape);
  ParallelFor(tokens, width, LOOP(begin, end) {
    for (int64_t token = begin; token < end; token++) {
      const int64_t first = token * width;
      const float *gates = gate.Of(token, width);
#pragma omp simd
      for (int64_t i = 0; i < width; i++) sum[first + i] = x[first + i] + gates[i] * Load(y[first + i]);
    }
  });
}

// dy [N, D], gate [L, D], levels [N] → dy · gate, T [N, D]
template <typename T>
void GatedGradient(KernelCall &call) {
  const Size size = SizeOf(call.ShapeOf(0));
  const int64_t tokens = size.rows, width = size.columns;
  const float *dy = call.Input<float>(0);
  const TokenRows gate = RowsOf(call, 1, 2, tokens, width);
  T *result = call.Output<T>(0, {tokens, width});
  ParallelFor(tokens, width, LOOP(begin, end) {
    for (int64_t token = begin; token < end; token++) {
      const int64_t first = token * width;
      const float *gates = gate.Of(token, width);
#pragma omp simd
      for (int64_t i = 0; i < width; i++) Store(result[first + i], dy[first + i] * gates[i]);
    }
  });
}

// x:T [D, N] → x / √(mean(x²) + ε), T [D, N], and 1 / √(mean(x²) + ε), float32 [1, N], the mean over D
template <typename T>
void NormalizeQueryKey(KernelCall &call) {
  const Size size = SizeOf(call.ShapeOf(0));
  const int64_t width = size.rows, tokens = size.columns;
  const auto [from, to] = call.Updated<T>(0, 0);
  const T *x = from;
  T *normed = to;
  float *inverse = call.Output<float>(1, {1, tokens});
  const int64_t groups = CeilDiv(tokens, kColumns);
  const auto loop = LOOP(begin, end) {
    for (int64_t group = begin; group < end; group++) {
      const int64_t first = group * kColumns, count = std::min(kColumns, tokens - first);
      float factors[kColumns] = {};
      for (int64_t row = 0; row < width; row++) {
        const T *values = x + row * tokens + first;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) factors[i] += Load(values[i]) * Load(values[i]);
      }
      for (int64_t i = 0; i < count; i++) inverse[first + i] = factors[i] = InverseRms(factors[i], width);
      for (int64_t row = 0; row < width; row++) {
        const int64_t offset = row * tokens + first;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) Store(normed[offset + i], Load(x[offset + i]) * factors[i]);
      }
    }
  };
  ParallelFor(groups, width * kColumns, loop);
}

// What normed queries or keys are multiplied with, and the positions that they are rotated by. Either may be missing.
struct QueryKeyTransform {
  const float *scale = nullptr;  // [D, 1]
  const float *cos = nullptr;    // [H, d / 2, N]
  const float *sin = nullptr;
  int64_t half;  // d / 2; without a rotation half of all features
};

// Inputs from `first` on: the scale, if there is one, then cosines and sines, if there are any.
QueryKeyTransform TransformOf(KernelCall &call, int first, int64_t width, int64_t tokens) {
  const int count = call.InputCount() - first;
  QueryKeyTransform transform;
  transform.half = width / 2;
  if (count % 2 == 1) transform.scale = call.Input<float>(first, {width, 1});
  if (count >= 2) {
    const int cos = first + count - 2;
    const Shape shape = call.ShapeOf(cos);
    KernelCall::Expect(shape.size() == 3 && 2 * shape[0] * shape[1] == width && shape[2] == tokens,
                       "the rotations have an unexpected shape");
    transform.half = shape[1];
    transform.cos = call.Input<float>(cos);
    transform.sin = call.Input<float>(cos + 1, shape);
  }
  KernelCall::Expect(width % 2 == 0, "an odd number of features has no halves");
  return transform;
}

// Rows of a pair of features that are rotated together.
struct FeaturePair {
  int64_t a, b;
};

// The pairs are numbered as the rows of the cosines are.
INLINE FeaturePair PairOf(int64_t pair, int64_t half) {
  const int64_t a = pair / half * 2 * half + pair % half;
  return {a, a + half};
}

// x:T [D, N], then the inputs of a transform → x scaled, then rotated, T [D, N]
template <typename T>
void ScaleAndRotate(KernelCall &call) {
  const Size size = SizeOf(call.ShapeOf(0));
  const int64_t width = size.rows, tokens = size.columns;
  const T *x = call.Input<T>(0);
  const QueryKeyTransform transform = TransformOf(call, 1, width, tokens);
  T *y = call.Output<T>(0, {width, tokens});
  ParallelFor(width / 2, 2 * tokens, LOOP(begin, end) {
    for (int64_t pair = begin; pair < end; pair++) {
      const auto [a, b] = PairOf(pair, transform.half);
      const float scale_a = transform.scale ? transform.scale[a] : 1.0f;
      const float scale_b = transform.scale ? transform.scale[b] : 1.0f;
      const T *xa = x + a * tokens, *xb = x + b * tokens;
      T *ya = y + a * tokens, *yb = y + b * tokens;
      if (transform.cos) {
        const float *cos = transform.cos + pair * tokens, *sin = transform.sin + pair * tokens;
#pragma omp simd
        for (int64_t i = 0; i < tokens; i++) {
          const float first = Load(xa[i]) * scale_a, second = Load(xb[i]) * scale_b;
          Store(ya[i], first * cos[i] - second * sin[i]);
          Store(yb[i], second * cos[i] + first * sin[i]);
        }
      } else {
#pragma omp simd
        for (int64_t i = 0; i < tokens; i++) {
          Store(ya[i], Load(xa[i]) * scale_a);
          Store(yb[i], Load(xb[i]) * scale_b);
        }
      }
    }
  });
}

// dy:T [D, N], normed:T [D, N], inverse [1, N], then the inputs of the transform → the gradient of what was normalized, T [D, N].
// With g, the gradient of normed: dx = inverse · (g − normed · mean(g · normed)), the mean over D.
template <typename T>
void ScaleAndRotateGradient(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  const Size size = SizeOf(shape);
  const int64_t width = size.rows, tokens = size.columns;
  const T *dy = call.Input<T>(0), *normed = call.Input<T>(1, shape);
  const float *inverse = call.Input<float>(2, {1, tokens});
  const QueryKeyTransform transform = TransformOf(call, 3, width, tokens);
  T *dx = call.Output<T>(0, shape);
  const int64_t groups = CeilDiv(tokens, kColumns);
  const auto loop = LOOP(begin, end) {
    float *gradients = RowBuffer(width * kColumns);
    for (int64_t group = begin; group < end; group++) {
      const int64_t first = group * kColumns, count = std::min(kColumns, tokens - first);
      float means[kColumns] = {};
      for (int64_t pair = 0; pair < width / 2; pair++) {
        const auto [a, b] = PairOf(pair, transform.half);
        const int64_t at_a = a * tokens + first, at_b = b * tokens + first;
        float *ga = gradients + a * kColumns, *gb = gradients + b * kColumns;
        const float scale_a = transform.scale ? transform.scale[a] : 1.0f;
        const float scale_b = transform.scale ? transform.scale[b] : 1.0f;
        if (transform.cos) {
          const float *cos = transform.cos + pair * tokens + first, *sin = transform.sin + pair * tokens + first;
#pragma omp simd
          for (int64_t i = 0; i < count; i++) {
            const float da = Load(dy[at_a + i]), db = Load(dy[at_b + i]);
            ga[i] = (da * cos[i] + db * sin[i]) * scale_a;
            gb[i] = (db * cos[i] - da * sin[i]) * scale_b;
          }
        } else {
#pragma omp simd
          for (int64_t i = 0; i < count; i++) {
            ga[i] = Load(dy[at_a + i]) * scale_a;
            gb[i] = Load(dy[at_b + i]) * scale_b;
          }
        }
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
          means[i] += ga[i] * Load(normed[at_a + i]) + gb[i] * Load(normed[at_b + i]);
      }
      for (int64_t i = 0; i < count; i++) means[i] /= static_cast<float>(width);
      for (int64_t row = 0; row < width; row++) {
        const int64_t offset = row * tokens + first;
        const float *g = gradients + row * kColumns;
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
          Store(dx[offset + i], inverse[first + i] * (g[i] - Load(normed[offset + i]) * means[i]));
      }
    }
  };
  ParallelFor(groups, width * kColumns, loop);
}

// scores:T [..., S] → T [..., S]
template <typename T>
void Softmax(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  KernelCall::Expect(!shape.empty() && shape.back() > 0, "softmax needs one or more values");
  const int64_t size = shape.back();
  const auto [from, to] = call.Updated<T>(0, 0);
  const T *x = from;
  T *y = to;
  ParallelFor(ElementCount(shape) / size, size, LOOP(begin, end) {
    float *values = RowBuffer(size);
    for (int64_t row = begin; row < end; row++) {
      const T *scores = x + row * size;
      T *probabilities = y + row * size;
      float highest = -INFINITY;
#pragma omp simd reduction(max : highest)
      for (int64_t i = 0; i < size; i++) {
        values[i] = Load(scores[i]);
        highest = values[i] > highest ? values[i] : highest;
      }
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < size; i++) {
        values[i] = Exp(values[i] - highest);
        sum += values[i];
      }
      const float factor = 1.0f / sum;
#pragma omp simd
      for (int64_t i = 0; i < size; i++) Store(probabilities[i], values[i] * factor);
    }
  });
}

// dy:T [H, N, S], y:T [H, N, S], sums [H, 1, N], the sums of dy · y → (dy − sums) · y, T [H, N, S]
template <typename T>
void SoftmaxGradient(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  KernelCall::Expect(shape.size() == 3, "the scores are not a stack of matrices");
  const int64_t size = shape[2];
  const auto [from, to] = call.Updated<T>(0, 0);
  const T *dy = from;
  T *dx = to;
  const T *y = call.Input<T>(1, shape);
  const float *sums = call.Input<float>(2, {shape[0], 1, shape[1]});
  ParallelFor(shape[0] * shape[1], size, LOOP(begin, end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t first = row * size;
      const float sum = sums[row];
#pragma omp simd
      for (int64_t i = 0; i < size; i++) Store(dx[first + i], (Load(dy[first + i]) - sum) * Load(y[first + i]));
    }
  });
}

// query:bfloat16 [H, d, N], key:bfloat16 [H, d, S], value:bfloat16 [H, d, S]
AttentionInputs AttentionInputsOf(KernelCall &call) {
  const Shape query = call.ShapeOf(0), key = call.ShapeOf(1);
  KernelCall::Expect(query.size() == 3 && key.size() == 3 && query[0] == key[0] && query[1] == key[1] && key[2] > 0,
                     "queries and keys do not fit");
  return {{query[0], query[1], query[2], key[2]},
          call.Input<Bfloat16>(0),
          call.Input<Bfloat16>(1),
          call.Input<Bfloat16>(2, key)};
}

// The inputs → y:bfloat16 [H, d, N] and the logarithms of the sums of the softmax, float32 [H, 1, N]
void Attention(KernelCall &call) {
  const AttentionInputs inputs = AttentionInputsOf(call);
  const auto [heads, head_dim, queries, keys] = inputs.size;
  Bfloat16 *y = call.Output<Bfloat16>(0, {heads, head_dim, queries});
  ComputeAttention(inputs, y, call.Output<float>(1, {heads, 1, queries}));
}

// The inputs, dy:bfloat16 [H, d, N], the logarithms [H, 1, N] and the sums of y · dy [H, 1, N] → the gradients of query, key and value. Bit 0 of the flags
// asks for that of the keys, bit 1 for that of the values; else they are empty.
void AttentionGradient(KernelCall &call) {
  const AttentionInputs inputs = AttentionInputsOf(call);
  const auto [heads, head_dim, queries, keys] = inputs.size;
  const Shape query{heads, head_dim, queries}, key{heads, head_dim, keys}, none{0}, sums{heads, 1, queries};
  const bool needs_key = call.flags() & 1, needs_value = call.flags() & 2;
  const AttentionGradientInputs backward{inputs, call.Input<Bfloat16>(3, query), call.Input<float>(4, sums),
                                         call.Input<float>(5, sums)};
  AttentionGradients gradients{call.Output<Bfloat16>(0, query), call.Output<Bfloat16>(1, needs_key ? key : none),
                               call.Output<Bfloat16>(2, needs_value ? key : none)};
  if (!needs_key) gradients.d_key = nullptr;
  if (!needs_value) gradients.d_value = nullptr;
  ComputeAttentionGradients(backward, gradients);
}

// y:T [H, d, N], gates:T [H, 1, N] → T [H, d, N]
template <typename T>
void GateHeads(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  KernelCall::Expect(shape.size() == 3, "the heads are not a stack of matrices");
  const int64_t head_dim = shape[1], tokens = shape[2];
  const T *y = call.Input<T>(0), *gates = call.Input<T>(1, {shape[0], 1, tokens});
  T *result = call.Output<T>(0, shape);
  ParallelFor(shape[0] * head_dim, tokens, LOOP(begin, end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t first = row * tokens;
      const T *factors = gates + row / head_dim * tokens;
#pragma omp simd
      for (int64_t i = 0; i < tokens; i++) Store(result[first + i], Load(y[first + i]) * Load(factors[i]));
    }
  });
}

// dy:T [H, d, N], y:T [H, d, N], gates:T [H, 1, N] → the gradients of the heads, T [H, d, N], and of the logits, T [H, N], and the sums over d of
// y · gates · dy, float32 [H, 1, N]. gates = 2 · sigmoid(logits) has the derivative gates · (1 − gates / 2).
template <typename T>
void GateHeadsGradient(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  KernelCall::Expect(shape.size() == 3, "the heads are not a stack of matrices");
  const int64_t heads = shape[0], head_dim = shape[1], tokens = shape[2];
  const T *dy = call.Input<T>(0), *y = call.Input<T>(1, shape), *gates = call.Input<T>(2, {heads, 1, tokens});
  T *dx = call.Output<T>(0, shape);
  T *d_logits = call.Output<T>(1, {heads, tokens});
  float *sums = call.Output<float>(2, {heads, 1, tokens});
  ParallelFor(heads, head_dim * tokens, LOOP(begin, end) {
    float *d_gates = RowBuffer(tokens);
    for (int64_t head = begin; head < end; head++) {
      const T *factors = gates + head * tokens;
      for (int64_t i = 0; i < tokens; i++) d_gates[i] = 0;
      for (int64_t row = head * head_dim; row < (head + 1) * head_dim; row++) {
        const int64_t first = row * tokens;
#pragma omp simd
        for (int64_t i = 0; i < tokens; i++) {
          const float gradient = Load(dy[first + i]);
          d_gates[i] += gradient * Load(y[first + i]);
          Store(dx[first + i], gradient * Load(factors[i]));
        }
      }
      T *logits = d_logits + head * tokens;
      float *results = sums + head * tokens;
#pragma omp simd
      for (int64_t i = 0; i < tokens; i++) {
        const float gate = Load(factors[i]);
        results[i] = d_gates[i] * gate;
        Store(logits[i], results[i] * (1.0f - 0.5f * gate));
      }
    }
  });
}

// One number per row or per column of a matrix. Both are null where there is no bias.
struct Bias {
  const float *of_rows = nullptr, *of_columns = nullptr;
};

// The bias of a result [R, C]: an input [R, 1] or [C], or none where there is no such input.
Bias BiasOf(KernelCall &call, int input, int64_t rows, int64_t columns) {
  if (call.InputCount() <= input) return {};
  if (call.ShapeOf(input).size() == 2) return {call.Input<float>(input, {rows, 1}), nullptr};
  return {nullptr, call.Input<float>(input, {columns})};
}

// The operands of ProductSums: for each, in the order a, b, a, b, …, two bits of the flags say whether it is stored transposed, and whether it is one of the
// float32 factors and not one of the bfloat16 matrices. Matrices come before factors, factors before the bias.
class ProductOperands {
 public:
  ProductOperands(KernelCall &call, int count) : call_(call) {
    for (int operand = 0; operand < count; operand++) next_factor_ += IsFactor(operand) ? 0 : 1;
  }

  struct Operand {
    MatrixView view;
    int64_t rows, columns;  // of what it stands for
    bool is_stack;
    int64_t matrices;  // 1 where it is not a stack
    int64_t elements;  // of one matrix
  };

  Operand Next() {
    const bool is_factor = IsFactor(index_), transposed = call_.flags() >> (2 * index_) & 1;
    const int input = is_factor ? next_factor_++ : next_matrix_++;
    index_++;
    const Shape shape = call_.ShapeOf(input);
    const bool is_stack = shape.size() == 3;
    KernelCall::Expect(shape.size() == 2 || (is_stack && !is_factor), "an input is not a matrix");
    KernelCall::Expect(call_.InputType(input) == (is_factor ? TF_FLOAT : TF_BFLOAT16), "an input has another type");
    const int64_t rows = shape[shape.size() - 2], columns = shape.back();
    const void *data = is_factor ? static_cast<const void *>(call_.Input<float>(input)) : call_.Input<Bfloat16>(input);
    return {{data, columns, transposed, is_factor}, transposed ? columns : rows, transposed ? rows : columns,
            is_stack, is_stack ? shape[0] : 1, rows * columns};
  }

 private:
  bool IsFactor(int operand) const { return call_.flags() >> (2 * operand + 1) & 1; }

  KernelCall &call_;
  int index_ = 0, next_matrix_ = 0, next_factor_ = 0;
};

// One of a stack of matrices of bfloat16.
MatrixView MatrixOf(const ProductOperands::Operand &operand, int64_t matrix) {
  MatrixView view = operand.view;
  if (matrix > 0) view.data = static_cast<const Bfloat16 *>(view.data) + matrix * operand.elements;
  return view;
}

// Pairs of matrices, see above, and at most one bias, float32 [C] or [R, 1] → the sum of a · b, and the bias, [R, C]. Or one pair of stacks of matrices.
void ProductSums(KernelCall &call) {
  const int pairs = call.InputCount() / 2;
  const bool has_bias = call.InputCount() > 2 * pairs;
  ProductOperands operands(call, 2 * pairs);
  std::vector<ProductSum> sums;
  int64_t rows = 0, columns = 0, matrices = 0;
  bool is_stack = false;
  for (int i = 0; i < pairs; i++) {
    const ProductOperands::Operand a = operands.Next(), b = operands.Next();
    if (i == 0) rows = a.rows, columns = b.columns, matrices = a.matrices, is_stack = a.is_stack;
    KernelCall::Expect(a.rows == rows && b.columns == columns && a.columns == b.rows && a.matrices == matrices &&
                           b.matrices == matrices && a.is_stack == is_stack && b.is_stack == is_stack &&
                           (!is_stack || (pairs == 1 && !has_bias)),
                       "the shapes of the inputs do not fit");
    sums.resize(matrices);
    for (size_t matrix = 0; matrix < sums.size(); matrix++)
      sums[matrix].products.push_back({MatrixOf(a, matrix), MatrixOf(b, matrix), a.columns});
  }
  const Shape result = is_stack ? Shape{matrices, rows, columns} : Shape{rows, columns};
  const bool is_float32 = call.OutputType(0) == TF_FLOAT;
  void *to = is_float32 ? static_cast<void *>(call.Output<float>(0, result)) : call.Output<Bfloat16>(0, result);
  const Bias bias = BiasOf(call, 2 * pairs, rows, columns);
  for (size_t matrix = 0; matrix < sums.size(); matrix++) {
    ProductSum &sum = sums[matrix];
    sum.rows = rows;
    sum.columns = columns;
    sum.row_bias = bias.of_rows;
    sum.column_bias = bias.of_columns;
    if (is_float32) sum.float32 = static_cast<float *>(to) + matrix * rows * columns;
    else sum.bfloat16 = static_cast<Bfloat16 *>(to) + matrix * rows * columns;
  }
  if (rows > 0 && columns > 0) ComputeProductSums(sums);
}

// x:T [R, C], y:T [R, C], and at most one bias, float32 [C] or [R, 1] → x + y + bias, T [R, C]
template <typename T>
void AddProducts(KernelCall &call) {
  const Shape shape = call.ShapeOf(0);
  const Size size = SizeOf(shape);
  const int64_t rows = size.rows, columns = size.columns;
  const auto [from, to] = call.Updated<T>(0, 0);
  const T *x = from;
  T *sum = to;
  const T *y = call.Input<T>(1, shape);
  const Bias bias = BiasOf(call, 2, rows, columns);
  ParallelFor(rows, columns, LOOP(begin, end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t first = row * columns;
      if (bias.of_columns) {
#pragma omp simd
        for (int64_t i = 0; i < columns; i++)
          Store(sum[first + i], Load(x[first + i]) + Load(y[first + i]) + bias.of_columns[i]);
      } else {
        const float constant = bias.of_rows ? bias.of_rows[row] : 0.0f;
#pragma omp simd
        for (int64_t i = 0; i < columns; i++) Store(sum[first + i], Load(x[first + i]) + Load(y[first + i]) + constant);
      }
    }
  });
}

}  // namespace

const std::vector<FusedOp> &TransformerOps() {
  static const std::vector<FusedOp> ops = {
      FUSED_OP(Gelu, LIST("x: T"), LIST("y: T")),
      FUSED_OP(GeluGradient, LIST("dy: T", "x: T"), LIST("dx: T")),
      FUSED_OP(ModulatedNorm, LIST("x: float", "shift: float", "scale: float", "levels: int32"), LIST("y: T")),
      FUSED_OP(ModulatedNormGradient,
               LIST("x: float", "scale: float", "levels: int32", "residual: float", "dy: parts * T"), LIST("dx: float"),
               "parts: int >= 1"),
      FUSED_OP(Modulate, LIST("x: float", "shift: float", "scale: float"), LIST("y: T")),
      FUSED_OP(AddGated, LIST("x: float", "gate: float", "levels: int32", "y: T"), LIST("sum: float")),
      FUSED_OP(GatedGradient, LIST("dy: float", "gate: float", "levels: int32"), LIST("result: T")),
      FUSED_OP(NormalizeQueryKey, LIST("x: T"), LIST("normed: T", "inverse: float")),
      FUSED_OP(ScaleAndRotate, LIST("x: T", "transform: factors * float"), LIST("y: T"), "factors: int >= 0"),
      FUSED_OP(ScaleAndRotateGradient, LIST("dy: T", "normed: T", "inverse: float", "transform: factors * float"),
               LIST("dx: T"), "factors: int >= 0"),
      FUSED_OP(Softmax, LIST("scores: T"), LIST("probabilities: T")),
      FUSED_OP(SoftmaxGradient, LIST("dy: T", "y: T", "sums: float"), LIST("dx: T")),
      FUSED_OP(GateHeads, LIST("y: T", "gates: T"), LIST("result: T")),
      FUSED_OP(GateHeadsGradient, LIST("dy: T", "y: T", "gates: T"),
               LIST("heads: T", "logits: T", "sums: float")),
      {"LtxAttention",
       {"query: T", "key: T", "value: T"},
       {"y: T", "log_sums: float"},
       {},
       CanMultiplyBfloat16() ? Compute<Attention> : nullptr,
       nullptr},
      {"LtxAttentionGradient",
       {"query: T", "key: T", "value: T", "dy: T", "log_sums: float", "sums: float"},
       {"d_query: T", "d_key: T", "d_value: T"},
       {},
       CanMultiplyBfloat16() ? Compute<AttentionGradient> : nullptr,
       nullptr,
       OpParameter::kFlags},
      {"LtxProductSum",
       {"matrices: matrix_count * T", "factors: factor_count * float", "bias: bias_count * float"},
       {"sum: result"},
       {"matrix_count: int >= 0", "factor_count: int >= 0", "bias_count: int >= 0",
        "result: {bfloat16, float}"},
       CanMultiplyBfloat16() ? Compute<ProductSums> : nullptr,
       nullptr,
       OpParameter::kFlags},
      FUSED_OP(AddProducts, LIST("x: T", "y: T", "bias: biases * float"), LIST("sum: T"), "biases: int >= 0"),
  };
  return ops;
}

}  // namespace tfnodejs
