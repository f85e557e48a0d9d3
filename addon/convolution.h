// Convolutions in float32, on processors with AMX.

#ifndef LTX_A2A_CONVOLUTION_H_
#define LTX_A2A_CONVOLUTION_H_

#include <cstdint>

namespace tfnodejs {

// A convolution over two axes with stride 1. All arrays are channels-last.
struct Convolution {
  int64_t batch, height, width, inputs, outputs;
  int64_t height_taps, width_taps, dilation;
  // How many zeros surround x.
  int64_t top, bottom, left, right;
  const float *x;                   // [batch, height, width, inputs]
  const float *kernel;              // [height_taps, width_taps, inputs, outputs]
  const float *bias = nullptr;      // [outputs], if any
  const float *residual = nullptr;  // what is added to the result, if anything, with the shape of the result
  float *y;                         // [batch, OutputHeight(), OutputWidth(), outputs]

  int64_t PaddedHeight() const { return top + height + bottom; }
  int64_t PaddedWidth() const { return left + width + right; }
  int64_t OutputHeight() const { return PaddedHeight() - (height_taps - 1) * dilation; }
  int64_t OutputWidth() const { return PaddedWidth() - (width_taps - 1) * dilation; }
};

// Whether this processor has the instructions.
bool CanConvolveFloat32();

// On all cores, with about the precision of float32 for inputs between 1e-34 and 3e38: below, parts of them are denormal, which counts as zero; above, they
// count as infinite. An infinite input gives infinite or undefined results. Sums are accumulated in an order that does not depend on the number of cores.
void Convolve(const Convolution &convolution);

}  // namespace tfnodejs

#endif  // LTX_A2A_CONVOLUTION_H_
