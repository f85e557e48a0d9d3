// Prints TensorFlow's registry of kernels to stdout, a serialized KernelList. It needs no graphics card and none of CUDA's libraries.
#include <cstdio>

#include "tensorflow/c/c_api.h"

int main() {
  TF_Status *status = TF_NewStatus();
  TF_Buffer *kernels = TF_GetAllRegisteredKernels(status);
  if (TF_GetCode(status) != TF_OK) {
    std::fprintf(stderr, "%s\n", TF_Message(status));
    return 1;
  }
  return std::fwrite(kernels->data, 1, kernels->length, stdout) == kernels->length ? 0 : 1;
}
