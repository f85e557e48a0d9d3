/* A libcuda.so.1 of a driver without cards: enough for TensorFlow to look for the libraries of CUDA. */

enum { success = 0, no_device = 100 };

int cuInit(unsigned int flags) {
  (void)flags;
  return no_device;
}

int cuDriverGetVersion(int *version) {
  *version = 12050;
  return success;
}

int cuDeviceGetCount(int *count) {
  *count = 0;
  return success;
}

int cuGetErrorName(int error, const char **name) {
  *name = error == no_device ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
  return success;
}

int cuGetErrorString(int error, const char **text) {
  *text = error == no_device ? "no CUDA-capable device is detected" : "unknown error";
  return success;
}
