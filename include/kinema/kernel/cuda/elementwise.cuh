// kinema/kernel/cuda/elementwise.cuh - pointwise kernels: 16 bytes per access, arithmetic in the compute type.
//
// Small operands (gates, the inputs of a sampler step) keep their element type until they are loaded; only the large
// ones make a kernel of their own per type.
#pragma once

#include <kinema/kernel/cuda/detail/walk.cuh>
#include <kinema/kernel/elementwise.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

/// y[i] = f(x[i])
template <int N, class X, class Y, class F>
__global__ void map_kernel(const X* x, Y* y, std::int64_t n, F f) {
  using V = compute_t<X>;
  for_each_pack<N>(n, [&](std::int64_t i, bool whole) {
    if (whole) {
      V v[N];
      load<N>(x + i, v);
      for (int k = 0; k < N; ++k) v[k] = f(v[k]);
      store<N>(y + i, v);
    } else {
      for (; i < n; ++i) y[i] = device::narrow<Y>(f(static_cast<V>(device::widen(x[i]))));
    }
  });
}

template <class X, class Y, class F>
void map(CudaContext& ctx, std::string_view op, const Ref& x, const Ref& y, const F& f) {
  const std::int64_t n = x.shape.numel();
  if (n == 0) return;
  constexpr int wide = 16 / static_cast<int>(sizeof(X) > sizeof(Y) ? sizeof(X) : sizeof(Y));
  const auto* from = static_cast<const X*>(x.data);
  auto* to = static_cast<Y*>(y.data);
  if (aligned(x, wide) && aligned(y, wide))
    device::launch(ctx, op, {.grid = {blocks_for(n, map_threads * wide)}, .block = {map_threads}}, map_kernel<wide, X, Y, F>, from, to, n, f);
  else
    device::launch(ctx, op, {.grid = {blocks_for(n, map_threads)}, .block = {map_threads}}, map_kernel<1, X, Y, F>, from, to, n, f);
}

template <class V>
struct Multiply {
  V by;
  KINEMA_HD V operator()(V x) const { return x * by; }
};
template <class V>
struct Limit {
  V low, high;
  KINEMA_HD V operator()(V x) const { return x < low ? low : high < x ? high : x; }  // NaN compares false and stays
};

template <int N, class T>
__device__ void load_walk(const T* p, std::int64_t stride, compute_t<T> (&v)[N]) {
  if (stride == 1) {
    load<N>(p, v);
    return;
  }
  for (int k = 0; k < N; ++k) v[k] = device::widen(p[k * stride]);  // N is 1 unless the stride is 0
}

template <int N, class Index, class T>
__global__ void binary_kernel(const T* a, const T* b, T* y, std::int64_t n, Walk walk, Arithmetic arithmetic) {
  using V = compute_t<T>;
  for_each_pack<N>(n, [&](std::int64_t i, bool) {
    const auto at = walk.at<Index>(i);
    V u[N], v[N];
    load_walk<N>(a + at.a, walk.a[walk.rank - 1], u);
    load_walk<N>(b + at.b, walk.b[walk.rank - 1], v);
    for (int k = 0; k < N; ++k)
      u[k] = arithmetic == Arithmetic::add ? u[k] + v[k] : arithmetic == Arithmetic::subtract ? u[k] - v[k] : u[k] * v[k];
    store<N>(y + i, u);
  });
}

template <class T>
void binary(CudaContext& ctx, const Binary& op) {
  const std::int64_t n = op.y.shape.numel();
  if (n == 0) return;
  const Walk walk = walk_of(op.a, op.b);
  const auto* a = static_cast<const T*>(op.a.data);
  const auto* b = static_cast<const T*>(op.b.data);
  auto* y = static_cast<T*>(op.y.data);
  constexpr int wide = pack_size<T>;
  const bool packs = walks_in_packs(walk, op.a, op.b, wide) && aligned(op.y, wide);
  const device::Launch how{.grid = {blocks_for(n, packs ? map_threads * wide : map_threads)}, .block = {map_threads}};
  const auto go = [&](auto* kernel) { device::launch(ctx, name_of(op.arithmetic), how, kernel, a, b, y, n, walk, op.arithmetic); };
  if (n <= 0x7fffffff) return packs ? go(binary_kernel<wide, std::uint32_t, T>) : go(binary_kernel<1, std::uint32_t, T>);
  packs ? go(binary_kernel<wide, std::uint64_t, T>) : go(binary_kernel<1, std::uint64_t, T>);
}

struct Combination {
  int count = 0;
  Operand x[Combine::most];
  double c[Combine::most] = {};
};

template <int N, class T>
__global__ void combine_kernel(Combination in, T* y, std::int64_t n) {
  const auto part = [&]<int M>(std::int64_t i, double (&sum)[M]) {
    for (int k = 0; k < M; ++k) sum[k] = 0;
    for (int j = 0; j < Combine::most; ++j) {  // unrolled: an index known at run time would move `in` to local memory
      if (j >= in.count) break;
      double v[M];
      in.x[j].load<M>(i, v, 0.0f);
      for (int k = 0; k < M; ++k) sum[k] += in.c[j] * v[k];
    }
  };
  for_each_pack<N>(n, [&](std::int64_t i, bool whole) {
    if (whole) {
      double sum[N];
      part(i, sum);
      store<N>(y + i, sum);
    } else {
      for (; i < n; ++i) {
        double sum[1];
        part(i, sum);
        store<1>(y + i, sum);
      }
    }
  });
}

