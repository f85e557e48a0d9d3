// Lets TensorFlow look for devices, for which its CUDA build loads the libraries of CUDA.
#include <cstdio>

#include "tensorflow/c/eager/c_api.h"

int main() {
  TF_Status *status = TF_NewStatus();
  TFE_ContextOptions *options = TFE_NewContextOptions();
  TFE_Context *context = TFE_NewContext(options, status);
  if (TF_GetCode(status) != TF_OK) {
    std::fprintf(stderr, "%s\n", TF_Message(status));
    return 1;
  }
  TFE_DeleteContext(context);
  TFE_DeleteContextOptions(options);
  TF_DeleteStatus(status);
  return 0;
}
