// kinema/runtime/devices.hpp - which devices this program can use, and why not, for --list-devices and --device.
//
//   for (const DeviceDescription& d : list_devices()) std::puts(to_string(d).c_str());
//   require_device(Device::cuda(0));      // DeviceError: cuda:0: no NVIDIA driver found
//
// Works in every build: without CUDA the list has the CPU and one line that says how to get more.
#pragma once

#include <kinema/runtime/context.hpp>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI {
/// A device of this machine, or why it is none.
struct DeviceDescription {
  Device device;
  bool usable = false;
  std::string text;  ///< what it is, or why it cannot be used
};
inline std::string to_string(const DeviceDescription& d) {  ///< a line of `--list-devices`
  const std::string name = to_string(d.device);
  return cat(name, std::string(name.size() < 8 ? 8 - name.size() : 1, ' '), d.usable ? "" : "not available: ", d.text);
}

/// What the CPU kernels of this program were compiled for.
struct CpuBuild {
  std::string_view isa;
  bool openmp, onednn, eigen, xsimd;
};
#define KINEMA_CPU_BUILD \
  { KINEMA_STRING(KINEMA_ISA), KINEMA_WITH_OPENMP != 0, KINEMA_WITH_ONEDNN != 0, KINEMA_WITH_EIGEN != 0, KINEMA_WITH_XSIMD != 0 }
#if KINEMA_KERNELS_APART
CpuBuild cpu_build();  ///< kernel/cpu/runtime.hpp: the flags of the kernel units count, not those of this file
#else
inline CpuBuild cpu_build() { return KINEMA_CPU_BUILD; }  ///< of this program
#endif

namespace detail {

/// The first instruction set extension that kernels need and this processor lacks; empty if none.
inline std::string missing_instructions([[maybe_unused]] std::string_view isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = isa.substr(0, 6) == "avx512";
  if (isa == "avx512bf16" && !__builtin_cpu_supports("avx512bf16")) return "AVX-512 BF16";
  if (avx512 && !__builtin_cpu_supports("avx512f")) return "AVX-512";
  if ((avx512 || isa == "avx2") && !__builtin_cpu_supports("avx2")) return "AVX2";
  if ((avx512 || isa == "avx2") && !__builtin_cpu_supports("fma")) return "FMA";
  if (isa != "base" && !__builtin_cpu_supports("sse4.2")) return "SSE 4.2";
#endif
  return {};
}

inline std::string why_no_cpu(std::string_view isa, std::string_view missing) {
  if (missing.empty()) return {};
  return cat("this program was built for ", isa, ", but the processor has no ", missing);
}

/// "model name" of the first processor, or "processor".
inline std::string processor_name() {
  std::string name = "processor";
  std::FILE* file = std::fopen("/proc/cpuinfo", "r");
  if (!file) return name;
  char line[512];
  while (std::fgets(line, sizeof line, file)) {
    const std::string_view text(line);
    const std::size_t colon = text.find(": ");
    if (text.substr(0, 10) != "model name" || colon == text.npos) continue;
    const std::string_view value = text.substr(colon + 2);
    name = printable(value.substr(0, value.find('\n')));
    break;
  }
  std::fclose(file);
  return name;
}

}  // namespace detail

#if KINEMA_WITH_CUDA
std::vector<DeviceDescription> cuda_devices();     ///< kernel/cuda/runtime.hpp; at least one line
std::string cuda_why_not(Device device);           ///< empty if the device can be used
void cuda_synchronize(Device device);
MemoryStatistics cuda_memory_statistics(Device device);
#endif

/// "avx2, OpenMP, oneDNN, Eigen, xsimd" - how the CPU kernels were built.
inline std::string to_string(const CpuBuild& b) {
  return cat(b.isa, b.openmp ? ", OpenMP" : ", one thread", b.onednn ? ", oneDNN" : "", b.eigen ? ", Eigen" : "", b.xsimd ? ", xsimd" : "");
}

/// Every device, the CPU first. Devices that cannot be used are listed with the reason. Does not throw for their sake.
inline std::vector<DeviceDescription> list_devices() {
  const CpuBuild build = cpu_build();
  const std::string why = detail::why_no_cpu(build.isa, detail::missing_instructions(build.isa));
  std::vector<DeviceDescription> list;
  list.push_back({Device::cpu(), why.empty(),
                  why.empty() ? cat(detail::processor_name(), ", ", default_threads(), " threads, kernels: ", build) : why});
#if KINEMA_WITH_CUDA
  for (DeviceDescription& d : cuda_devices()) list.push_back(std::move(d));
#else
  list.push_back({Device::cuda(0), false, "this program was built without CUDA (KINEMA_WITH_CUDA=0)"});
#endif
  return list;
}

/// Throws DeviceError with one sentence unless ops can run on `device`.
inline void require_device(Device device) {
  std::string why;
  if (device.is_cpu()) {
    const CpuBuild build = cpu_build();
    why = detail::why_no_cpu(build.isa, detail::missing_instructions(build.isa));
  } else {
#if KINEMA_WITH_CUDA
    why = cuda_why_not(device);
#else
    why = "this program was built without CUDA (KINEMA_WITH_CUDA=0)";
#endif
  }
  if (!why.empty()) throw DeviceError(cat(device, ": ", why));
}

/// The first usable accelerator, else the CPU.
inline Device best_device() {
  for (const DeviceDescription& d : list_devices())
    if (d.usable && !d.device.is_cpu()) return d.device;
  return Device::cpu();
}

/// Waits until every op that this thread gave to `device` has finished; errors of those ops surface here.
inline void synchronize([[maybe_unused]] Device device) {
#if KINEMA_WITH_CUDA
  if (!device.is_cpu()) cuda_synchronize(device);
#endif
}

/// Bytes of tensors on `device` as this thread's context counts them.
inline MemoryStatistics memory_statistics(Device device) {
  if (device.is_cpu()) return cpu_context().pool->statistics();
#if KINEMA_WITH_CUDA
  return cuda_memory_statistics(device);
#else
  throw DeviceError(cat(device, ": this program was built without CUDA (KINEMA_WITH_CUDA=0)"));
#endif
}

/// "cpu", "cuda" or "cuda:1". Throws ArgumentError.
inline Device parse_device(std::string_view text) {
  if (text == "cpu") return Device::cpu();
  if (text == "cuda") return Device::cuda(0);
  const std::string_view digits = text.substr(0, 5) == "cuda:" ? text.substr(5) : std::string_view();
  int index = 0;
  bool valid = !digits.empty() && digits.size() <= 3;
  for (const char c : digits) {
    valid = valid && c >= '0' && c <= '9';
    index = index * 10 + (c - '0');
    if (!valid) break;
  }
  if (!valid) throw ArgumentError(cat("device: must be cpu, cuda or cuda:N, got \"", printable(text), "\""));
  return Device::cuda(index);
}

}  // namespace kinema::inline KINEMA_ABI
