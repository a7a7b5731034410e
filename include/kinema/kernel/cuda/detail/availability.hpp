// kinema/kernel/cuda/detail/availability.hpp - why no CUDA device can be used, in words.
//
// Knows the numbers of the CUDA runtime but none of its headers, so that every sentence can be tested anywhere.
#pragma once

#include <kinema/core/error.hpp>

#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

/// Values of cudaError_t that get a sentence of their own; context.hpp checks them against the CUDA headers.
struct Status {
  static constexpr int success = 0, out_of_memory = 2, insufficient_driver = 35, no_device = 100, no_kernel_image = 209,
                       ecc_uncorrectable = 214, illegal_address = 700, launch_timeout = 702, misaligned_address = 716,
                       launch_failure = 719, system_driver_mismatch = 803;
};

/// What the runtime said when it was asked for devices.
struct Probe {
  int status = Status::success;      ///< of cudaGetDeviceCount
  int count = 0;                     ///< devices found
  int driver = 0, runtime = 0;       ///< CUDA versions as 1000 major + 10 minor; driver 0: there is none
  const char* visible = nullptr;     ///< CUDA_VISIBLE_DEVICES, if set
  std::string_view error_text = {};  ///< the runtime's own description of `status`
};

inline std::string version_text(int version) { return cat(version / 1000, ".", version % 1000 / 10); }

/// One clause without a final stop, such as "no NVIDIA driver found"; empty if devices were found.
inline std::string why_no_device(const Probe& p) {
  if (p.status == Status::success && p.count > 0) return {};
  // The runtime reports a missing driver as an insufficient one.
  if (p.status == Status::insufficient_driver && p.driver == 0) return "no NVIDIA driver found";
  if (p.status == Status::insufficient_driver)
    return cat("the NVIDIA driver supports CUDA ", version_text(p.driver), ", but this program needs CUDA ",
               version_text(p.runtime), ": update the driver");
  if (p.status == Status::system_driver_mismatch)
    return cat("the NVIDIA kernel module and the driver library (CUDA ", version_text(p.driver), ") are of different versions");
  if (p.status == Status::no_device || p.status == Status::success) {
    if (p.visible) return cat("no CUDA device is visible: CUDA_VISIBLE_DEVICES is \"", printable(p.visible), "\"");
    return "an NVIDIA driver was found, but no CUDA device";
  }
  return cat("CUDA could not start: ", p.error_text, " (error ", p.status, ")");
}

/// Why device `index` of `count` cannot be meant; empty if it can.
inline std::string why_not_index(int index, int count, const char* visible) {
  if (index >= 0 && index < count) return {};
  const std::string mask = visible ? cat(", CUDA_VISIBLE_DEVICES is \"", printable(visible), "\"") : std::string();
  if (count == 1) return cat("the only CUDA device here is cuda:0", mask);
  return cat("there are ", count, " CUDA devices here, cuda:0 to cuda:", count - 1, mask);
}

/// "sm_80, sm_90" from the compiler's list {800, 900}.
inline std::string architectures_text(const int* list, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += cat(i ? ", " : "", "sm_", list[i] / 10);
  return out;
}

/// Errors after which the process's CUDA context answers every call with the same error.
constexpr bool is_fatal(int status) {
  return status == Status::illegal_address || status == Status::launch_timeout || status == Status::misaligned_address ||
         status == Status::launch_failure || status == Status::ecc_uncorrectable;
}

/// "cuda: cudaMemcpyAsync(to, from, bytes): an illegal memory access was encountered (cudaErrorIllegalAddress, 700)".
inline std::string call_failed(std::string_view call, int status, std::string_view name, std::string_view text) {
  return cat("cuda: ", call, ": ", text, " (", name, ", ", status, ")",
             is_fatal(status) ? "; the device state is lost, this process cannot use CUDA any more" : "");
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
