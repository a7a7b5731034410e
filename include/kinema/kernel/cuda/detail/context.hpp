// kinema/kernel/cuda/detail/context.hpp - CudaContext: a stream, its memory, its libraries and the device's properties.
//
// Memory comes from the driver's stream-ordered pool, which is told to keep what was freed. A block carries its stream
// along, so it can be freed after the context that allocated it. Work of one context is in order; nothing else is.
#pragma once

#include <kinema/kernel/cuda/detail/check.hpp>
#include <kinema/runtime/context.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI {

namespace kernel::cuda {

/// What device_properties() reports; the few facts that kernels and listings need.
struct Properties {
  std::string name;
  int major = 0, minor = 0;             ///< compute capability
  int multiprocessors = 0;
  std::size_t total_bytes = 0, shared_bytes = 0;  ///< device memory; shared memory that one block may have
};

/// Asks the runtime once; never throws.
inline Probe probe() {
  Probe p;
  const cudaError_t status = cudaGetDeviceCount(&p.count);
  p.status = static_cast<int>(status);
  p.error_text = cudaGetErrorString(status);
  if (status != cudaSuccess) p.count = 0;
  (void)cudaDriverGetVersion(&p.driver);
  (void)cudaRuntimeGetVersion(&p.runtime);
  (void)cudaGetLastError();
  p.visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return p;
}

inline Properties device_properties(int index) {
  cudaDeviceProp p{};
  KINEMA_CUDA(cudaGetDeviceProperties(&p, index));
  return {p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem, p.sharedMemPerBlockOptin};
}

/// Why this device cannot run this program; empty if it can. Does not start the device.
inline std::string why_not(Device device) {
  const Probe p = probe();
  std::string why = why_no_device(p);
  if (why.empty()) why = why_not_index(device.index, p.count, p.visible);
  return why;
}

/// Empty if the device kernels in this program run on the current device. Defined in kernel/cuda/build.cuh, by nvcc.
std::string why_no_kernels(const Properties& properties);

using Stream = std::shared_ptr<CUstream_st>;

}  // namespace kernel::cuda

