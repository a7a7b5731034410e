// kinema/kernel/cpu/layout.hpp - the copy between two windows.
//
// Axes are sorted by the destination's strides and merged where both sides allow it, so that most copies end up as long
// contiguous runs; what is left is a true change of order.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/layout.hpp>

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
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<X, Y>) y[i * to] = x[i * from];
    else convert<X, Y>(1, x + i * from, y + i * to);
  }
}

template <class X, class Y>
void copy(const CopyPlan& p, const X* x, Y* y, int threads) {
  if (p.rank == 0) return copy_run<X, Y>(1, x, 1, y, 1);
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
      copy_run(std::min(piece, n - first), x + from, p.from[fast], y + to, p.to[fast]);
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

}  // namespace kinema::inline KINEMA_ABI::kernel
