// kinema/kernel/cpu/reduce.hpp - reductions: one item per output element, or fixed pieces where there are few outputs.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/reduce.hpp>

#include <algorithm>
#include <limits>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// Elements [begin, end) of the reduced axes, in row-major order, folded from `start`.
template <class T, class F>
double fold(const Ref& x, int kept, const T* base, std::int64_t begin, std::int64_t end, double start, const F& f) {
  double value = start;
  const int rank = x.rank();
  if (rank == kept) return begin < end ? f(value, static_cast<double>(static_cast<compute_t<T>>(*base))) : value;
  const int fast = rank - 1;
  const std::int64_t n = x.shape[fast], step = x.stride[fast];
  for (std::int64_t at = begin; at < end;) {
    std::int64_t rest = at / n, offset = at % n * step;
    for (int i = fast - 1; i >= kept; --i) {
      offset += rest % x.shape[i] * x.stride[i];
      rest /= x.shape[i];
    }
    const std::int64_t stop = std::min(end, (at / n + 1) * n);
    for (const T* p = base + offset; at < stop; ++at, p += step) value = f(value, static_cast<double>(static_cast<compute_t<T>>(*p)));
  }
  return value;
}

template <class T, class F>
void reduce(CpuContext& ctx, const Reduce& op, double start, const F& f, const auto& finish) {
  constexpr std::int64_t piece = 1 << 12;  // elements per partial result; the pieces of one output are folded in order
  const int kept = op.y.rank();
  const std::int64_t outputs = op.y.shape.numel();
  std::int64_t count = 1;
  for (int i = kept; i < op.x.rank(); ++i) count *= op.x.shape[i];
  const std::int64_t pieces = std::max<std::int64_t>(1, (count + piece - 1) / piece);
  const auto scratch = ctx.scratch(static_cast<std::size_t>(outputs * pieces) * sizeof(double));
  double* partial = scratch.template as<double>();
  parallel_ranges(outputs * pieces, std::max<std::int64_t>(1, piece / std::max<std::int64_t>(1, count)), ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      std::int64_t rest = item / pieces, offset = 0;
      for (int i = kept - 1; i >= 0; --i) {
        offset += rest % op.x.shape[i] * op.x.stride[i];
        rest /= op.x.shape[i];
      }
      const std::int64_t first = item % pieces * piece;
      partial[item] = fold<T>(op.x, kept, static_cast<const T*>(op.x.data) + offset, first, std::min(first + piece, count), start, f);
    }
  });
  T* y = static_cast<T*>(op.y.data);
  for (std::int64_t o = 0; o < outputs; ++o) {
    double value = partial[o * pieces];
    for (std::int64_t p = 1; p < pieces; ++p) value = f(value, partial[o * pieces + p]);
    y[o] = round_to<T>(finish(value, static_cast<double>(count)));
  }
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Reduce& op) {
  const auto plus = [](double a, double b) { return a + b; };
  const auto larger = [](double a, double b) { return a != a || a > b ? a : b; };  // NaN wins
  const auto same = [](double v, double) { return v; };
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    switch (op.reduction) {
      case Reduction::sum: return cpu::reduce<T>(ctx, op, 0.0, plus, same);
      case Reduction::mean: return cpu::reduce<T>(ctx, op, 0.0, plus, [](double v, double n) { return v / n; });
      default: return cpu::reduce<T>(ctx, op, -std::numeric_limits<double>::infinity(), larger, same);
    }
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const FirstNonFinite& op) {
  constexpr std::int64_t piece = 1 << 14;
  const std::int64_t n = op.x.shape.numel(), pieces = (n + piece - 1) / piece;
  const auto scratch = ctx.scratch(static_cast<std::size_t>(pieces) * sizeof(std::int64_t));
  std::int64_t* found = scratch.as<std::int64_t>();
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    const T* x = static_cast<const T*>(op.x.data);
    parallel_for(pieces, ctx.threads, [&](std::int64_t p) {
      using C = compute_t<T>;
      const std::int64_t begin = p * piece, end = std::min(begin + piece, n);
      C zeros = 0;  // x * 0 is 0, or NaN for a NaN or an infinity: a sum without branches over the usual case
      for (std::int64_t i = begin; i < end; ++i) zeros += C(x[i]) * C(0);
      found[p] = -1;
      if (zeros == C(0)) return;
      for (std::int64_t i = begin; i < end && found[p] < 0; ++i)
        if (!(C(x[i]) * C(0) == C(0))) found[p] = i;
    });
  });
  std::int64_t first = -1;
  for (std::int64_t p = 0; p < pieces && first < 0; ++p) first = found[p];
  *static_cast<std::int64_t*>(op.y.data) = first;
}

}  // namespace kinema::inline KINEMA_ABI::kernel
