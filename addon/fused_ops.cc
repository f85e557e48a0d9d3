#include "fused_ops.h"

#include <mutex>

#include "tf_auto_status.h"

namespace tfnodejs {
namespace {

// Throws what TensorFlow says.
void ThrowUnlessOk(TF_Status *status) {
  if (TF_GetCode(status) != TF_OK) throw std::runtime_error(TF_Message(status));
}

std::vector<int64_t> ReadFlags(TF_OpKernelConstruction *construction, TF_Status *status) {
  std::vector<int64_t> flags(1);
  TF_OpKernelConstruction_GetAttrInt64(construction, "flags", flags.data(), status);
  return flags;
}

std::vector<int64_t> ReadSizes(TF_OpKernelConstruction *construction, TF_Status *status) {
  int32_t count = 0, unused = 0;
  TF_OpKernelConstruction_GetAttrSize(construction, "sizes", &count, &unused, status);
  std::vector<int64_t> sizes(count > 0 ? count : 0);
  if (!sizes.empty()) TF_OpKernelConstruction_GetAttrInt64List(construction, "sizes", sizes.data(), count, status);
  return sizes;
}

template <std::vector<int64_t> (*read)(TF_OpKernelConstruction *, TF_Status *)>
void *Create(TF_OpKernelConstruction *construction) {
  TF_AutoStatus status;
  auto parameters = std::make_unique<std::vector<int64_t>>(read(construction, status.status));
  if (TF_GetCode(status.status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status.status);
  return parameters.release();
}

void Delete(void *parameters) { delete static_cast<std::vector<int64_t> *>(parameters); }

void *(*CreatorFor(OpParameter parameter))(TF_OpKernelConstruction *) {
  if (parameter == OpParameter::kNone) return nullptr;
  return parameter == OpParameter::kFlags ? Create<ReadFlags> : Create<ReadSizes>;
}

void RegisterKernel(const FusedOp &op, TF_DataType type, ComputeFunction compute) {
  if (compute == nullptr) return;
  TF_AutoStatus status;
  const auto create = CreatorFor(op.parameter);
  TF_KernelBuilder *kernel =
      TF_NewKernelBuilder(op.name, "CPU", create, compute, create == nullptr ? nullptr : Delete);
  TF_KernelBuilder_TypeConstraint(kernel, "T", type, status.status);
  ThrowUnlessOk(status.status);
  TF_RegisterKernelBuilder(op.name, kernel, status.status);
  ThrowUnlessOk(status.status);
}

void UnknownShape(TF_ShapeInferenceContext *context, TF_Status *status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

void RegisterOp(const FusedOp &op) {
  TF_OpDefinitionBuilder *builder = TF_NewOpDefinitionBuilder(op.name);
  TF_OpDefinitionBuilderAddAttr(builder, "T: {bfloat16, float}");
  if (op.parameter == OpParameter::kFlags) TF_OpDefinitionBuilderAddAttr(builder, "flags: int");
  if (op.parameter == OpParameter::kSizes) TF_OpDefinitionBuilderAddAttr(builder, "sizes: list(int)");
  for (const char *attribute : op.attributes) TF_OpDefinitionBuilderAddAttr(builder, attribute);
  for (const char *input : op.inputs) TF_OpDefinitionBuilderAddInput(builder, input);
  for (const char *output : op.outputs) TF_OpDefinitionBuilderAddOutput(builder, output);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, UnknownShape);
  TF_AutoStatus status;
  TF_RegisterOpDefinition(builder, status.status);
  ThrowUnlessOk(status.status);
  RegisterKernel(op, TF_BFLOAT16, op.bfloat16);
  RegisterKernel(op, TF_FLOAT, op.float32);
}

}  // namespace

void RegisterFusedOps() {
  static std::once_flag registered;  // the addon can be loaded once per thread of Node
  std::call_once(registered, [] {
    for (const FusedOp &op : TransformerOps()) RegisterOp(op);
    for (const FusedOp &op : AudioOps()) RegisterOp(op);
  });
}

}  // namespace tfnodejs
