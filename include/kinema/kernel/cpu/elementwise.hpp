// kinema/kernel/cpu/elementwise.hpp - the pointwise operations over SIMD batches.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/activation.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/cpu/detail/rows.hpp>
#include <kinema/kernel/elementwise.hpp>

#include <algorithm>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// y[i] = f(x[i]) for n contiguous elements.
template <class T, class F>
void pointwise(std::int64_t n, const T* x, T* y, const F& f, int threads) {
  parallel_ranges(n, pointwise_grain, threads, [&](std::int64_t begin, std::int64_t end) { simd::transform<T>(end - begin, y + begin, f, x + begin); });
}

/// A run of y along its fastest axis; an operand either follows it or stands still.
template <class T, class F>
void binary_run(std::int64_t n, const T* a, std::int64_t step_a, const T* b, std::int64_t step_b, T* y, const F& f) {
  using C = compute_t<T>;
  if (step_a == 1 && step_b == 1) return simd::transform<T>(n, y, f, a, b);
  if (step_a == 1 && step_b == 0) return simd::transform<T>(n, y, [&, v = simd::fill<C>(C(*b))](const simd::batch<C>& u) { return f(u, v); }, a);
  if (step_a == 0 && step_b == 1) return simd::transform<T>(n, y, [&, u = simd::fill<C>(C(*a))](const simd::batch<C>& v) { return f(u, v); }, b);
  for (std::int64_t i = 0; i < n; ++i) y[i] = T(f(C(a[i * step_a]), C(b[i * step_b])));
}

/// y is contiguous; axes that all three walk through without a jump are merged.
template <class T, class F>
void binary(const Binary& op, const F& f, int threads) {
  int rank = 0;
  std::int64_t size[max_rank] = {}, step_a[max_rank] = {}, step_b[max_rank] = {};
  for (int i = 0; i < op.y.rank(); ++i) {
    const std::int64_t n = op.y.shape[i], a = op.a.stride[i], b = op.b.stride[i];
    if (n == 1) continue;
    if (rank > 0 && step_a[rank - 1] == n * a && step_b[rank - 1] == n * b) {
      size[rank - 1] *= n, step_a[rank - 1] = a, step_b[rank - 1] = b;
    } else {
      size[rank] = n, step_a[rank] = a, step_b[rank] = b;
      ++rank;
    }
  }
  const T* a = static_cast<const T*>(op.a.data);
  const T* b = static_cast<const T*>(op.b.data);
  T* y = static_cast<T*>(op.y.data);
  if (rank == 0) return binary_run<T>(1, a, 1, b, 1, y, f);
  const int fast = rank - 1;
  const std::int64_t n = size[fast], pieces = (n + pointwise_grain - 1) / pointwise_grain;
  std::int64_t runs = 1;
  for (int i = 0; i < fast; ++i) runs *= size[i];
  parallel_ranges(runs * pieces, std::max<std::int64_t>(1, pointwise_grain / n), threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t first = r % pieces * pointwise_grain;
      std::int64_t rest = r / pieces, at_a = first * step_a[fast], at_b = first * step_b[fast];
      for (int i = fast - 1; i >= 0; --i) {
        at_a += rest % size[i] * step_a[i], at_b += rest % size[i] * step_b[i];
        rest /= size[i];
      }
      binary_run<T>(std::min(pointwise_grain, n - first), a + at_a, step_a[fast], b + at_b, step_b[fast], y + r / pieces * n + first, f);
    }
  });
}

/// Adds c * x to the sums of a block.
template <class T>
void add_scaled(std::int64_t n, double c, const T* x, double* sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += c * static_cast<double>(static_cast<compute_t<T>>(x[i]));
}

template <class T>
void combine(const Combine& op, int threads) {
  constexpr std::int64_t block = 512;
  parallel_ranges(op.y.shape.numel(), pointwise_grain, threads, [&](std::int64_t begin, std::int64_t end) {
    double sums[block];
    for (std::int64_t at = begin; at < end; at += block) {
      const std::int64_t n = std::min(block, end - at);
      std::fill_n(sums, n, 0.0);
      for (int i = 0; i < op.count; ++i)
        dispatch_floating(op.x[i].dtype, op.name, [&]<class X>(Type<X>) { add_scaled(n, op.c[i], static_cast<const X*>(op.x[i].data) + at, sums); });
      T* y = static_cast<T*>(op.y.data) + at;
      for (std::int64_t i = 0; i < n; ++i) y[i] = round_to<T>(sums[i]);
    }
  });
}

