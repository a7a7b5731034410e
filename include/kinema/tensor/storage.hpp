// kinema/tensor/storage.hpp - bytes on a device together with what keeps them alive.
#pragma once

#include <kinema/core/device.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace kinema::inline KINEMA_ABI {

/// How many readers still count on bytes as they are: recorded ops that need a value when gradients flow back. While there
/// is one, writing in place is refused (Expect::Argument::writable). Belongs to a place, so it is neither copied nor moved.
class ReaderCount {
 public:
  ReaderCount() = default;
  ReaderCount(const ReaderCount&) noexcept {}
  ReaderCount& operator=(const ReaderCount&) noexcept { return *this; }
  void enter() noexcept { ++count_; }
  void leave() noexcept { --count_; }
  bool any() const noexcept { return count_ > 0; }

 private:
  std::atomic<int> count_ = 0;
};

/// Bytes and their owner: a block of a memory pool, a memory map, or somebody else's buffer.
struct Storage {
  void* data = nullptr;
  std::size_t bytes = 0;
  Device device;
  std::shared_ptr<void> owner;
  mutable ReaderCount readers = {};
};

/// A backend's private form of a constant tensor, such as packed weights: made once, on first use, and shared.
class Attachment {
 public:
  /// Returns the object made by `make` (a callable returning shared_ptr<T>) on the first call. Thread-safe.
  template <class T, class Make>
  std::shared_ptr<const T> get(const Make& make) {
    const std::scoped_lock lock(mutex_);
    if (!value_) value_ = std::shared_ptr<const void>(make());
    return std::static_pointer_cast<const T>(value_);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const void> value_;
};

}  // namespace kinema::inline KINEMA_ABI
