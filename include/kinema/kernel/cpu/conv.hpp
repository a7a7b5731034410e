// kinema/kernel/cpu/conv.hpp - convolutions over blocked activations on the CPU.
//
// One register tile does all the work: OB vectors of output channels times WB pixels, fed by one broadcast input
// channel at a time. Its sums start at zero and run over a slice of the input channels, then they are added to y, so
// no chain of additions is longer than a slice plus the number of slices. Work is cut into slabs of output rows whose
// size depends on the shapes alone.
#pragma once

#include <kinema/kernel/conv.hpp>
#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/cpu/detail/winograd.hpp>

#include <cstring>

namespace kinema::inline KINEMA_ABI::kernel {
namespace cpu {

/// Output pixels of one slab: its outputs and the inputs of one slice stay in the second-level cache, and where there
/// are few products per input, so do all its inputs.
inline std::int64_t conv_slab_pixels(std::int64_t taps, std::int64_t inputs) {
  return std::max<std::int64_t>(64, std::min<std::int64_t>(1024, 65536 * taps / std::max<std::int64_t>(1, inputs)));
}

/// y = bias + residual + conv(x) on one context; x and y in the compute type C.
template <class C>
void conv(CpuContext& ctx, const View<const C, 6>& x, const PackedConv<C>& w, const C* bias, const View<const C, 6>& residual,
          const View<C, 6>& y, std::int64_t stride) {
  if (winograd_suits(w, y.size[5], stride)) return winograd_conv(ctx, x, w, bias, residual, y);
  const std::int64_t B = y.size[0], T = y.size[2], H = y.size[3], W = y.size[4];
  const std::int64_t groups = w.groups(), slices = w.slices();
  const std::int64_t rows = std::max<std::int64_t>(1, std::min(H, conv_slab_pixels(w.taps(), w.inputs) / std::max<std::int64_t>(W, 1)));
  const std::int64_t slabs = (H + rows - 1) / rows;
  parallel_for(B * T * slabs * groups, ctx.threads, [&](std::int64_t item) {
    const std::int64_t g = item % groups, s = item / groups % slabs, t = item / (groups * slabs) % T, b = item / (groups * slabs * T);
    const std::int64_t first = s * rows, last = std::min(H, first + rows);
    TileTarget<C> to(w, g, y, residual, bias);
    for (std::int64_t slice = 0; slice < slices; ++slice) {
      const TileSource<C> from = w.source(slice, g, x, stride);
      const C* blocks = x.data + slice * w.slice_blocks() * x.stride[1];
      for (std::int64_t i = first; i < last; ++i)
        run_row(from, blocks + b * x.stride[0] + t * x.stride[2] + stride * i * x.stride[3], to,
                b * y.stride[0] + t * y.stride[2] + i * y.stride[3],
                residual ? b * residual.stride[0] + t * residual.stride[2] + i * residual.stride[3] : 0, W, slice == 0);
    }
  });
}

/// Converts between a storage type and its compute type, dense copies of any view with a contiguous last axis.
template <class To, class From>
void convert_rows(int threads, const View<const From, 6>& x, const View<To, 6>& y) {
  const std::int64_t n = x.size[5];
  parallel_for(x.size[0] * x.size[1] * x.size[2], threads, [&](std::int64_t item) {
    const std::int64_t t = item % x.size[2], c = item / x.size[2] % x.size[1], b = item / (x.size[2] * x.size[1]);
    for (std::int64_t i = 0; i < x.size[3]; ++i)
      for (std::int64_t j = 0; j < x.size[4]; ++j) {
        const From* p = &x(b, c, t, i, j, 0);
        To* q = &y(b, c, t, i, j, 0);
        for (std::int64_t k = 0; k < n; ++k) q[k] = static_cast<To>(static_cast<compute_t<From>>(p[k]));
      }
  });
}

/// A dense view with the sizes of `like` over `data`.
template <class T, class U>
View<T, 6> dense_like(const View<U, 6>& like, T* data) {
  View<T, 6> v;
  v.data = data;
  std::int64_t step = 1;
  for (int i = 5; i >= 0; --i) {
    v.size[i] = like.size[i];
    v.stride[i] = step;
    step *= like.size[i];
  }
  return v;
}
template <class T>
std::int64_t elements(const View<T, 6>& v) {
  std::int64_t n = 1;
  for (const std::int64_t s : v.size) n *= s;
  return n;
}

/// Calls f(x, residual, y) with views of the compute type: the tensors themselves, or converted copies around the call.
template <class T, class F>
void in_compute_type(CpuContext& ctx, const Ref& x, const Ref& residual, const Ref& y, const F& f) {
  using C = compute_t<T>;
  const View<const T, 6> rx = x.view<const T, 6>();
  const View<const T, 6> rr = residual ? residual.view<const T, 6>() : View<const T, 6>{};
  const View<T, 6> ry = y.view<T, 6>();
  if constexpr (std::is_same_v<T, C>) {
    f(rx, rr, ry);
  } else {
    const auto bytes = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(C); };
    const Storage sx = ctx.pool->allocate(bytes(elements(rx)));
    const Storage sr = ctx.pool->allocate(residual ? bytes(elements(rr)) : 0);
    const Storage sy = ctx.pool->allocate(bytes(elements(ry)));
    const View<C, 6> cx = dense_like(rx, static_cast<C*>(sx.data)), cy = dense_like(ry, static_cast<C*>(sy.data));
    convert_rows<C, T>(ctx.threads, rx, cx);
    View<const C, 6> cr;
    if (residual) {
      const View<C, 6> written = dense_like(rr, static_cast<C*>(sr.data));
      convert_rows<C, T>(ctx.threads, rr, written);
      cr = dense_like(rr, static_cast<const C*>(sr.data));
    }
    f(dense_like(rx, static_cast<const C*>(sx.data)), cr, cy);
    convert_rows<T, C>(ctx.threads, dense_like(ry, static_cast<const C*>(sy.data)), ry);
  }
}

/// The bias in the compute type, as long as a whole number of vectors; zeros without one.
template <class C>
void load_bias(const Ref& bias, C* out, std::int64_t channels, std::int64_t padded) {
  for (std::int64_t i = 0; i < padded; ++i) out[i] = C(0);
  if (!bias) return;
  dispatch_floating(bias.dtype, "conv", [&]<class B>(Type<B>) {
    const auto v = bias.view<const B, 1>();
    for (std::int64_t i = 0; i < channels; ++i) out[i] = static_cast<C>(static_cast<compute_t<B>>(v(i)));
  });
}

}  // namespace cpu

