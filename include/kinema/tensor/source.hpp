// kinema/tensor/source.hpp - tensors by name: what modules fill themselves from, without knowing any file format.
#pragma once

#include <kinema/tensor/tensor.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI {

/// A checkpoint as modules see it.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Every name, in a fixed order.
  virtual std::vector<std::string> names() const = 0;
  virtual bool contains(std::string_view name) const = 0;
  /// Shape and dtype without touching the data. Throws CheckpointError if there is no such tensor.
  virtual Shape shape(std::string_view name) const = 0;
  virtual DType dtype(std::string_view name) const = 0;
  /// The tensor on the host, zero-copy where the file allows it.
  virtual Tensor<> get(std::string_view name) const = 0;
  /// The bytes of a tensor are not needed for now, or will be soon: advice that never changes a value.
  virtual void forget(std::string_view) const {}
  virtual void prefetch(std::string_view) const {}
  /// What messages call this source: a file or folder name.
  virtual std::string description() const = 0;
};

}  // namespace kinema::inline KINEMA_ABI
