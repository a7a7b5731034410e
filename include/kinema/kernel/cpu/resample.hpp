// kinema/kernel/cpu/resample.hpp - index maps around blocked activations on the CPU: rows are copied, values at most averaged.
#pragma once

#include <kinema/kernel/cpu/detail/frames.hpp>
#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/resample.hpp>

#include <cmath>
#include <cstring>

namespace kinema::inline KINEMA_ABI::kernel {
namespace cpu {

/// Rounds one element of a floating type to another.
template <class To, class From>
To convert(From v) {
  if constexpr (std::is_same_v<To, From>) return v;
  else return static_cast<To>(static_cast<compute_t<To>>(static_cast<compute_t<From>>(v)));
}

/// Calls f(planar element, blocked element) for all pairs that ToBlocked and FromBlocked relate.
template <class P, class Q, class F>
void pair_layouts(int threads, const View<P, 5>& planar, const View<Q, 6>& blocked, const F& f) {
  const std::int64_t n = blocked.size[5];
  for_each_frame(threads, blocked.size[0], blocked.size[1], blocked.size[2], [&](std::int64_t b, std::int64_t k, std::int64_t t) {
    for (std::int64_t i = 0; i < blocked.size[3]; ++i)
      for (std::int64_t c = 0; c < n; ++c) {
        P* p = planar.data + b * planar.stride[0] + (k * n + c) * planar.stride[1] + t * planar.stride[2] + i * planar.stride[3];
        Q* q = blocked.data + b * blocked.stride[0] + k * blocked.stride[1] + t * blocked.stride[2] + i * blocked.stride[3] + c * blocked.stride[5];
        for (std::int64_t j = 0; j < blocked.size[4]; ++j) f(p[j * planar.stride[4]], q[j * blocked.stride[4]]);
      }
  });
}

/// First byte of pixel (b, k, t, i, 0).
inline char* row_bytes(const Ref& r, std::int64_t b, std::int64_t k, std::int64_t t, std::int64_t i) {
  return static_cast<char*>(r.data) + (b * r.stride[0] + k * r.stride[1] + t * r.stride[2] + i * r.stride[3]) * static_cast<std::int64_t>(size_of(r.dtype));
}
/// Whether a row of pixels is one piece of memory.
inline bool row_is_dense(const Ref& r) { return r.stride[4] == r.shape[5] || r.shape[4] <= 1; }

inline void copy_row(const Ref& x, const char* from, const Ref& y, char* to) {
  const std::size_t size = size_of(y.dtype), pixel = static_cast<std::size_t>(y.shape[5]) * size;
  if (row_is_dense(x) && row_is_dense(y)) {
    std::memcpy(to, from, static_cast<std::size_t>(y.shape[4]) * pixel);
    return;
  }
  for (std::int64_t j = 0; j < y.shape[4]; ++j)
    std::memcpy(to + j * y.stride[4] * static_cast<std::int64_t>(size), from + j * x.stride[4] * static_cast<std::int64_t>(size), pixel);
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const ToBlocked& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class U>(Type<U>) {
      cpu::pair_layouts(ctx.threads, op.x.view<const T, 5>(), op.y.view<U, 6>(), [](const T& x, U& y) { y = cpu::convert<U>(x); });
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const FromBlocked& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class U>(Type<U>) {
      cpu::pair_layouts(ctx.threads, op.y.view<U, 5>(), op.x.view<const T, 6>(), [](U& y, const T& x) { y = cpu::convert<U>(x); });
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const RepeatFrames& op) {
  const Shape& s = op.y.shape;
  cpu::for_each_frame(ctx.threads, s[0], s[1], s[2], [&](std::int64_t b, std::int64_t k, std::int64_t t) {
    const std::int64_t from = t < op.first ? t : op.first + (t - op.first) / op.repeat;
    for (std::int64_t i = 0; i < s[3]; ++i)
      cpu::copy_row(op.x, cpu::row_bytes(op.x, b, k, from, i), op.y, cpu::row_bytes(op.y, b, k, t, i));
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const AveragePairs& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const auto x = op.x.view<const T, 6>();
    const auto y = op.y.view<T, 6>();
    cpu::for_each_frame(ctx.threads, y.size[0], y.size[1], y.size[2], [&](std::int64_t b, std::int64_t k, std::int64_t t) {
      for (std::int64_t i = 0; i < y.size[3]; ++i) {
        if (t < op.first) {
          cpu::copy_row(op.x, cpu::row_bytes(op.x, b, k, t, i), op.y, cpu::row_bytes(op.y, b, k, t, i));
          continue;
        }
        for (std::int64_t j = 0; j < y.size[4]; ++j)
          simd::transform<T>(y.size[5], &y(b, k, t, i, j, 0), [](const auto& p, const auto& q) { return (p + q) * simd::fill<C>(C(0.5)); },
                             &x(b, k, 2 * t - op.first, i, j, 0), &x(b, k, 2 * t - op.first + 1, i, j, 0));
      }
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const UpsampleNearest& op) {
  const Shape &s = op.y.shape, &from = op.x.shape;
  const std::int64_t up = s[3] / std::max<std::int64_t>(1, from[3]), across = s[4] / std::max<std::int64_t>(1, from[4]);
  const auto size = static_cast<std::int64_t>(size_of(op.y.dtype));
  cpu::for_each_frame(ctx.threads, s[0], s[1], s[2], [&](std::int64_t b, std::int64_t k, std::int64_t t) {
    const std::int64_t source = cpu::nearest_frame(t, s[2], from[2], op.first);
    for (std::int64_t i = 0; i < s[3]; ++i) {
      const char* x = cpu::row_bytes(op.x, b, k, source, i / up);
      char* y = cpu::row_bytes(op.y, b, k, t, i);
      for (std::int64_t j = 0; j < s[4]; ++j)
        std::memcpy(y + j * op.y.stride[4] * size, x + j / across * op.x.stride[4] * size, static_cast<std::size_t>(s[5] * size));
    }
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const BlendTiles& op) {
  dispatch_floating(op.b.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const auto a = op.a.view<const T, 5>();
    const auto b = op.b.view<T, 5>();
    const std::int64_t rows = op.axis == 3 ? op.n : b.size[3], columns = op.axis == 4 ? op.n : b.size[4];
    const std::int64_t down = op.axis == 3 ? a.size[3] - op.n : 0, right = op.axis == 4 ? a.size[4] - op.n : 0;
    cpu::for_each_frame(ctx.threads, b.size[0], b.size[1], b.size[2], [&](std::int64_t n, std::int64_t c, std::int64_t t) {
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j) {
          const C weight = static_cast<C>(op.axis == 3 ? i : j) / static_cast<C>(op.n);
          T& to = b(n, c, t, i, j);
          to = T(static_cast<C>(a(n, c, t, i + down, j + right)) * (C(1) - weight) + static_cast<C>(to) * weight);
        }
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const SampleGaussian& op) {
  dispatch_floating(op.y.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const auto m = op.moments.view<const T, 5>();
    const auto e = op.noise.view<const T, 5>();
    const auto y = op.y.view<T, 5>();
    const std::int64_t L = y.size[1];
    cpu::for_each_frame(ctx.threads, y.size[0], L, y.size[2], [&](std::int64_t b, std::int64_t c, std::int64_t t) {
      for (std::int64_t i = 0; i < y.size[3]; ++i)
        for (std::int64_t j = 0; j < y.size[4]; ++j) {
          const C logvar = std::min(std::max(static_cast<C>(m(b, L + c, t, i, j)), C(-30)), C(20));
          y(b, c, t, i, j) = T(static_cast<C>(m(b, c, t, i, j)) + math::exp(C(0.5) * logvar) * static_cast<C>(e(b, c, t, i, j)));
        }
    });
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
