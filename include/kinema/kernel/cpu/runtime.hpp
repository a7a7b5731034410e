// kinema/kernel/cpu/runtime.hpp - what the CPU kernel units were compiled for.
#pragma once

#include <kinema/runtime/devices.hpp>

#if KINEMA_KERNELS_APART
namespace kinema::inline KINEMA_ABI {

int default_threads() { return KINEMA_DEFAULT_THREADS; }
int thread_index() { return KINEMA_THREAD_INDEX; }
CpuBuild cpu_build() { return KINEMA_CPU_BUILD; }

}  // namespace kinema::inline KINEMA_ABI
#endif