template <class T>
void gate_residual(const View<const T, 3>& residual, const View<const T, 3>& x, const View<const compute_t<T>, 3>& gate,
                   const View<const std::int64_t, 2>& runs, const View<T, 3>& y, int threads) {
  using V = simd::batch<compute_t<T>>;
  const std::int64_t s = y.size[1], c = y.size[2], block = std::max<std::int64_t>(1, pointwise_grain / c), blocks = (s + block - 1) / block;
  parallel_for(y.size[0] * blocks, threads, [&](std::int64_t item) {
    const std::int64_t b = item / blocks, first = item % blocks * block;
    for_rows_in_runs(runs, first, std::min(first + block, s), [&](std::int64_t row, std::int64_t group) {
      simd::transform<T>(c, &y(b, row, 0), [](const V& r, const V& g, const V& v) { return simd::fma(g, v, r); }, &residual(b, row, 0), &gate(b, group, 0),
                         &x(b, row, 0));
    });
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Activate& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    dispatch_activation(op.activation, [&](auto activation) {
      cpu::pointwise(op.x.shape.numel(), static_cast<const T*>(op.x.data), static_cast<T*>(op.y.data),
                     [=](const simd::batch<compute_t<T>>& v) { return cpu::activate<compute_t<T>>(activation, v); }, ctx.threads);
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const ActivateBackward& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const T* x = static_cast<const T*>(op.x.data);
    const C* dy = static_cast<const C*>(op.dy.data);
    C* dx = static_cast<C*>(op.dx.data);
    dispatch_activation(op.activation, [&](auto activation) {
      parallel_ranges(op.x.shape.numel(), cpu::pointwise_grain, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
        simd::transform<C>(end - begin, dx + begin, [=](const simd::batch<C>& v, const simd::batch<C>& g) { return g * cpu::derivative<C>(activation, v); },
                           x + begin, dy + begin);
      });
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const Scale& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    cpu::pointwise(op.x.shape.numel(), static_cast<const T*>(op.x.data), static_cast<T*>(op.y.data),
                   [by = simd::fill<C>(C(op.by))](const simd::batch<C>& v) { return v * by; }, ctx.threads);
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const Clamp& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    cpu::pointwise(op.x.shape.numel(), static_cast<const T*>(op.x.data), static_cast<T*>(op.y.data),
                   [low = C(op.low), high = C(op.high)](const simd::batch<C>& v) { return -simd::at_least<C>(-simd::at_least<C>(v, low), -high); },
                   ctx.threads);  // negated, because at_least keeps NaN and a minimum need not
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const Cast& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class X>(Type<X>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class Y>(Type<Y>) {
      const X* x = static_cast<const X*>(op.x.data);
      Y* y = static_cast<Y*>(op.y.data);
      parallel_ranges(op.x.shape.numel(), cpu::pointwise_grain, ctx.threads,
                      [&](std::int64_t begin, std::int64_t end) { cpu::convert(end - begin, x + begin, y + begin); });
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const Binary& op) {
  dispatch_floating(op.y.dtype, op.name, [&]<class T>(Type<T>) {
    switch (op.arithmetic) {
      case Arithmetic::add: return cpu::binary<T>(op, [](const auto& a, const auto& b) { return a + b; }, ctx.threads);
      case Arithmetic::subtract: return cpu::binary<T>(op, [](const auto& a, const auto& b) { return a - b; }, ctx.threads);
      default: return cpu::binary<T>(op, [](const auto& a, const auto& b) { return a * b; }, ctx.threads);
    }
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const Combine& op) {
  dispatch_floating(op.y.dtype, op.name, [&]<class T>(Type<T>) { cpu::combine<T>(op, ctx.threads); });
}

KINEMA_KERNEL void run(CpuContext& ctx, const GateResidual& op) {
  dispatch_floating(op.y.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const auto scratch = ctx.scratch(static_cast<std::size_t>(op.gate.shape.numel()) * sizeof(C));  // the gate is small: widened once
    cpu::gate_residual<T>(op.residual.view<const T, 3>(), op.x.view<const T, 3>(), cpu::widened(op.gate, scratch.template as<C>()),
                          op.runs.view<const std::int64_t, 2>(), op.y.view<T, 3>(), ctx.threads);
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
