// kinema/kernel/cpu/layout.hpp - the copy between two windows, and the sum of one into another.
//
// Axes are sorted by the destination's strides and merged where both sides allow it, so that most copies end up as long
// contiguous runs; what is left is a true change of order.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/layout.hpp>

#include <algorithm>
#include <cstring>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// Two windows of one shape, axes from slow to fast.
struct CopyPlan {
  int rank = 0;
  std::int64_t size[max_rank] = {}, from[max_rank] = {}, to[max_rank] = {};
};

inline CopyPlan plan_copy(const Ref& x, const Ref& y) {
  CopyPlan p;
  for (int i = 0; i < x.rank(); ++i) {  // insertion by falling destination stride; axes of size 1 do not count
    if (x.shape[i] == 1) continue;
    int at = p.rank++;
    for (; at > 0 && p.to[at - 1] < y.stride[i]; --at) {
      p.size[at] = p.size[at - 1], p.from[at] = p.from[at - 1], p.to[at] = p.to[at - 1];
    }
    p.size[at] = x.shape[i], p.from[at] = x.stride[i], p.to[at] = y.stride[i];
  }
  int last = 0;
  for (int i = 1; i < p.rank; ++i) {
    if (p.from[last] == p.size[i] * p.from[i] && p.to[last] == p.size[i] * p.to[i]) {
      p.size[last] *= p.size[i], p.from[last] = p.from[i], p.to[last] = p.to[i];
    } else {
      ++last;
      p.size[last] = p.size[i], p.from[last] = p.from[i], p.to[last] = p.to[i];
    }
  }
  if (p.rank > 0) p.rank = last + 1;
  return p;
}

/// One run along the fastest axis.
template <class X, class Y>
void copy_run(std::int64_t n, const X* x, std::int64_t from, Y* y, std::int64_t to) {
  if (from == 1 && to == 1) {
    if constexpr (std::is_same_v<X, Y>) std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof(X));
    else convert(n, x, y);
    return;
  }
  if constexpr (std::is_same_v<X, Y>)
    if (from == 0 && to == 1) return void(std::fill_n(y, n, *x));
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<X, Y>) y[i * to] = x[i * from];
    else convert<X, Y>(1, x + i * from, y + i * to);
  }
}

/// run(n, first element of x, first element of y) for all pieces along the fastest axis.
template <class Run>
void for_runs(const CopyPlan& p, int threads, const Run& run) {
  if (p.rank == 0) return run(1, 0, 0);
  constexpr std::int64_t grain = 1 << 15;  // elements per item: some ten microseconds
  const int fast = p.rank - 1;
  const std::int64_t n = p.size[fast];
  std::int64_t runs = 1;
  for (int i = 0; i < fast; ++i) runs *= p.size[i];
  const std::int64_t pieces = (n + grain - 1) / grain, piece = (n + pieces - 1) / pieces;
  parallel_ranges(runs * pieces, std::max<std::int64_t>(1, grain / std::max<std::int64_t>(n, 1)), threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t first = r % pieces * piece;
      std::int64_t rest = r / pieces, from = first * p.from[fast], to = first * p.to[fast];
      for (int i = fast - 1; i >= 0; --i) {
        from += rest % p.size[i] * p.from[i], to += rest % p.size[i] * p.to[i];
        rest /= p.size[i];
      }
      run(std::min(piece, n - first), from, to);
    }
  });
}

template <class X, class Y>
void copy(const CopyPlan& p, const X* x, Y* y, int threads) {
  const std::int64_t from_step = p.rank > 0 ? p.from[p.rank - 1] : 1, to_step = p.rank > 0 ? p.to[p.rank - 1] : 1;
  for_runs(p, threads, [&](std::int64_t n, std::int64_t from, std::int64_t to) { copy_run(n, x + from, from_step, y + to, to_step); });
}

template <class X, class Y>
void add_run(std::int64_t n, const X* x, std::int64_t from, Y* y, std::int64_t to) {
  if constexpr (std::is_same_v<compute_t<X>, Y>)
    if (from == 1 && to == 1) return simd::transform<Y>(n, y, [](const simd::batch<Y>& a, const simd::batch<Y>& b) { return a + b; }, static_cast<const Y*>(y), x);
  for (std::int64_t i = 0; i < n; ++i) y[i * to] += static_cast<Y>(static_cast<compute_t<X>>(x[i * from]));
}

template <class X, class Y>
void accumulate(const CopyPlan& p, const X* x, Y* y, int threads) {
  const std::int64_t from_step = p.rank > 0 ? p.from[p.rank - 1] : 1, to_step = p.rank > 0 ? p.to[p.rank - 1] : 1;
  for_runs(p, threads, [&](std::int64_t n, std::int64_t from, std::int64_t to) { add_run(n, x + from, from_step, y + to, to_step); });
}

