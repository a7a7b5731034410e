// kinema/kernel/cuda/runtime.hpp - contexts, memory and copies on CUDA devices, and their description for listings.
#pragma once

#include <kinema/kernel/cuda/detail/context.hpp>
#include <kinema/runtime/devices.hpp>

#include <memory>
#include <vector>

#if !KINEMA_WITH_CUDA
#error "kinema/kernel/cuda/runtime.hpp needs CUDA: link kinema::cuda or define KINEMA_WITH_CUDA=1"
#endif

namespace kinema::inline KINEMA_ABI {

/// The calling thread's context on `device`, made on first use; the device becomes the thread's current one.
CudaContext& cuda_context(Device device) {
  static thread_local std::vector<std::unique_ptr<CudaContext>> contexts;
  for (const auto& c : contexts) {
    if (c->device() != device) continue;
    c->make_current();
    return *c;
  }
  contexts.push_back(std::make_unique<CudaContext>(device));
  return *contexts.back();
}

Storage cuda_allocate(std::size_t bytes, Device device) { return cuda_context(device).allocate(bytes); }

/// After every op given to the devices involved. Copies that touch the host are finished on return, because nobody
/// keeps the host bytes alive or unchanged otherwise.
void cuda_copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) {
  if (to_device.is_cpu() || from_device.is_cpu()) {
    CudaContext& ctx = cuda_context(to_device.is_cpu() ? from_device : to_device);
    KINEMA_CUDA(cudaMemcpyAsync(to, from, bytes, to_device.is_cpu() ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice, ctx.stream()));
    ctx.synchronize();
  } else if (to_device == from_device) {
    KINEMA_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda_context(to_device).stream()));
  } else {
    CudaContext& source = cuda_context(from_device);
    CudaContext& target = cuda_context(to_device);
    target.wait_for(source);
    KINEMA_CUDA(cudaMemcpyPeerAsync(to, to_device.index, from, from_device.index, bytes, target.stream()));
    source.wait_for(target);  // the source may be freed or overwritten only afterwards
    target.make_current();
  }
}

void cuda_set(void* to, Device device, int byte, std::size_t bytes) {
  if (bytes != 0) cuda_context(device).set(to, byte, bytes);
}

void cuda_synchronize(Device device) { cuda_context(device).synchronize(); }

MemoryStatistics cuda_memory_statistics(Device device) { return cuda_context(device).memory_statistics(); }

std::string cuda_why_not(Device device) {
  if (std::string why = kernel::cuda::why_not(device); !why.empty()) return why;
  try {
    cuda_context(device);  // also finds out whether the kernels fit the device
  } catch (const Error& e) {
    const std::string prefix = cat(device, ": ");
    const std::string_view text = e.what();
    return std::string(text.substr(0, prefix.size()) == prefix ? text.substr(prefix.size()) : text);
  }
  return {};
}

std::vector<DeviceDescription> cuda_devices() {
  const kernel::cuda::Probe p = kernel::cuda::probe();
  if (std::string why = kernel::cuda::why_no_device(p); !why.empty()) return {{Device::cuda(0), false, std::move(why)}};
  std::vector<DeviceDescription> list;
  for (int i = 0; i < p.count; ++i) {
    const Device device = Device::cuda(i);
    if (std::string why = cuda_why_not(device); !why.empty()) {
      list.push_back({device, false, std::move(why)});
      continue;
    }
    const kernel::cuda::Properties& d = cuda_context(device).properties();
    list.push_back({device, true,
                    cat(d.name, ", sm_", d.major, d.minor, ", ", d.multiprocessors, " multiprocessors, ",
                        static_cast<double>(d.total_bytes * 10 >> 30) / 10, " GiB, driver for CUDA ", kernel::cuda::version_text(p.driver))});
  }
  return list;
}

}  // namespace kinema::inline KINEMA_ABI
