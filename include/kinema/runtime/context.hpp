// kinema/runtime/context.hpp - where a thread's ops run: threads, memory pool, scratch, observer.
//
// Nothing is process-wide: a context is a value, the current one is per thread and scoped, and a thread that never
// names one gets its own default.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/runtime/memory.hpp>
#include <kinema/runtime/observer.hpp>

#include <memory>

namespace kinema::inline KINEMA_ABI {

/// What CPU kernels see.
struct CpuContext {
  explicit CpuContext(int thread_count = default_threads(), std::shared_ptr<MemoryPool> memory = std::make_shared<MemoryPool>())
      : threads(thread_count), pool(std::move(memory)), arena(pool) {}
  ScratchArena::Block scratch(std::size_t bytes) { return arena.scratch(bytes); }

  int threads;                        ///< at most so many threads per op
  std::shared_ptr<MemoryPool> pool;   ///< tensors come from here
  ScratchArena arena;                 ///< working memory of kernels
  Observer* observer = nullptr;       ///< borrowed
};

/// What CUDA kernels see; defined, with CUDA types, in kernel/cuda/detail/context.hpp.
class CudaContext;

namespace detail {
inline CpuContext*& current_cpu_context() {
  static thread_local CpuContext* current = nullptr;
  return current;
}
}  // namespace detail

/// The calling thread's CPU context.
inline CpuContext& cpu_context() {
  if (CpuContext* c = detail::current_cpu_context()) return *c;
  static thread_local CpuContext fallback;
  return fallback;
}

/// Makes `context` the calling thread's CPU context until the scope ends.
class CpuScope {
 public:
  explicit CpuScope(CpuContext& context) : before_(detail::current_cpu_context()) { detail::current_cpu_context() = &context; }
  CpuScope(const CpuScope&) = delete;
  CpuScope& operator=(const CpuScope&) = delete;
  ~CpuScope() { detail::current_cpu_context() = before_; }

 private:
  CpuContext* before_;
};

#if KINEMA_WITH_CUDA
CudaContext& cuda_context(Device device);            ///< kernel/cuda/runtime.hpp
Storage cuda_allocate(std::size_t bytes, Device device);
void cuda_copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes);
void cuda_set(void* to, Device device, int byte, std::size_t bytes);
#endif

/// Uninitialised bytes on a device. Throws MemoryError, or DeviceError if this build has no such device.
inline Storage allocate(std::size_t bytes, Device device) {
  if (device.is_cpu()) return cpu_context().pool->allocate(bytes);
#if KINEMA_WITH_CUDA
  return cuda_allocate(bytes, device);
#else
  throw DeviceError(cat("allocate: ", device, " requested, but this program was built without CUDA (KINEMA_WITH_CUDA=0)"));
#endif
}

/// Copies bytes between devices, in order with the ops of the contexts involved.
inline void copy_bytes(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) {
  if (bytes == 0) return;
  if (to_device.is_cpu() && from_device.is_cpu()) {
    __builtin_memcpy(to, from, bytes);
    return;
  }
#if KINEMA_WITH_CUDA
  cuda_copy(to, to_device, from, from_device, bytes);
#else
  throw DeviceError("copy_bytes: this program was built without CUDA (KINEMA_WITH_CUDA=0)");
#endif
}

}  // namespace kinema::inline KINEMA_ABI
