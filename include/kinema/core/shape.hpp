// kinema/core/shape.hpp - up to eight sizes held inline, with checked products and broadcasting.
#pragma once

#include <kinema/core/error.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace kinema::inline KINEMA_ABI {

inline constexpr int max_rank = 8;  ///< a conv3d weight has 5, a blocked VAE activation 6

/// Sizes (or strides) of a tensor, slowest axis first.
class Shape {
 public:
  constexpr Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) {
    for (std::int64_t s : sizes) push_back(s);
  }

  constexpr int rank() const { return rank_; }
  constexpr bool empty() const { return rank_ == 0; }
  constexpr std::int64_t operator[](int i) const { return sizes_[i]; }
  constexpr std::int64_t& operator[](int i) { return sizes_[i]; }
  /// Size of an axis; negative axes count from the back. Throws ShapeError if there is no such axis.
  std::int64_t at(int axis) const { return sizes_[axis_index(axis)]; }
  int axis_index(int axis) const {
    const int i = axis < 0 ? axis + rank_ : axis;
    if (i < 0 || i >= rank_) throw ShapeError(cat("axis ", axis, " of a tensor of rank ", rank_));
    return i;
  }
  constexpr const std::int64_t* begin() const { return sizes_; }
  constexpr const std::int64_t* end() const { return sizes_ + rank_; }
  constexpr std::int64_t* begin() { return sizes_; }
  constexpr std::int64_t* end() { return sizes_ + rank_; }

  void push_back(std::int64_t s) {
    if (rank_ == max_rank) throw ShapeError(cat("a tensor has at most ", max_rank, " axes"));
    sizes_[rank_++] = s;
  }
  Shape with(int axis, std::int64_t size) const {
    Shape s = *this;
    s.sizes_[axis_index(axis)] = size;
    return s;
  }
  Shape first(int n) const { Shape s = *this; s.rank_ = n; return s; }

  constexpr bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (sizes_[i] != o.sizes_[i]) return false;
    return true;
  }

  /// Number of elements; throws ShapeError on a negative size or if the product leaves 63 bits.
  std::int64_t numel() const {
    std::int64_t n = 1;
    bool zero = false;
    for (std::int64_t s : *this) {
      if (s < 0) throw ShapeError(cat("sizes must not be negative, got ", s));
      zero = zero || s == 0;
    }
    if (zero) return 0;
    for (std::int64_t s : *this)
      if (__builtin_mul_overflow(n, s, &n)) throw ShapeError("the number of elements does not fit in 63 bits");
    return n;
  }
  /// Strides of the contiguous layout.
  Shape contiguous_strides() const {
    Shape s = *this;
    std::int64_t step = 1;
    for (int i = rank_ - 1; i >= 0; --i) {
      s.sizes_[i] = step;
      step *= sizes_[i] > 0 ? sizes_[i] : 1;
    }
    return s;
  }

 private:
  std::int64_t sizes_[max_rank] = {};
  int rank_ = 0;
};
/// "[2, 3]"
inline std::string to_string(const Shape& s) {
  std::string out = "[";
  for (int i = 0; i < s.rank(); ++i) out += cat(i ? ", " : "", s[i]);
  return out + "]";
}

/// Shape of an element-wise operation on both, by the usual rule: align right, sizes equal or 1.
inline Shape broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape out = longer;
  const int shift = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    const std::int64_t x = longer[i + shift], y = shorter[i];
    if (x != y && x != 1 && y != 1) throw ShapeError(cat("shapes ", to_string(a), " and ", to_string(b), " do not broadcast"));
    out[i + shift] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace kinema::inline KINEMA_ABI
