// kinema/kernel/cuda/layout.cuh - the copy between two windows.
#pragma once

#include <kinema/kernel/cuda/detail/walk.cuh>
#include <kinema/kernel/layout.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

/// Bits of a size, for copies that do not convert.
template <std::size_t> struct Bits;
template <> struct Bits<1> { using type = std::uint8_t; };
template <> struct Bits<2> { using type = std::uint16_t; };
template <> struct Bits<4> { using type = std::uint32_t; };
template <> struct Bits<8> { using type = std::uint64_t; };

template <int N, class Index, class X, class Y>
__global__ void copy_kernel(const X* x, Y* y, std::int64_t n, Walk walk) {
  for_each_pack<N>(n, [&](std::int64_t i, bool) {
    const auto at = walk.at<Index>(i);
    if constexpr (std::is_same_v<X, Y>) {
      *reinterpret_cast<Pack<X, N>*>(y + at.b) = *reinterpret_cast<const Pack<X, N>*>(x + at.a);
    } else {
      compute_t<X> v[N];
      load<N>(x + at.a, v);
      store<N>(y + at.b, v);
    }
  });
}

template <class X, class Y>
void copy(CudaContext& ctx, const Copy& op) {
  const std::int64_t n = op.y.shape.numel();
  if (n == 0) return;
  const Walk walk = walk_of(op.x, op.y);
  const int last = walk.rank - 1;
  constexpr int wide = 16 / static_cast<int>(sizeof(X) > sizeof(Y) ? sizeof(X) : sizeof(Y));
  const bool packs = walk.a[last] == 1 && walk.b[last] == 1 && walks_in_packs(walk, op.x, op.y, wide);
  const device::Launch how{.grid = {blocks_for(n, packs ? map_threads * wide : map_threads)}, .block = {map_threads}};
  const auto go = [&](auto* kernel) { device::launch(ctx, op.name, how, kernel, static_cast<const X*>(op.x.data), static_cast<Y*>(op.y.data), n, walk); };
  if (n <= 0x7fffffff) return packs ? go(copy_kernel<wide, std::uint32_t, X, Y>) : go(copy_kernel<1, std::uint32_t, X, Y>);
  packs ? go(copy_kernel<wide, std::uint64_t, X, Y>) : go(copy_kernel<1, std::uint64_t, X, Y>);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda

namespace kinema::inline KINEMA_ABI::kernel {

void run(CudaContext& ctx, const Copy& op) {
  if (op.x.dtype == op.y.dtype) {
    switch (size_of(op.x.dtype)) {
      case 1: return cuda::copy<cuda::Bits<1>::type, cuda::Bits<1>::type>(ctx, op);
      case 2: return cuda::copy<cuda::Bits<2>::type, cuda::Bits<2>::type>(ctx, op);
      case 4: return cuda::copy<cuda::Bits<4>::type, cuda::Bits<4>::type>(ctx, op);
      default: return cuda::copy<cuda::Bits<8>::type, cuda::Bits<8>::type>(ctx, op);
    }
  }
  dispatch_floating(op.x.dtype, op.name, [&]<class X>(Type<X>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class Y>(Type<Y>) {
      if constexpr (!std::is_same_v<X, Y>) cuda::copy<X, Y>(ctx, op);
    });
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
