#include "processor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <thread>

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tfnodejs {
namespace {

#if defined(__x86_64__)

// Registers eax, ebx, ecx and edx after the instruction CPUID, function 7.
struct Features {
  unsigned int a, b, c, d;
};

Features FeaturesOf(unsigned int leaf) {
  Features features{7, 0, leaf, 0};
  __asm__ volatile("cpuid" : "+a"(features.a), "=b"(features.b), "+c"(features.c), "=d"(features.d));
  return features;
}

// Linux gives a process the registers of AMX when it asks for them.
bool RequestAmx() {
#ifdef __linux__
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Instructions Best() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Instructions::kBaseline;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return Instructions::kAvx2;
  constexpr unsigned int kAvx512Bf16 = 1u << 5, kAmx = 1u << 22 | 1u << 24;  // AMX-BF16 and AMX-TILE
  if (!(FeaturesOf(1).a & kAvx512Bf16)) return Instructions::kAvx512;
  return (FeaturesOf(0).d & kAmx) == kAmx && RequestAmx() ? Instructions::kAmx : Instructions::kAvx512Bf16;
}

#else

Instructions Best() { return Instructions::kBaseline; }

#endif

Instructions Requested() {
  const char *names[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx"};
  const char *given = std::getenv("LTX_A2A_INSTRUCTIONS");
  const auto found = std::find_if(std::begin(names), std::end(names),
                                  [&](const char *name) { return given != nullptr && std::strcmp(name, given) == 0; });
  return found == std::end(names) ? Instructions::kAmx : static_cast<Instructions>(found - std::begin(names));
}

}  // namespace

Instructions AvailableInstructions() {
  static const Instructions available = std::min(Best(), Requested());
  return available;
}

int AvailableCores() {
#ifdef __linux__
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return CPU_COUNT(&cores);
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace tfnodejs
