// kinema/kernel/cuda/detail/block.cuh - warp and block reductions, and typed access 16 bytes at a time, and launch arithmetic.
#pragma once

#include <kinema/kernel/cuda/detail/device.cuh>
#include <kinema/tensor/view.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

struct Add {
  template <class T> KINEMA_HD T operator()(T a, T b) const { return a + b; }
};
struct Larger {
  template <class T> KINEMA_HD T operator()(T a, T b) const { return a < b ? b : a; }
};

/// `combine` over the lanes of a warp, the same bits in every lane.
template <class T, class F>
__device__ T warp_reduce(T v, const F& combine) {
  for (int mask = device::warp_size / 2; mask > 0; mask /= 2) v = combine(v, device::shuffle_xor(v, mask));
  return v;
}

/// Over the threads of a one-dimensional block of whole warps, the same bits in every thread and run.
/// `shared` has room for one T per warp and is free again on return.
template <class T, class F>
__device__ T block_reduce(T v, const F& combine, T* shared) {
  const unsigned thread = device::thread().x, warps = device::block_extent().x / device::warp_size;
  v = warp_reduce(v, combine);
  if (thread % device::warp_size == 0) shared[thread / device::warp_size] = v;
  device::sync_block();
  T all = shared[0];
  for (unsigned w = 1; w < warps; ++w) all = combine(all, shared[w]);
  device::sync_block();
  return all;
}

/// N elements that are loaded and stored by one instruction.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
/// Elements in 16 bytes, the widest access.
template <class T> inline constexpr int pack_size = 16 / static_cast<int>(sizeof(T));

/// N consecutive elements, widened. p is aligned to N elements or to 16 bytes, whichever is less.
template <int N, class T, class V>
__device__ void load(const T* p, V (&v)[N]) {
  constexpr int chunk = N < pack_size<T> ? N : pack_size<T>;
  for (int c = 0; c < N; c += chunk) {
    const auto pack = *reinterpret_cast<const Pack<T, chunk>*>(p + c);
    for (int i = 0; i < chunk; ++i) v[c + i] = static_cast<V>(device::widen(pack.at[i]));
  }
}
/// Rounds once. Alignment as for load.
template <int N, class T, class V>
__device__ void store(T* p, const V (&v)[N]) {
  constexpr int chunk = N < pack_size<T> ? N : pack_size<T>;
  for (int c = 0; c < N; c += chunk) {
    Pack<T, chunk> pack;
    for (int i = 0; i < chunk; ++i) pack.at[i] = device::narrow<T>(v[c + i]);
    *reinterpret_cast<Pack<T, chunk>*>(p + c) = pack;
  }
}

/// Calls f with p as a pointer to its element type. For small operands (weights, gates): the branch is uniform, and one
/// kernel serves every combination of types.
template <class F>
__device__ void with_type(const void* p, DType dtype, const F& f) {
  switch (dtype) {
    case DType::f64: f(static_cast<const double*>(p)); return;
    case DType::bf16: f(static_cast<const bf16*>(p)); return;
    case DType::f16: f(static_cast<const f16*>(p)); return;
    default: f(static_cast<const float*>(p)); return;
  }
}

/// Elements of any floating type, or none.
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::f32;

  Operand() = default;
  explicit Operand(const Ref& r) : data(r.data), dtype(r.dtype) {
    if (data && !is_floating(dtype)) throw DTypeError(cat("cuda: operand must be floating, got ", dtype));
  }
  explicit operator bool() const { return data != nullptr; }

  /// Elements [at, at + N), widened; `missing` if there is no operand.
  template <int N, class V>
  __device__ void load(std::int64_t at, V (&v)[N], float missing) const {
    if (data == nullptr) {
      for (int i = 0; i < N; ++i) v[i] = static_cast<V>(missing);
      return;
    }
    with_type(data, dtype, [&](const auto* p) { cuda::load<N>(p + at, v); });
  }
};

// On the host, before a launch: may elements be accessed N at a time? Sixteen bytes, or N elements if that is less.

inline bool aligned(const void* data, DType dtype, int n) {
  const std::size_t bytes = static_cast<std::size_t>(n) * size_of(dtype);
  return reinterpret_cast<std::uintptr_t>(data) % (bytes < 16 ? bytes : 16) == 0;
}
inline bool aligned(const Ref& r, int n) { return aligned(r.data, r.dtype, n); }
/// A window whose last axis has stride 1: every row starts aligned.
inline bool rows_aligned(const Ref& r, int n) {
  if (!r) return true;
  if (!aligned(r, n)) return false;
  for (int i = 0; i + 1 < r.rank(); ++i)
    if (r.shape[i] != 1 && r.stride[i] % n != 0) return false;
  return true;
}

/// Blocks for n items. Kernels loop over the grid, so a grid at the limit is only slower.
inline unsigned blocks_for(std::int64_t n, std::int64_t per_block) {
  const std::int64_t blocks = (n + per_block - 1) / per_block;
  return static_cast<unsigned>(blocks < 0x7fffffff ? blocks : 0x7fffffff);
}

/// Whole warps for `items` of work, at most `most` threads.
inline unsigned threads_for(std::int64_t items, unsigned most) {
  const std::int64_t warps = (items + device::warp_size - 1) / device::warp_size, limit = most / device::warp_size;
  return static_cast<unsigned>(device::warp_size * (warps < 1 ? 1 : warps < limit ? warps : limit));
}

/// Which modulation row belongs to which rows of a sequence; travels in the launch itself. Lists that are longer than
/// `most` are launched part by part.
struct RunTable {
  static constexpr int most = 32;
  int count = 0;
  std::int64_t begin = 0;  ///< first row of the first run
  std::int64_t end[most];
  std::int64_t group[most];

  __device__ std::int64_t group_of(std::int64_t row) const {
    int i = 0;
    while (row >= end[i]) ++i;
    return group[i];
  }
  KINEMA_HD std::int64_t rows() const { return count ? end[count - 1] - begin : 0; }
};

/// Calls part(table) for each part of `runs`, an op's [R, 2] (end, group) list on the host.
template <class F>
void for_each_part(const Ref& runs, const F& part) {
  const auto list = runs.view<const std::int64_t, 2>();
  std::int64_t begin = 0;
  for (std::int64_t first = 0; first < list.size[0]; first += RunTable::most) {
    RunTable table;
    table.begin = begin;
    while (table.count < RunTable::most && first + table.count < list.size[0]) {
      table.end[table.count] = list(first + table.count, 0);
      table.group[table.count] = list(first + table.count, 1);
      ++table.count;
    }
    begin = table.end[table.count - 1];
    if (table.rows() > 0) part(table);
  }
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
