// kinema/runtime/observer.hpp - begin and end of every op, for profilers, traces and benchmarks.
#pragma once

#include <kinema/core/device.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI {

/// Receives every launch of the context that it is attached to, on the launching thread. What begin() throws leaves the
/// launch: the op does not run.
class Observer {
 public:
  virtual ~Observer() = default;
  /// flops: what the op's record says it computes, 0 where it does not.
  virtual void begin(std::string_view op, Device device, double flops) = 0;
  virtual void end(std::string_view op, Device device) = 0;
};

}  // namespace kinema::inline KINEMA_ABI