template <class T>
void combine(CudaContext& ctx, const Combine& op) {
  const std::int64_t n = op.y.shape.numel();
  if (n == 0) return;
  constexpr int wide = sizeof(T) == 8 ? 2 : 4;  // sums are doubles: more of them would not fit in registers
  Combination in;
  bool packs = aligned(op.y, wide);
  in.count = op.count;
  for (int j = 0; j < op.count; ++j) {
    in.x[j] = Operand(op.x[j]);
    in.c[j] = op.c[j];
    packs = packs && aligned(op.x[j], wide);
  }
  auto* y = static_cast<T*>(op.y.data);
  const device::Launch how{.grid = {blocks_for(n, packs ? map_threads * wide : map_threads)}, .block = {map_threads}};
  if (packs) device::launch(ctx, op.name, how, combine_kernel<wide, T>, in, y, n);
  else device::launch(ctx, op.name, how, combine_kernel<1, T>, in, y, n);
}

template <class T>
struct GateArguments {
  const T* residual;
  const T* x;
  T* y;
  Operand gate;
  std::int64_t batch, sequence, channels, gate_batch_stride, gate_group_stride;
  RunTable runs;
};

/// One block per row; a row's gate comes from cache.
template <int N, class T>
__global__ void gate_residual_kernel(GateArguments<T> op) {
  using V = compute_t<T>;
  const std::int64_t rows = op.runs.rows();
  for (std::int64_t i = device::block().x; i < op.batch * rows; i += device::grid_extent().x) {
    const std::int64_t b = i / rows, s = op.runs.begin + i % rows, row = (b * op.sequence + s) * op.channels;
    const std::int64_t gate = b * op.gate_batch_stride + op.runs.group_of(s) * op.gate_group_stride;
    for (std::int64_t c = std::int64_t{device::thread().x} * N; c < op.channels; c += std::int64_t{device::block_extent().x} * N) {
      V r[N], x[N], g[N];
      load<N>(op.residual + row + c, r);
      load<N>(op.x + row + c, x);
      op.gate.template load<N>(gate + c, g, 0.0f);
      for (int k = 0; k < N; ++k) r[k] += g[k] * x[k];
      store<N>(op.y + row + c, r);
    }
  }
}

template <class T>
void gate_residual(CudaContext& ctx, const GateResidual& op) {
  const std::int64_t batch = op.y.size(0), sequence = op.y.size(1), channels = op.y.size(2);
  if (op.y.shape.numel() == 0) return;
  constexpr int wide = pack_size<T>;
  const bool packs = channels % wide == 0 && aligned(op.residual, wide) && aligned(op.x, wide) && aligned(op.y, wide) && rows_aligned(op.gate, wide);
  for_each_part(op.runs, [&](const RunTable& runs) {
    const GateArguments<T> arguments{static_cast<const T*>(op.residual.data), static_cast<const T*>(op.x.data), static_cast<T*>(op.y.data), Operand(op.gate),
                                     batch, sequence, channels, op.gate.stride[0], op.gate.stride[1], runs};
    const device::Launch how{.grid = {blocks_for(batch * runs.rows(), 1)}, .block = {threads_for(packs ? channels / wide : channels, map_threads)}};
    if (packs) device::launch(ctx, op.name, how, gate_residual_kernel<wide, T>, arguments);
    else device::launch(ctx, op.name, how, gate_residual_kernel<1, T>, arguments);
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda

namespace kinema::inline KINEMA_ABI::kernel {

void run(CudaContext& ctx, const Activate& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    dispatch_activation(op.activation, [&](auto f) { cuda::map<T, T>(ctx, op.name, op.x, op.y, f); });
  });
}

void run(CudaContext& ctx, const Scale& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    cuda::map<T, T>(ctx, op.name, op.x, op.y, cuda::Multiply<compute_t<T>>{static_cast<compute_t<T>>(op.by)});
  });
}

void run(CudaContext& ctx, const Clamp& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using V = compute_t<T>;
    cuda::map<T, T>(ctx, op.name, op.x, op.y, cuda::Limit<V>{static_cast<V>(op.low), static_cast<V>(op.high)});
  });
}

void run(CudaContext& ctx, const Cast& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class X>(Type<X>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class Y>(Type<Y>) { cuda::map<X, Y>(ctx, op.name, op.x, op.y, Identity{}); });
  });
}

void run(CudaContext& ctx, const Binary& op) {
  dispatch_floating(op.y.dtype, name_of(op.arithmetic), [&]<class T>(Type<T>) { cuda::binary<T>(ctx, op); });
}

void run(CudaContext& ctx, const Combine& op) {
  dispatch_floating(op.y.dtype, op.name, [&]<class T>(Type<T>) { cuda::combine<T>(ctx, op); });
}

void run(CudaContext& ctx, const GateResidual& op) {
  dispatch_floating(op.y.dtype, op.name, [&]<class T>(Type<T>) { cuda::gate_residual<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
