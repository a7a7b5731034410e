// kinema/kernel/cuda/norm.cuh - one block per row: the row is read once, statistics in two passes over shared memory.
//
// A thread comes back to the elements that it loaded itself, so the row needs no barrier; only the two sums do.
#pragma once

#include <kinema/kernel/cuda/detail/block.cuh>
#include <kinema/kernel/norm.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

inline constexpr unsigned norm_threads = 256;
/// Rows up to this size are kept in shared memory (12,000 channels of f32); longer ones are read again in each pass.
inline constexpr std::size_t row_bytes_limit = 47 * 1024;

template <class T>
struct NormArguments {
  const T* x;
  T* y;
  std::int64_t outer, sequence, channels, outer_stride, row_stride;
  bool keep_row;
  compute_t<T> eps;
  Operand weight, bias, shift, scale;
  std::int64_t shift_outer_stride = 0, shift_group_stride = 0, scale_outer_stride = 0, scale_group_stride = 0;
  RunTable runs;  ///< the rows of this launch; all in one run where nothing is modulated
};

/// The elements of a row that belong to this thread, N at a time, from shared memory once they were loaded.
template <int N, class T>
struct Row {
  using V = compute_t<T>;
  const T* x;
  V* kept;  ///< null: read x again
  std::int64_t channels;

  template <class F>
  __device__ void first_pass(const F& f) const {
    each([&](std::int64_t c) {
      V v[N];
      load<N>(x + c, v);
      if (kept)
        for (int k = 0; k < N; ++k) kept[c + k] = v[k];
      f(c, v);
    });
  }
  template <class F>
  __device__ void again(const F& f) const {
    each([&](std::int64_t c) {
      V v[N];
      if (kept) {
        for (int k = 0; k < N; ++k) v[k] = kept[c + k];
      } else {
        load<N>(x + c, v);
      }
      f(c, v);
    });
  }

 private:
  template <class F>
  __device__ void each(const F& f) const {
    for (std::int64_t c = std::int64_t{device::thread().x} * N; c < channels; c += std::int64_t{device::block_extent().x} * N) f(c);
  }
};

/// Where row i of a launch lies.
struct Place {
  std::int64_t outer, row;
};
template <class T>
__device__ Place place_of(const NormArguments<T>& op, std::int64_t i) {
  const std::int64_t rows = op.runs.rows();
  return {i / rows, op.runs.begin + i % rows};
}

template <int N, class T>
__global__ void layer_norm_kernel(NormArguments<T> op) {
  using V = compute_t<T>;
  V* sums = device::shared<V>();
  V* kept = op.keep_row ? sums + device::warp_size : nullptr;
  const V count = static_cast<V>(op.channels);
  for (std::int64_t i = device::block().x; i < op.outer * op.runs.rows(); i += device::grid_extent().x) {
    const Place at = place_of(op, i);
    const Row<N, T> row{op.x + at.outer * op.outer_stride + at.row * op.row_stride, kept, op.channels};
    V sum = 0, squares = 0;
    row.first_pass([&](std::int64_t, const V(&v)[N]) {
      for (int k = 0; k < N; ++k) sum += v[k];
    });
    const V mean = block_reduce(sum, Add{}, sums) / count;
    row.again([&](std::int64_t, const V(&v)[N]) {
      for (int k = 0; k < N; ++k) squares += (v[k] - mean) * (v[k] - mean);
    });
    const V scale = V(1) / math::sqrt(block_reduce(squares, Add{}, sums) / count + op.eps);
    const std::int64_t group = op.runs.group_of(at.row);
    const std::int64_t shift_at = at.outer * op.shift_outer_stride + group * op.shift_group_stride;
    const std::int64_t scale_at = at.outer * op.scale_outer_stride + group * op.scale_group_stride;
    T* y = op.y + (at.outer * op.sequence + at.row) * op.channels;
    row.again([&](std::int64_t c, V(&v)[N]) {
      V weight[N], bias[N];
      op.weight.template load<N>(c, weight, 1.0f);
      op.bias.template load<N>(c, bias, 0.0f);
      for (int k = 0; k < N; ++k) v[k] = (v[k] - mean) * scale * weight[k] + bias[k];
      if (op.scale.data) {
        op.scale.template load<N>(scale_at + c, weight, 0.0f);
        op.shift.template load<N>(shift_at + c, bias, 0.0f);
        for (int k = 0; k < N; ++k) v[k] = v[k] * (V(1) + weight[k]) + bias[k];
      }
      store<N>(y + c, v);
    });
  }
}

