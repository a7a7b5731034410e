// kinema/core/device.hpp - where bytes live and ops run.
#pragma once

#include <kinema/core/error.hpp>

#include <string>

namespace kinema::inline KINEMA_ABI {
/// Where memory is and kernels run.
enum class DeviceKind : std::uint8_t { cpu, cuda };
/// The processor, or a GPU by its number.
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  static constexpr Device cpu() { return {}; }
  static constexpr Device cuda(int index = 0) { return {DeviceKind::cuda, index}; }
  constexpr bool is_cpu() const { return kind == DeviceKind::cpu; }
  constexpr bool operator==(const Device&) const = default;
};

inline std::string to_string(Device d) { return d.is_cpu() ? std::string("cpu") : cat("cuda:", d.index); }  ///< "cpu", "cuda:0"

}  // namespace kinema::inline KINEMA_ABI
