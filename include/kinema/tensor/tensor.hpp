// kinema/tensor/tensor.hpp - the tensor handle: Tensor<> knows everything at run time, Tensor<T, R> promises it by type.
#pragma once

#include <kinema/fwd.hpp>
#include <kinema/tensor/storage.hpp>
#include <kinema/tensor/view.hpp>

#include <memory>
#include <utility>

namespace kinema::inline KINEMA_ABI {

// dyn, dyn_rank and the declaration with its default arguments are in fwd.hpp.

/// A shared handle on a window of storage. Copying shares; ops return new tensors and never write their inputs.
template <>
class Tensor<dyn, dyn_rank> {
 public:
  Tensor() = default;
  /// A window described by `ref` (its device must be the storage's) into `storage`.
  Tensor(const Ref& ref, std::shared_ptr<const Storage> storage)
      : state_(std::make_shared<State>(ref, std::move(storage))) {}

  explicit operator bool() const { return state_ != nullptr; }
  const Shape& shape() const { return ref().shape; }
  const Shape& strides() const { return ref().stride; }
  int rank() const { return shape().rank(); }
  std::int64_t size(int axis) const { return shape().at(axis); }  ///< negative axes count from the back
  std::int64_t numel() const { return shape().numel(); }
  DType dtype() const { return ref().dtype; }
  Device device() const { return ref().device; }
  bool is_contiguous() const { return ref().is_contiguous(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype()); }
  const void* id() const { return state_.get(); }  ///< two views of one storage are two values
  const std::shared_ptr<const Storage>& storage() const { return state_->storage; }

  const Ref& ref() const {
    if (!state_) throw ArgumentError("tensor: used before it was given a value");
    return state_->ref;
  }
  operator Ref() const { return state_ ? state_->ref : Ref{}; }

  template <class T, int R>
  View<T, R> view() const { return ref().view<T, R>(); }

  /// First element of a contiguous host tensor of T. Throws DTypeError, DeviceError or ShapeError.
  template <class T>
  T* data() const {
    if (dtype() != dtype_of<std::remove_const_t<T>>)
      throw DTypeError(cat("data: asked for ", dtype_of<std::remove_const_t<T>>, ", tensor has ", dtype()));
    if (!device().is_cpu()) throw DeviceError(cat("data: tensor is on ", device()));
    if (!is_contiguous()) throw ShapeError("data: tensor is not contiguous");
    return static_cast<T*>(ref().data);
  }

  /// Whether no other handle and no other window on the storage exists: then writing in place is nobody else's business.
  bool is_only_handle() const { return state_ && state_.use_count() == 1 && state_->storage.use_count() == 1; }

  /// A tensor over the same storage with another window.
  Tensor window(const Ref& ref) const { return Tensor(ref, state_->storage); }

 private:
  struct State {
    State(const Ref& r, std::shared_ptr<const Storage> s) : ref(r), storage(std::move(s)) { ref.attachment = &attachment; }
    Ref ref;
    std::shared_ptr<const Storage> storage;
    Attachment attachment;
  };
  std::shared_ptr<State> state_;
};

/// A tensor with facts: T (unless dyn) and R (unless dyn_rank) are promised by the type and checked once, on construction.
template <class T, int R>
class Tensor : public Tensor<> {
 public:
  Tensor() = default;
  Tensor(Tensor<> t) : Tensor<>(std::move(t)) {  // NOLINT: implicit, so that signatures speak and calls stay plain
    if constexpr (!std::is_same_v<T, dyn>) {
      if (dtype() != dtype_of<T>) throw DTypeError(cat("tensor: must be ", dtype_of<T>, ", got ", dtype(), shape()));
    }
    if constexpr (R != dyn_rank) {
      if (rank() != R) throw ShapeError(cat("tensor: must have rank ", R, ", got ", dtype(), shape()));
    }
  }

  /// Element access on the host; for tests and small data (loops take a view once).
  template <class... I>
    requires(!std::is_same_v<T, dyn> && sizeof...(I) == R)
  T& operator()(I... index) const {
    if (!device().is_cpu()) throw DeviceError(cat("tensor: element access on ", device()));
    return Tensor<>::view<T, R>()(index...);
  }
};

/// "f32[2, 3]" — how tensors appear in messages.
inline std::string to_string(const Tensor<>& t) { return t ? cat(t.dtype(), t.shape()) : std::string("(no tensor)"); }
inline std::string to_string(const Ref& r) { return cat(r.dtype, r.shape); }  ///< the same

}  // namespace kinema::inline KINEMA_ABI
