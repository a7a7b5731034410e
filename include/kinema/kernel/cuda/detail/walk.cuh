// kinema/kernel/cuda/detail/walk.cuh - which elements a thread of a pointwise kernel works on.
#pragma once

#include <kinema/kernel/cuda/detail/block.cuh>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

inline constexpr unsigned map_threads = 256;

/// Calls body(i, whole) for the packs of n elements that belong to this thread: elements [i, i + N), or [i, n) if not whole.
template <int N, class F>
__device__ void for_each_pack(std::int64_t n, const F& body) {
  const std::int64_t step = std::int64_t{device::grid_extent().x} * device::block_extent().x * N;
  for (std::int64_t i = (std::int64_t{device::block().x} * device::block_extent().x + device::thread().x) * N; i < n; i += step) body(i, i + N <= n);
}

/// The indices of an operation on two windows of one shape, merged into as few axes as the strides allow.
struct Walk {
  int rank = 1;
  std::int64_t size[max_rank] = {}, a[max_rank] = {}, b[max_rank] = {};

  struct Offsets { std::int64_t a = 0, b = 0; };
  /// Where element i is in both windows. Index: 32 bits where they suffice, because a division of 64 bits takes longer
  /// than the memory access that it serves.
  template <class Index>
  __device__ Offsets at(std::int64_t i) const {
    Offsets o;
    auto rest = static_cast<Index>(i);
    for (int axis = rank - 1; axis > 0; --axis) {
      const auto n = static_cast<Index>(size[axis]), index = static_cast<Index>(rest % n);
      rest = static_cast<Index>(rest / n);
      o.a += static_cast<std::int64_t>(index) * a[axis];
      o.b += static_cast<std::int64_t>(index) * b[axis];
    }
    o.a += static_cast<std::int64_t>(rest) * a[0];
    o.b += static_cast<std::int64_t>(rest) * b[0];
    return o;
  }
};

/// Axes of size 1 vanish, axes that continue each other in both windows become one.
inline Walk walk_of(const Ref& a, const Ref& b) {
  Walk w;
  w.rank = 0;
  for (int i = 0; i < a.rank(); ++i) {
    const std::int64_t n = a.shape[i];
    if (n == 1) continue;
    const int last = w.rank - 1;
    if (last >= 0 && w.a[last] == a.stride[i] * n && w.b[last] == b.stride[i] * n) {
      w.size[last] *= n;
      w.a[last] = a.stride[i];
      w.b[last] = b.stride[i];
    } else {
      w.size[w.rank] = n;
      w.a[w.rank] = a.stride[i];
      w.b[w.rank] = b.stride[i];
      ++w.rank;
    }
  }
  if (w.rank == 0) w.size[0] = 1, w.rank = 1;  // one element
  return w;
}

/// Whether every n elements in a row are n elements in a row, or n times one element, in both windows.
inline bool walks_in_packs(const Walk& w, const Ref& a, const Ref& b, int n) {
  const int last = w.rank - 1;
  if (w.size[last] % n != 0) return false;
  const auto fits = [&](const Ref& r, const std::int64_t* stride) {
    if (stride[last] == 0) return true;
    if (stride[last] != 1 || !aligned(r, n)) return false;
    for (int i = 0; i < last; ++i)
      if (stride[i] % n != 0) return false;
    return true;
  };
  return fits(a, w.a) && fits(b, w.b);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
