// One call of a kernel through TensorFlow's C interface: its inputs, its outputs and its failure.

#ifndef LTX_A2A_KERNEL_CALL_H_
#define LTX_A2A_KERNEL_CALL_H_

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kernel_api.h"

namespace tfnodejs {

using Shape = std::vector<int64_t>;

inline int64_t ElementCount(const Shape &shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

class KernelCall {
 public:
  KernelCall(TF_OpKernelContext *context, const std::vector<int64_t> &parameters)
      : context_(context), parameters_(parameters), status_(TF_NewStatus(), TF_DeleteStatus) {}

  // The integer attribute `flags` of an op that has it.
  int64_t flags() const { return parameters_.at(0); }

  // The attribute `sizes` of an op that has it.
  const std::vector<int64_t> &sizes() const { return parameters_; }

  int InputCount() const { return TF_NumInputs(context_); }

  TF_DataType InputType(int input) const { return TF_InputDatatype(context_, input); }
  TF_DataType OutputType(int output) const { return TF_ExpectedOutputDataType(context_, output); }

  Shape ShapeOf(int input) { return ShapeOf(GetInput(input).get()); }

  // The values stay valid until the call ends.
  template <typename T>
  const T *Input(int input) {
    held_.push_back(GetInput(input));
    return static_cast<const T *>(TF_TensorData(held_.back().get()));
  }

  // Throws unless the input has this shape.
  template <typename T>
  const T *Input(int input, const Shape &shape) {
    Expect(ShapeOf(input) == shape, "an input has an unexpected shape");
    return Input<T>(input);
  }

  template <typename T>
  T *Output(int output, const Shape &shape) {
    TF_Tensor *tensor = TF_AllocateOutput(context_, output, OutputType(output), shape.data(), static_cast<int>(shape.size()),
                                          ElementCount(shape) * sizeof(T), status_.get());
    Check();
    held_.push_back({tensor, TF_DeleteTensor});
    return static_cast<T *>(TF_TensorData(tensor));
  }

  // An input and the output that takes over its memory where nothing else uses it. `from` may be equal to `to`.
  template <typename T>
  struct Update {
    const T *from;
    T *to;
  };

  // Must be called before any `Input` of the same input. The output gets the shape of the input.
  template <typename T>
  Update<T> Updated(int output, int input) {
    const Shape shape = ShapeOf(input);
    int forwarded = -1;
    TF_Tensor *tensor =
        TF_ForwardInputOrAllocateOutput(context_, &input, 1, output, shape.data(), static_cast<int>(shape.size()),
                                        &forwarded, status_.get());
    Check();
    held_.push_back({tensor, TF_DeleteTensor});
    T *to = static_cast<T *>(TF_TensorData(tensor));
    return {forwarded == input ? to : Input<T>(input), to};
  }

  static void Expect(bool condition, const char *message) {
    if (!condition) throw std::invalid_argument(message);
  }

  void Fail(const char *message) {
    TF_SetStatus(status_.get(), TF_INVALID_ARGUMENT, message);
    TF_OpKernelContext_Failure(context_, status_.get());
  }

 private:
  using HeldTensor = std::unique_ptr<TF_Tensor, decltype(&TF_DeleteTensor)>;

  HeldTensor GetInput(int input) {
    TF_Tensor *tensor = nullptr;
    TF_GetInput(context_, input, &tensor, status_.get());
    Check();
    return {tensor, TF_DeleteTensor};
  }

  static Shape ShapeOf(const TF_Tensor *tensor) {
    Shape shape(TF_NumDims(tensor));
    for (size_t axis = 0; axis < shape.size(); axis++) shape[axis] = TF_Dim(tensor, static_cast<int>(axis));
    return shape;
  }

  void Check() {
    if (TF_GetCode(status_.get()) != TF_OK) throw std::runtime_error(TF_Message(status_.get()));
  }

  TF_OpKernelContext *context_;
  const std::vector<int64_t> &parameters_;
  std::unique_ptr<TF_Status, decltype(&TF_DeleteStatus)> status_;
  std::vector<HeldTensor> held_;
};

}  // namespace tfnodejs

#endif  // LTX_A2A_KERNEL_CALL_H_