KINEMA_KERNEL std::int64_t channel_block(CpuContext&, std::int64_t channels) {
  constexpr std::int64_t block = std::max(8, simd::lanes<float>);
  return channels % block == 0 ? block : channels % 8 == 0 ? 8 : std::max<std::int64_t>(1, channels);
}

KINEMA_KERNEL void run(CpuContext& ctx, const Conv& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const std::int64_t bi = op.x.shape[5];
    const auto packed = cpu::packed_conv<C>(ctx, op.weight, bi);
    const auto bias = ctx.scratch(static_cast<std::size_t>(packed->padded_channels()) * sizeof(C));
    cpu::load_bias<C>(op.bias, bias.template as<C>(), packed->channels, packed->padded_channels());
    cpu::in_compute_type<T>(ctx, op.x, op.residual, op.y, [&](const auto& x, const auto& residual, const auto& y) {
      cpu::conv<C>(ctx, x, *packed, bias.template as<C>(), residual, y, op.stride);
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const UpsampleConv& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const std::int64_t bi = op.x.shape[5];
    const auto packed = cpu::packed_upsample_conv<C>(ctx, op.weight, bi);
    const auto bias = ctx.scratch(static_cast<std::size_t>((*packed)[0].padded_channels()) * sizeof(C));
    cpu::load_bias<C>(op.bias, bias.template as<C>(), (*packed)[0].channels, (*packed)[0].padded_channels());
    cpu::in_compute_type<T>(ctx, op.x, Ref{}, op.y, [&](const auto& x, const auto& none, const auto& y) {
      for (int p = 0; p < 2; ++p)
        for (int q = 0; q < 2; ++q) {
          // Output row 2i + p reads input rows i - 1 + p and i + p, which the zero row in front shifts by one.
          View<const C, 6> from = x;
          from.data += p * x.stride[3] + q * x.stride[4];
          from.size[3] -= 1;
          from.size[4] -= 1;
          View<C, 6> to = y;
          to.data += p * y.stride[3] + q * y.stride[4];
          to.size[3] /= 2;
          to.size[4] /= 2;
          to.stride[3] *= 2;
          to.stride[4] *= 2;
          cpu::conv<C>(ctx, from, (*packed)[static_cast<std::size_t>(2 * p + q)], bias.template as<C>(), none, to, 1);
        }
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const ClearBorder& op) {
  const Ref& y = op.y;
  const std::int64_t B = y.shape[0], K = y.shape[1], T = y.shape[2], H = y.shape[3], W = y.shape[4];
  const std::size_t size = size_of(y.dtype);
  parallel_for(B * K * T, ctx.threads, [&](std::int64_t item) {
    const std::int64_t t = item % T, k = item / T % K, b = item / (T * K);
    const auto clear = [&](std::int64_t i, std::int64_t from, std::int64_t to) {
      for (std::int64_t j = from; j < to; ++j) {
        const std::int64_t at = b * y.stride[0] + k * y.stride[1] + t * y.stride[2] + i * y.stride[3] + j * y.stride[4];
        std::memset(static_cast<char*>(y.data) + at * static_cast<std::int64_t>(size), 0, static_cast<std::size_t>(y.shape[5]) * size);
      }
    };
    for (std::int64_t i = 0; i < H; ++i) {
      const bool edge = i < op.top || i >= H - op.bottom;
      clear(i, 0, edge ? W : std::min(W, op.left));
      if (!edge) clear(i, std::max(op.left, W - op.right), W);
    }
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
