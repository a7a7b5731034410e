// kinema/tensor/expect.hpp - argument checks of front ends, all with one grammar.
//
//   const Expect expect{"gate_residual"};
//   expect("gate", gate).shape({b, c}).like(x);
//   → "gate_residual: gate must have shape [1, 2], got f32[1, 3]"
#pragma once

#include <kinema/tensor/tensor.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI {
/// Checks of arguments: Expect{"op"}("x", x).rank(2).floating() throws ShapeError, DTypeError or DeviceError naming op and x.
class Expect {
 public:
  explicit constexpr Expect(std::string_view where) : where_(where) {}
///   One tensor under its name; every check returns it, for the next.
  class Argument {
   public:
    Argument(std::string_view where, std::string_view name, const Tensor<>& t) : where_(where), name_(name), t_(t) {
      if (!t) throw ArgumentError(cat(where_, ": ", name_, " has no value"));
    }
    const Argument& shape(const Shape& s) const {
      if (!(t_.shape() == s)) fail<ShapeError>(cat("must have shape ", s));
      return *this;
    }
    const Argument& rank(int r) const {
      if (t_.rank() != r) fail<ShapeError>(cat("must have rank ", r));
      return *this;
    }
    const Argument& rank_at_least(int r) const {
      if (t_.rank() < r) fail<ShapeError>(cat("must have rank ", r, " or more"));
      return *this;
    }
    const Argument& size(int axis, std::int64_t n) const {
      if (t_.size(axis) != n) fail<ShapeError>(cat("must have size ", n, " on axis ", axis));
      return *this;
    }
    const Argument& dtype(DType d) const {
      if (t_.dtype() != d) fail<DTypeError>(cat("must be ", d));
      return *this;
    }
    const Argument& floating() const {
      if (!is_floating(t_.dtype())) fail<DTypeError>("must be floating");
      return *this;
    }
    const Argument& on(Device d) const {
      if (!(t_.device() == d)) throw DeviceError(cat(where_, ": ", name_, " must be on ", d, ", is on ", t_.device()));
      return *this;
    }
    /// Same element type and device as `other`.
    const Argument& like(const Tensor<>& other) const { return dtype(other.dtype()).on(other.device()); }
    const Argument& contiguous() const {
      if (!t_.is_contiguous()) fail<ShapeError>("must be contiguous");
      return *this;
    }
    /// For a tensor that an op overwrites: no recorded op may still need its value.
    const Argument& writable() const {
      if (t_.storage()->readers.any())
        throw ArgumentError(cat(where_, ": ", name_, " must not be written, a recorded op needs its value for gradients, got ", to_string(t_)));
      return *this;
    }

   private:
    template <class E>
    [[noreturn]] void fail(const std::string& what) const {
      throw E(cat(where_, ": ", name_, " ", what, ", got ", to_string(t_)));
    }
    std::string_view where_, name_;
    const Tensor<>& t_;
  };

  Argument operator()(std::string_view name, const Tensor<>& t) const { return {where_, name, t}; }
  /// A condition that is not about one tensor: expect.that(n > 0, "groups must be positive, got 0").
  template <class... A>
  void that(bool holds, const A&... message) const {
    if (!holds) throw ArgumentError(cat(where_, ": ", message...));
  }

 private:
  std::string_view where_;
};

}  // namespace kinema::inline KINEMA_ABI
