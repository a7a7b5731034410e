// kinema/kernel/cuda/detail/block.cuh - warp and block reductions, and loads and stores of 16 bytes at a time.
#pragma once

#include <kinema/kernel/cuda/detail/device.cuh>

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

/// Whether p and every multiple of `step` elements after it may be accessed in packs. On the host, before a launch.
template <class T>
bool packs(const T* p, std::int64_t step) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && step % pack_size<T> == 0;
}

template <int N, class T>
__device__ void load(const T* p, float (&v)[N]) {
  const auto pack = *reinterpret_cast<const Pack<T, N>*>(p);
  for (int i = 0; i < N; ++i) v[i] = device::widen(pack.at[i]);
}
/// Rounds once.
template <int N, class T>
__device__ void store(T* p, const float (&v)[N]) {
  Pack<T, N> pack;
  for (int i = 0; i < N; ++i) pack.at[i] = device::narrow<T>(v[i]);
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
