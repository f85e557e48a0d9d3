// Loops on all cores, for kernels. Kernels of TensorFlow's C interface have no access to the threads of TensorFlow.

#ifndef LTX_A2A_PARALLEL_FOR_H_
#define LTX_A2A_PARALLEL_FOR_H_

#include <algorithm>
#include <cstdint>
#include <functional>

#include "processor.h"

namespace tfnodejs {

constexpr int64_t CeilDiv(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Calls work(chunk) for every chunk in [0, chunks), on the calling thread and on those that are idle. Returns when all are done.
// Rethrows the first exception of the work; then some chunks are left out.
void RunChunks(int64_t chunks, const std::function<void(int64_t)> &work);

// Calls prepare(chunk) for every chunk in [0, preparations), then work(chunk) for every chunk in [0, chunks). `prepare` must not throw.
void RunPreparedChunks(int64_t preparations, const std::function<void(int64_t)> &prepare, int64_t chunks,
                       const std::function<void(int64_t)> &work);

// How many threads run chunks.
int CoreCount();

// What is inlined into a loop is compiled for the loop's instructions.
#define INLINE inline __attribute__((always_inline))

#ifdef __x86_64__
template <typename Loop>
__attribute__((target("avx2,fma"))) void RunAvx2(const Loop &loop, int64_t begin, int64_t end) {
  loop(begin, end);
}

template <typename Loop>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))) void RunAvx512(const Loop &loop, int64_t begin,
                                                                                 int64_t end) {
  loop(begin, end);
}
#endif

template <typename Loop>
void RunVectorized(const Loop &loop, int64_t begin, int64_t end) {
#ifdef __x86_64__
  if (AvailableInstructions() >= Instructions::kAvx512) return RunAvx512(loop, begin, end);
  if (AvailableInstructions() >= Instructions::kAvx2) return RunAvx2(loop, begin, end);
#endif
  loop(begin, end);
}

// About as many elements as take 20 µs.
constexpr int64_t kChunkElements = 32768;

// The body of a loop, with a copy of what it uses.
#define LOOP(begin, end) [=](int64_t begin, int64_t end) __attribute__((always_inline))

// Calls loop(begin, end) for ranges that cover [0, count). The loop is a LOOP.
// elements: what one iteration reads or writes; it decides how many iterations a range has.
template <typename Loop>
void ParallelFor(int64_t count, int64_t elements, const Loop &loop) {
  const int64_t size = std::max<int64_t>(1, kChunkElements / std::max<int64_t>(1, elements));
  RunChunks(CeilDiv(count, size),
            [&](int64_t chunk) { RunVectorized(loop, chunk * size, std::min(count, (chunk + 1) * size)); });
}

}  // namespace tfnodejs

#endif  // LTX_A2A_PARALLEL_FOR_H_
