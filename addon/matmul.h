// Sums of products of matrices, in bfloat16, on processors with AVX512_BF16 or AMX.

#ifndef LTX_A2A_MATMUL_H_
#define LTX_A2A_MATMUL_H_

#include <cstdint>
#include <vector>

#include "vector_math.h"

namespace tfnodejs {

// A matrix of bfloat16 or float32 in row-major order that stands for itself or for its transpose. Products round float32 to bfloat16.
struct MatrixView {
  const void *data;
  int64_t stride;  // from one stored row to the next, in elements
  bool transposed;
  bool is_float32 = false;

  MatrixView Transposed() const { return {data, stride, !transposed, is_float32}; }
};

// a · b with a [rows, depth] and b [depth, columns].
struct Product {
  MatrixView a, b;
  int64_t depth;
};

struct ProductSum {
  int64_t rows, columns;
  std::vector<Product> products;
  // One number per row or per column of the result, if any.
  const float *row_bias = nullptr, *column_bias = nullptr;
  // The result, row-major: one of them.
  Bfloat16 *bfloat16 = nullptr;
  float *float32 = nullptr;
};

// Whether this processor has the instructions.
bool CanMultiplyBfloat16();

// Computes each of the independent sums, on all cores. Sums are accumulated in float32, in an order that does not depend on the number of cores.
void ComputeProductSums(const std::vector<ProductSum> &sums);

}  // namespace tfnodejs

#endif  // LTX_A2A_MATMUL_H_