/// What CUDA kernels see. One thread at a time; movable contexts are unique_ptrs.
class CudaContext {
 public:
  explicit CudaContext(Device device) : device_(device) {
    if (const std::string why = kernel::cuda::why_not(device); !why.empty()) throw DeviceError(cat(device, ": ", why));
    make_current();
    properties_ = kernel::cuda::device_properties(device.index);
    if (const std::string why = kernel::cuda::why_no_kernels(properties_); !why.empty()) throw DeviceError(cat(device, ": ", why));
    cudaStream_t stream = nullptr;
    KINEMA_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_ = kernel::cuda::Stream(stream, [](cudaStream_t s) { (void)cudaStreamDestroy(s); });
    KINEMA_CUDA(cudaDeviceGetDefaultMemPool(&pool_, device.index));
    std::uint64_t keep = UINT64_MAX;  // never give memory back between ops: the next op wants it
    KINEMA_CUDA(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep));
  }
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;
  ~CudaContext() { (void)cudaStreamSynchronize(stream_.get()); }

  Device device() const { return device_; }
  cudaStream_t stream() const { return stream_.get(); }
  const kernel::cuda::Properties& properties() const { return properties_; }
  /// Launches and library calls go to the thread's current device.
  void make_current() const { KINEMA_CUDA(cudaSetDevice(device_.index)); }
  void synchronize() const { KINEMA_CUDA(cudaStreamSynchronize(stream_.get())); }

  void set(void* to, int byte, std::size_t bytes) { KINEMA_CUDA(cudaMemsetAsync(to, byte, bytes, stream())); }

  /// Later work of this context starts after everything that `other` has been given so far.
  void wait_for(const CudaContext& other) const {
    cudaEvent_t event = nullptr;
    other.make_current();
    KINEMA_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    const std::unique_ptr<CUevent_st, cudaError_t (*)(cudaEvent_t)> owner(event, cudaEventDestroy);
    KINEMA_CUDA(cudaEventRecord(event, other.stream()));
    make_current();
    KINEMA_CUDA(cudaStreamWaitEvent(stream(), event, 0));
  }

  /// Uninitialised device bytes, never null. Throws MemoryError with what was asked for, free and there.
  Storage allocate(std::size_t bytes) {
    void* data = allocate_bytes(std::max<std::size_t>(bytes, 1));
    return {data, bytes, device_, std::shared_ptr<void>(data, [stream = stream_](void* p) { (void)cudaFreeAsync(p, stream.get()); })};
  }

  /// Working memory of one op: blocks are freed in reverse order, and later work may reuse the bytes at once because
  /// work of one stream is in order.
  class Scratch {
   public:
    Scratch(CudaContext& context, std::size_t bytes) : context_(context), chunk_(context.scratch_chunk_), used_(context.scratch_used_) {
      data_ = context.push_scratch(bytes);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { context_.scratch_chunk_ = chunk_, context_.scratch_used_ = used_; }
    template <class T> T* as() const { return reinterpret_cast<T*>(data_); }

   private:
    CudaContext& context_;
    char* data_;
    std::size_t chunk_, used_;
  };
  Scratch scratch(std::size_t bytes) { return Scratch(*this, bytes); }

  /// The context's own T (a library handle with its caches), made on first use.
  template <class T>
  T& library() {
    for (const auto& [key, object] : libraries_)
      if (key == &library_key<T>) return *static_cast<T*>(object.get());
    make_current();
    libraries_.emplace_back(&library_key<T>, std::make_shared<T>());
    return *static_cast<T*>(libraries_.back().second.get());
  }

  /// Bytes that tensors and scratch hold now and at most so far, and bytes taken from the device.
  MemoryStatistics memory_statistics() const {
    std::uint64_t used = 0, high = 0, reserved = 0;
    KINEMA_CUDA(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used));
    KINEMA_CUDA(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemHigh, &high));
    KINEMA_CUDA(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved));
    return {used, high, reserved};
  }

 private:
  template <class T> static inline const char library_key = 0;
  static constexpr std::size_t scratch_alignment = 256, scratch_chunk_bytes = std::size_t{8} << 20;

  void* allocate_bytes(std::size_t bytes) {
    make_current();
    void* data = nullptr;
    cudaError_t status = cudaMallocAsync(&data, bytes, stream());
    if (status == cudaErrorMemoryAllocation) {  // another process, or our own pool, may hold what is missing: ask once more
      (void)cudaGetLastError();
      synchronize();
      KINEMA_CUDA(cudaMemPoolTrimTo(pool_, 0));
      status = cudaMallocAsync(&data, bytes, stream());
    }
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      std::size_t free = 0, total = 0;
      (void)cudaMemGetInfo(&free, &total);
      throw MemoryError(cat("memory: ", device_, " refused ", bytes, " bytes (", free, " of ", total, " free, ",
                            memory_statistics().live, " held by this program)"));
    }
    check(status, "cudaMallocAsync(&data, bytes, stream)");
    return data;
  }
  static void check(cudaError_t status, std::string_view call) { kernel::cuda::check(status, call); }

  char* push_scratch(std::size_t bytes) {
    const std::size_t need = (bytes + scratch_alignment - 1) / scratch_alignment * scratch_alignment;
    while (scratch_chunk_ < chunks_.size() && scratch_used_ + need > chunks_[scratch_chunk_].bytes) ++scratch_chunk_, scratch_used_ = 0;
    if (scratch_chunk_ == chunks_.size()) {
      chunks_.push_back(allocate(std::max(need, scratch_chunk_bytes)));
      scratch_used_ = 0;
    }
    char* p = static_cast<char*>(chunks_[scratch_chunk_].data) + scratch_used_;
    scratch_used_ += need;
    return p;
  }

  Device device_;
  kernel::cuda::Properties properties_;
  kernel::cuda::Stream stream_;
  cudaMemPool_t pool_ = nullptr;
  std::vector<Storage> chunks_;
  std::size_t scratch_chunk_ = 0, scratch_used_ = 0;
  std::vector<std::pair<const void*, std::shared_ptr<void>>> libraries_;
};

}  // namespace kinema::inline KINEMA_ABI
