// How ops of the addon are declared. `RegisterFusedOps` registers them with TensorFlow.

#ifndef LTX_A2A_FUSED_OPS_H_
#define LTX_A2A_FUSED_OPS_H_

#include <exception>
#include <vector>

#include "kernel_call.h"

namespace tfnodejs {

using ComputeFunction = void (*)(void *, TF_OpKernelContext *);

// Attributes that a kernel reads: the integer `flags`, or the list of integers `sizes`.
enum class OpParameter { kNone, kFlags, kSizes };

// The names and types of the inputs and outputs. Lists have the length of an attribute. Every op has an attribute T.
struct FusedOp {
  const char *name;
  std::vector<const char *> inputs, outputs, attributes;
  ComputeFunction bfloat16, float32;  // the kernels for T; null where there is none
  OpParameter parameter = OpParameter::kNone;
};

template <void (*compute)(KernelCall &)>
void Compute(void *parameters, TF_OpKernelContext *context) {
  static const std::vector<int64_t> none;
  KernelCall call(context, parameters == nullptr ? none : *static_cast<const std::vector<int64_t> *>(parameters));
  try {
    compute(call);
  } catch (const std::exception &error) {
    call.Fail(error.what());
  }
}

#define FUSED_OP(name, inputs, outputs, ...) \
  FusedOp { "Ltx" #name, inputs, outputs, {__VA_ARGS__}, Compute<name<Bfloat16>>, Compute<name<float>> }
#define LIST(...) \
  { __VA_ARGS__ }

// Of the transformer.
const std::vector<FusedOp> &TransformerOps();
// Of the audio VAE and the vocoder.
const std::vector<FusedOp> &AudioOps();

void RegisterFusedOps();

}  // namespace tfnodejs

#endif  // LTX_A2A_FUSED_OPS_H_