/// Axes of an accumulation, apart by whether y moves along them; fast axes of x last.
struct SumAxes {
  int rank = 0;
  std::int64_t size[max_rank] = {}, from[max_rank] = {}, to[max_rank] = {};
  std::int64_t count = 1;  ///< product of the sizes
  void add(std::int64_t n, std::int64_t x_step, std::int64_t y_step) {
    int at = rank++;
    for (; at > 0 && from[at - 1] < x_step; --at) size[at] = size[at - 1], from[at] = from[at - 1], to[at] = to[at - 1];
    size[at] = n, from[at] = x_step, to[at] = y_step;
    count *= n;
  }
  /// Offsets of the i-th place over the first `axes` axes.
  void place(std::int64_t i, int axes, std::int64_t& x, std::int64_t& y) const {
    for (int a = axes - 1; a >= 0; --a) {
      x += i % size[a] * from[a], y += i % size[a] * to[a];
      i /= size[a];
    }
  }
};

/// Sums over `summed` in items of some places of the fastest kept axis and a chunk of the summed ones; chunks are added in order.
template <class X, class Y>
void accumulate_sums(CpuContext& ctx, const SumAxes& kept, const SumAxes& summed, const X* x, Y* y) {
  constexpr std::int64_t width = 256, item_elements = 1 << 16;
  const bool scalar = kept.rank == 0;
  const int outer = scalar ? 0 : kept.rank - 1, inner = summed.rank - 1;
  const std::int64_t n = scalar ? 1 : kept.size[outer], step = scalar ? 0 : kept.from[outer];
  const std::int64_t blocks = (n + width - 1) / width, chunk = std::max<std::int64_t>(1, item_elements / std::min(n, width));
  const std::int64_t chunks = (summed.count + chunk - 1) / chunk;
  const auto scratch = ctx.scratch(static_cast<std::size_t>(kept.count * chunks) * sizeof(double));
  double* const partial = scratch.template as<double>();  // [chunks, kept]
  parallel_for(kept.count / n * blocks * chunks, ctx.threads, [&](std::int64_t item) {
    const std::int64_t c = item % chunks, block = item / chunks % blocks, row = item / chunks / blocks;
    const std::int64_t first = block * width, columns = std::min(width, n - first), end = std::min((c + 1) * chunk, summed.count);
    std::int64_t base = first * step, unused = 0;
    kept.place(row, outer, base, unused);
    double sums[width] = {};
    for (std::int64_t at = c * chunk; at < end;) {
      std::int64_t from = base + at % summed.size[inner] * summed.from[inner];
      summed.place(at / summed.size[inner], inner, from, unused);
      const std::int64_t stop = std::min(end, (at / summed.size[inner] + 1) * summed.size[inner]);
      for (; at < stop; ++at, from += summed.from[inner])
        for (std::int64_t j = 0; j < columns; ++j) sums[j] += static_cast<double>(static_cast<compute_t<X>>(x[from + j * step]));
    }
    std::copy_n(sums, columns, partial + c * kept.count + row * n + first);
  });
  parallel_ranges(kept.count, width, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      std::int64_t unused = 0, to = 0;
      kept.place(k, kept.rank, unused, to);
      double sum = 0;
      for (std::int64_t c = 0; c < chunks; ++c) sum += partial[c * kept.count + k];
      y[to] += static_cast<Y>(sum);
    }
  });
}

template <class Bits>
void move(const CopyPlan& p, const Copy& op, int threads) {
  copy(p, static_cast<const Bits*>(op.x.data), static_cast<Bits*>(op.y.data), threads);
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Copy& op) {
  if (op.x.shape.numel() == 0) return;
  const cpu::CopyPlan p = cpu::plan_copy(op.x, op.y);
  if (op.x.dtype == op.y.dtype) {
    switch (size_of(op.x.dtype)) {
      case 8: return cpu::move<std::uint64_t>(p, op, ctx.threads);
      case 4: return cpu::move<std::uint32_t>(p, op, ctx.threads);
      case 2: return cpu::move<std::uint16_t>(p, op, ctx.threads);
      default: return cpu::move<std::uint8_t>(p, op, ctx.threads);
    }
  }
  dispatch_floating(op.x.dtype, op.name, [&]<class X>(Type<X>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class Y>(Type<Y>) {
      if constexpr (!std::is_same_v<X, Y>) cpu::copy(p, static_cast<const X*>(op.x.data), static_cast<Y*>(op.y.data), ctx.threads);
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const Accumulate& op) {
  if (op.x.shape.numel() == 0) return;
  cpu::SumAxes kept, summed;
  for (int i = 0; i < op.x.rank(); ++i)
    if (op.x.shape[i] > 1) (op.y.stride[i] == 0 ? summed : kept).add(op.x.shape[i], op.x.stride[i], op.y.stride[i]);
  dispatch_floating(op.x.dtype, op.name, [&]<class X>(Type<X>) {
    const X* x = static_cast<const X*>(op.x.data);
    const auto into = [&]<class Y>(Y* y) {
      if (summed.rank > 0) cpu::accumulate_sums(ctx, kept, summed, x, y);
      else cpu::accumulate(cpu::plan_copy(op.x, op.y), x, y, ctx.threads);
    };
    if (op.y.dtype == DType::f64) into(static_cast<double*>(op.y.data));
    else into(static_cast<float*>(op.y.data));
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
