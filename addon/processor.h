// What this processor can do.

#ifndef LTX_A2A_PROCESSOR_H_
#define LTX_A2A_PROCESSOR_H_

namespace tfnodejs {

// Instructions for vectors and matrices, in the order in which processors got them. Baseline: what every processor of the platform has.
enum class Instructions { kBaseline, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// The best that processor and operating system have, or less where the environment variable LTX_A2A_INSTRUCTIONS asks for less: `baseline`, `avx2`,
// `avx512`, `avx512_bf16` or `amx`.
Instructions AvailableInstructions();

// The number of cores that this process may use.
int AvailableCores();

}  // namespace tfnodejs

#endif  // LTX_A2A_PROCESSOR_H_
