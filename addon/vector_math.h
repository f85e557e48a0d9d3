// Arithmetic of the loops in the kernels. Every function is inlined into a loop and vectorized there.

#ifndef LTX_A2A_VECTOR_MATH_H_
#define LTX_A2A_VECTOR_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "parallel_for.h"

namespace tfnodejs {

// The upper half of a float.
struct Bfloat16 {
  uint16_t bits;
};

INLINE uint32_t BitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

INLINE float FloatOf(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

INLINE float Load(const float &x) { return x; }
INLINE float Load(const Bfloat16 &x) { return FloatOf(static_cast<uint32_t>(x.bits) << 16); }

INLINE void Store(float &to, float x) { to = x; }

// Rounds to nearest, ties to even.
INLINE void Store(Bfloat16 &to, float x) {
  const uint32_t bits = BitsOf(x);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  to.bits = static_cast<uint16_t>(is_nan ? 0x7fc0 : rounded);
}

// NaN stays NaN.
INLINE float Clamp(float x, float lowest, float highest) {
  const float raised = x < lowest ? lowest : x;
  return raised > highest ? highest : raised;
}

// As in src/engine/activations.ts.
constexpr float kNormEpsilon = 1e-6f;

INLINE float InverseRms(float sum_of_squares, int64_t count) {
  return 1.0f / std::sqrt(sum_of_squares / static_cast<float>(count) + kNormEpsilon);
}

// e^x within 2 units in the last place; below e^-87 it is 0, above e^88 about 1e38. NaN stays NaN.
INLINE float Exp(float x) {
  const float clamped = Clamp(x, -87.0f, 88.0f);
  // n = round(x / ln 2): adding 1.5 · 2^23 leaves n in the last bits of the sum
  const float shift = 12582912.0f;
  const float shifted = clamped * 1.44269504f + shift;
  const float n = shifted - shift;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, so that n times the first is exact
  // the Taylor series of e^r for |r| ≤ ln 2 / 2
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return x < -87.0f ? 0.0f : p * FloatOf((BitsOf(shifted) + 127) << 23);  // the last factor is 2^n
}

INLINE float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

// sin²(x) within 3e-7 for |x| ≤ 10000. NaN stays NaN.
INLINE float SquaredSine(float x) {
  const float shift = 12582912.0f;
  const float n = (x * 0.318309886f + shift) - shift;  // round(x / π)
  const float remainder = ((x - n * 3.140625f) - n * 9.67025756836e-4f) - n * 6.2776154e-7f;  // π in three parts, so that n times the first two is exact
  const float r = Clamp(remainder * 0.318309886f, -0.5f, 0.5f);
  // sin(π r) / r as a polynomial in r², minimax for |r| ≤ ½
  const float square = r * r;
  float ratio = 0.0772201259f;
  ratio = ratio * square - 0.598045172f;
  ratio = ratio * square + 2.55003138f;
  ratio = ratio * square - 5.16770688f;
  ratio = ratio * square + 3.14159258f;
  return square * ratio * ratio;
}

// GELU(x) = x · sigmoid(kGeluLinear · x + kGeluCubic · x³), its tanh approximation.
constexpr float kGeluLinear = 1.5957691216f;           // 2 · √(2/π)
constexpr float kGeluCubic = kGeluLinear * 0.044715f;

INLINE float GeluGate(float x) { return Sigmoid(x * (kGeluLinear + kGeluCubic * x * x)); }

// Beyond ±20 it is 0 or 1, but the square of x could overflow.
INLINE float GeluDerivative(float x) {
  const float near = Clamp(x, -20.0f, 20.0f), gate = GeluGate(near);
  return gate * (1.0f + near * (1.0f - gate) * (kGeluLinear + 3.0f * kGeluCubic * near * near));
}

}  // namespace tfnodejs

#endif  // LTX_A2A_VECTOR_MATH_H_