template <int N, class T>
__global__ void rms_norm_kernel(NormArguments<T> op) {
  using V = compute_t<T>;
  V* sums = device::shared<V>();
  V* kept = op.keep_row ? sums + device::warp_size : nullptr;
  for (std::int64_t i = device::block().x; i < op.outer * op.runs.rows(); i += device::grid_extent().x) {
    const Place at = place_of(op, i);
    const Row<N, T> row{op.x + at.outer * op.outer_stride + at.row * op.row_stride, kept, op.channels};
    V squares = 0;
    row.first_pass([&](std::int64_t, const V(&v)[N]) {
      for (int k = 0; k < N; ++k) squares += v[k] * v[k];
    });
    const V scale = V(1) / math::sqrt(block_reduce(squares, Add{}, sums) / static_cast<V>(op.channels) + op.eps);
    T* y = op.y + (at.outer * op.sequence + at.row) * op.channels;
    row.again([&](std::int64_t c, V(&v)[N]) {
      V weight[N];
      op.weight.template load<N>(c, weight, 1.0f);
      for (int k = 0; k < N; ++k) v[k] = weight[k] * static_cast<V>(device::widen(device::narrow<T>(v[k] * scale)));
      store<N>(y + c, v);
    });
  }
}

/// x, y, sizes and eps, the same in every record of the family; one run over all rows.
template <class T, class Op>
NormArguments<T> norm_arguments(const Op& op) {
  NormArguments<T> a;
  a.x = static_cast<const T*>(op.x.data);
  a.y = static_cast<T*>(op.y.data);
  a.outer = op.x.size(0), a.sequence = op.x.size(1), a.channels = op.x.size(2);
  a.outer_stride = op.x.stride[0], a.row_stride = op.x.stride[1];
  a.keep_row = static_cast<std::size_t>(a.channels) * sizeof(compute_t<T>) <= row_bytes_limit;
  a.eps = static_cast<compute_t<T>>(op.eps);
  a.weight = Operand(op.weight);
  a.runs.count = 1;
  a.runs.end[0] = a.sequence;
  a.runs.group[0] = 0;
  return a;
}

template <class T>
void launch_norm(CudaContext& ctx, std::string_view op, const NormArguments<T>& a, bool packs, void (*wide)(NormArguments<T>), void (*narrow)(NormArguments<T>)) {
  const std::size_t elements = device::warp_size + (a.keep_row ? static_cast<std::size_t>(a.channels) : 0);
  const device::Launch how{.grid = {blocks_for(a.outer * a.runs.rows(), 1)},
                           .block = {threads_for(packs ? a.channels / pack_size<T> : a.channels, norm_threads)},
                           .shared_bytes = elements * sizeof(compute_t<T>)};
  device::launch(ctx, op, how, packs ? wide : narrow, a);
}

template <class T, class... Operands>
bool norm_packs(const Ref& x, const Ref& y, const Operands&... others) {
  constexpr int n = pack_size<T>;
  return x.size(2) % n == 0 && rows_aligned(x, n) && aligned(y, n) && (rows_aligned(others, n) && ...);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda

namespace kinema::inline KINEMA_ABI::kernel {

void run(CudaContext& ctx, const LayerNorm& op) {
  if (op.y.shape.numel() == 0) return;
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    auto a = cuda::norm_arguments<T>(op);
    a.bias = cuda::Operand(op.bias);
    const bool packs = cuda::norm_packs<T>(op.x, op.y, op.weight, op.bias);
    cuda::launch_norm(ctx, op.name, a, packs, cuda::layer_norm_kernel<cuda::pack_size<T>, T>, cuda::layer_norm_kernel<1, T>);
  });
}

void run(CudaContext& ctx, const RmsNorm& op) {
  if (op.y.shape.numel() == 0) return;
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    const bool packs = cuda::norm_packs<T>(op.x, op.y, op.weight);
    cuda::launch_norm(ctx, op.name, cuda::norm_arguments<T>(op), packs, cuda::rms_norm_kernel<cuda::pack_size<T>, T>, cuda::rms_norm_kernel<1, T>);
  });
}

void run(CudaContext& ctx, const AdaLayerNorm& op) {
  if (op.y.shape.numel() == 0) return;
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    auto a = cuda::norm_arguments<T>(op);
    a.bias = cuda::Operand(op.bias);
    a.shift = cuda::Operand(op.shift), a.scale = cuda::Operand(op.scale);
    a.shift_outer_stride = op.shift.stride[0], a.shift_group_stride = op.shift.stride[1];
    a.scale_outer_stride = op.scale.stride[0], a.scale_group_stride = op.scale.stride[1];
    const bool packs = cuda::norm_packs<T>(op.x, op.y, op.weight, op.bias, op.shift, op.scale);
    cuda::for_each_part(op.runs, [&](const cuda::RunTable& runs) {
      a.runs = runs;
      cuda::launch_norm(ctx, op.name, a, packs, cuda::layer_norm_kernel<cuda::pack_size<T>, T>, cuda::layer_norm_kernel<1, T>);
    });
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
