// Attention of bfloat16 heads without its probabilities in memory, on processors with AVX512_BF16 or AMX. The probabilities of some queries at a time are
// computed, used and forgotten; the backward pass computes them again (Dao et al. 2022, FlashAttention).

#ifndef LTX_A2A_ATTENTION_H_
#define LTX_A2A_ATTENTION_H_

#include <cstdint>

#include "vector_math.h"

namespace tfnodejs {

struct AttentionSize {
  int64_t heads, head_dim, queries, keys;
};

// Query [H, d, N], key and value [H, d, S].
struct AttentionInputs {
  AttentionSize size;
  const Bfloat16 *query, *key, *value;
};

// y = value · softmax(queryᵀ · key)ᵀ, [H, d, N], and the logarithms of the sums that the softmax divides by, ln Σ e^score, [H, N].
void ComputeAttention(const AttentionInputs &inputs, Bfloat16 *y, float *log_sums);

// dy: the gradient of y, [H, d, N]. sums: Σ y · dy over the features of a head, [H, N].
struct AttentionGradientInputs {
  AttentionInputs forward;
  const Bfloat16 *dy;
  const float *log_sums, *sums;
};

// The shapes of query, key and value. Either of d_key and d_value may be null.
struct AttentionGradients {
  Bfloat16 *d_query, *d_key, *d_value;
};

void ComputeAttentionGradients(const AttentionGradientInputs &inputs, const AttentionGradients &gradients);

}  // namespace tfnodejs

#endif  // LTX_A2A_ATTENTION_H_
