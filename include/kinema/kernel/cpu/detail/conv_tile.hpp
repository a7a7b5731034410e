// kinema/kernel/cpu/detail/conv_tile.hpp - the register tile of the convolutions and the weights in its order.
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/runtime/context.hpp>
#include <kinema/tensor/view.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// Shape of the tile. Its accumulators, OB weights and a broadcast fit the registers: 16 of them up to AVX2, else 32.
#if defined(__AVX512F__)
inline constexpr int tile_vectors = 4, tile_pixels = 6;
#else
inline constexpr int tile_vectors = 2, tile_pixels = 6;
#endif

/// Products per output value that are summed in one go; longer sums are cut at whole blocks of input channels.
inline constexpr std::int64_t slice_products = 216;

/// Where one slice of a convolution reads.
template <class C>
struct TileSource {
  const C* weight;               ///< of this slice and group, in tile order
  std::int64_t blocks, block_stride;
  std::int64_t kt, frame_stride;
  std::int64_t kh, row_stride;
  std::int64_t kw, channels;     ///< taps along a row; channels of a block = distance of neighbouring pixels
  std::int64_t step;             ///< elements between the inputs of neighbouring outputs
};

/// Weights in tile order: [group][input block][tap][channel of the block][vector of the group][lane], zero-padded lanes.
template <class C>
struct PackedConv {
  static constexpr std::int64_t lanes = simd::lanes<C>;
  Storage storage;
  std::int64_t channels = 0, inputs = 0, block = 1;   ///< output channels, input channels, channels of an input block
  std::int64_t kt = 1, kh = 1, kw = 1;

  std::int64_t vectors() const { return (channels + lanes - 1) / lanes; }
  std::int64_t padded_channels() const { return vectors() * lanes; }
  std::int64_t groups() const { return (vectors() + tile_vectors - 1) / tile_vectors; }
  std::int64_t group_vectors(std::int64_t g) const { return std::min<std::int64_t>(tile_vectors, vectors() - g * tile_vectors); }
  std::int64_t taps() const { return kt * kh * kw; }
  std::int64_t slice_blocks() const { return std::max<std::int64_t>(1, slice_products / std::max<std::int64_t>(1, taps() * block)); }
  std::int64_t slices() const { return (inputs / block + slice_blocks() - 1) / slice_blocks(); }
  C* data() const { return static_cast<C*>(storage.data); }
  C* at(std::int64_t g, std::int64_t input_block) const {
    return data() + g * tile_vectors * lanes * inputs * taps() + input_block * block * taps() * group_vectors(g) * lanes;
  }
  TileSource<C> source(std::int64_t slice, std::int64_t g, const View<const C, 6>& x, std::int64_t stride) const {
    const std::int64_t first = slice * slice_blocks();
    return {at(g, first), std::min(slice_blocks(), inputs / block - first), x.stride[1], kt, x.stride[2], kh, x.stride[3],
            kw, block, stride * block};
  }
};

/// Fills packed weights from value(o, c, a, d, e).
template <class C, class Value>
PackedConv<C> pack_conv(CpuContext& ctx, std::array<std::int64_t, 5> shape, std::int64_t block, const Value& value) {
  PackedConv<C> p;
  p.channels = shape[0];
  p.inputs = shape[1];
  p.block = block;
  p.kt = shape[2];
  p.kh = shape[3];
  p.kw = shape[4];
  p.storage = ctx.pool->allocate(static_cast<std::size_t>(p.padded_channels() * p.inputs * p.taps()) * sizeof(C));
  const std::int64_t lanes = p.lanes;
  parallel_for(p.groups(), ctx.threads, [&](std::int64_t g) {
    C* out = p.at(g, 0);
    for (std::int64_t ib = 0; ib < p.inputs / block; ++ib)
      for (std::int64_t a = 0; a < p.kt; ++a)
        for (std::int64_t d = 0; d < p.kh; ++d)
          for (std::int64_t e = 0; e < p.kw; ++e)
            for (std::int64_t c = 0; c < block; ++c)
              for (std::int64_t o = g * tile_vectors * lanes; o < (g * tile_vectors + p.group_vectors(g)) * lanes; ++o)
                *out++ = o < p.channels ? value(o, ib * block + c, a, d, e) : C(0);
  });
  return p;
}

/// What the attachment of a convolution's weight holds: its packed forms, each made on first use.
struct ConvWeights {
  template <class C> struct Forms {
    std::shared_ptr<const PackedConv<C>> plain;
    std::shared_ptr<const std::array<PackedConv<C>, 4>> upsample;
  };
  mutable std::mutex mutex;
  mutable Forms<float> single;
  mutable Forms<double> twice;
  template <class C> Forms<C>& forms() const {
    if constexpr (std::is_same_v<C, double>) return twice;
    else return single;
  }
};

/// Calls f(value) where value(o, c, a, d, e) reads the weight [Co, Ci, (kt,) kh, kw] in compute type C.
template <class C, class F>
auto with_conv_weight(const Ref& weight, const F& f) {
  return dispatch_floating(weight.dtype, "conv", [&]<class T>(Type<T>) {
    const T* data = static_cast<const T*>(weight.data);
    const Shape& s = weight.stride;
    const bool flat = weight.rank() == 4;
    const std::int64_t st = flat ? 0 : s[2], sh = flat ? s[2] : s[3], sw = flat ? s[3] : s[4];
    return f([=](std::int64_t o, std::int64_t c, std::int64_t a, std::int64_t d, std::int64_t e) {
      return static_cast<C>(static_cast<compute_t<T>>(data[o * s[0] + c * s[1] + a * st + d * sh + e * sw]));
    });
  });
}
inline std::array<std::int64_t, 5> conv_shape(const Ref& weight) {
  const Shape& s = weight.shape;
  if (weight.rank() == 4) return {s[0], s[1], 1, s[2], s[3]};
  return {s[0], s[1], s[2], s[3], s[4]};
}

/// Returns the form of the weight that `slot` names, made by `make` on first use where the weight can remember it.
template <class C, class Form, class Make>
std::shared_ptr<const Form> remembered(const Ref& weight, std::shared_ptr<const Form> ConvWeights::Forms<C>::*slot, const Make& make) {
  if (!weight.attachment) return std::make_shared<const Form>(make());
  const auto all = weight.attachment->get<ConvWeights>([] { return std::make_shared<ConvWeights>(); });
  const std::scoped_lock lock(all->mutex);
  auto& form = all->template forms<C>().*slot;
  if (!form) form = std::make_shared<const Form>(make());
  return form;
}

template <class C>
std::shared_ptr<const PackedConv<C>> packed_conv(CpuContext& ctx, const Ref& weight, std::int64_t block) {
  const auto make = [&] {
    return with_conv_weight<C>(weight, [&](const auto& value) { return pack_conv<C>(ctx, conv_shape(weight), block, value); });
  };
  auto packed = remembered<C>(weight, &ConvWeights::Forms<C>::plain, make);
  if (packed->block != block) return std::make_shared<const PackedConv<C>>(make());  // another layout of the input than usual
  return packed;
}

/// The four 2x2 kernels of a 3x3 convolution after nearest upsampling by 2: phase 0 sees taps {0 | 1+2}, phase 1 {0+1 | 2}.
template <class C>
std::shared_ptr<const std::array<PackedConv<C>, 4>> packed_upsample_conv(CpuContext& ctx, const Ref& weight, std::int64_t block) {
  const auto make = [&] {
    std::array<PackedConv<C>, 4> phases;
    std::array<std::int64_t, 5> shape = conv_shape(weight);
    shape[3] = shape[4] = 2;
    for (int p = 0; p < 2; ++p)
      for (int q = 0; q < 2; ++q) {
        const auto first = [](int phase, std::int64_t tap) { return tap == 0 ? 0 : 1 + phase; };
        const auto last = [](int phase, std::int64_t tap) { return tap == 0 ? phase : 2; };
        phases[static_cast<std::size_t>(2 * p + q)] = with_conv_weight<double>(weight, [&](const auto& value) {
          return pack_conv<C>(ctx, shape, block, [&](std::int64_t o, std::int64_t c, std::int64_t, std::int64_t d, std::int64_t e) {
            double sum = 0;
            for (std::int64_t i = first(p, d); i <= last(p, d); ++i)
              for (std::int64_t j = first(q, e); j <= last(q, e); ++j) sum += value(o, c, 0, i, j);
            return static_cast<C>(sum);
          });
        });
      }
    return phases;
  };
  auto packed = remembered<C>(weight, &ConvWeights::Forms<C>::upsample, make);
  if ((*packed)[0].block != block) return std::make_shared<const std::array<PackedConv<C>, 4>>(make());
  return packed;
}

/// Where a group's results go: one pointer per vector of channels.
template <class C>
struct TileTarget {
  static constexpr std::int64_t lanes = simd::lanes<C>;
  C* y[tile_vectors] = {};
  const C* residual[tile_vectors] = {};
  const C* bias;                       ///< of the group, a whole number of vectors
  std::int64_t vectors, tail;          ///< vectors of the group; valid lanes of its last vector, 0 if all
  std::int64_t pixel, residual_pixel;  ///< distance of neighbouring pixels

  /// Sums that stay in working memory.
  TileTarget(C* data, std::int64_t vector_count, std::int64_t vector_stride, const C* zeros)
      : bias(zeros), vectors(vector_count), tail(0), pixel(lanes), residual_pixel(0) {
    for (std::int64_t v = 0; v < vectors; ++v) y[v] = data + v * vector_stride;
  }
  TileTarget(const PackedConv<C>& w, std::int64_t g, const View<C, 6>& to, const View<const C, 6>& add, const C* all_bias)
      : bias(all_bias + g * tile_vectors * lanes), vectors(w.group_vectors(g)), pixel(to.stride[4]), residual_pixel(add.stride[4]) {
    const std::int64_t block = to.size[5];
    for (std::int64_t v = 0; v < vectors; ++v) {
      const std::int64_t c = (g * tile_vectors + v) * lanes;
      y[v] = to.data + c / block * to.stride[1] + c % block;
      if (add) residual[v] = add.data + c / block * add.stride[1] + c % block;
    }
    const std::int64_t left = w.channels - (g * tile_vectors + vectors - 1) * lanes;
    tail = left < lanes ? left : 0;
  }
};

/// One tile: pixels [j, j + WB) of an output row, OB vectors of channels, one slice of the input channels.
template <class C, int OB, int WB>
struct Tile {
  static constexpr int lanes = simd::lanes<C>;
  using Batch = simd::batch<C>;

  /// One input channel: each weight vector is loaded once, each input broadcast once.
  template <std::size_t... I>
  [[gnu::always_inline]] static inline void step(Batch* acc, const C* w, const C* x, std::int64_t step, std::index_sequence<I...>) {
    Batch wv[OB];
    for (int o = 0; o < OB; ++o) wv[o] = simd::load_compute<C>(w + o * lanes);
    (
        [&] {
          const Batch xv = simd::fill<C>(x[static_cast<std::int64_t>(I) * step]);
          for (int o = 0; o < OB; ++o) acc[static_cast<int>(I) * OB + o] = simd::fma(wv[o], xv, acc[static_cast<int>(I) * OB + o]);
        }(),
        ...);
  }

  // Not inlined: inside the loops around it, g++ 12 at -O3 keeps the accumulators on the stack (measured: a third of the speed).
  [[gnu::noinline]] static void run(const TileSource<C>& s, const C* x, const TileTarget<C>& to, std::int64_t y_at, std::int64_t r_at, bool first) {
    constexpr auto pixels = std::make_index_sequence<WB>{};
    Batch acc[OB * WB];
    for (int i = 0; i < OB * WB; ++i) acc[i] = simd::fill<C>(C(0));
    const C* w = s.weight;
    const std::int64_t along_row = s.kw * s.channels;  // the taps of a row are neighbours in memory, and so are their weights
    for (std::int64_t k = 0; k < s.blocks; ++k)
      for (std::int64_t a = 0; a < s.kt; ++a)
        for (std::int64_t d = 0; d < s.kh; ++d) {
          const C* p = x + k * s.block_stride + a * s.frame_stride + d * s.row_stride;
          for (std::int64_t c = 0; c < along_row; ++c, w += OB * lanes) step(acc, w, p + c, s.step, pixels);
        }
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (finish(acc[I], static_cast<int>(I) % OB, static_cast<std::int64_t>(I) / OB, to, y_at, r_at, first), ...);
    }(std::make_index_sequence<OB * WB>{});
  }

  [[gnu::always_inline]] static inline void finish(Batch v, int o, std::int64_t j, const TileTarget<C>& to, std::int64_t y_at,
                                                   std::int64_t r_at, bool first) {
    C* y = to.y[o] + y_at + j * to.pixel;
    const C* r = first && to.residual[o] ? to.residual[o] + r_at + j * to.residual_pixel : nullptr;
    const std::int64_t n = o == OB - 1 && to.tail ? to.tail : lanes;
    const auto load = [n](const C* p) { return n == lanes ? simd::load_compute<C>(p) : simd::load_first<C>(p, n); };
    v = v + (first ? simd::load_compute<C>(to.bias + o * lanes) : load(y));
    if (r) v = v + load(r);
    if (n == lanes) simd::store_compute<C>(y, v);
    else simd::store_first<C>(y, v, n);
  }
};

/// A tile of n pixels, n at most WB.
template <class C, int OB, int WB>
void run_tile(const TileSource<C>& s, const C* x, const TileTarget<C>& to, std::int64_t y_at, std::int64_t r_at, std::int64_t n, bool first) {
  if constexpr (WB > 0) {
    if (n == WB) Tile<C, OB, WB>::run(s, x, to, y_at, r_at, first);
    else run_tile<C, OB, WB - 1>(s, x, to, y_at, r_at, n, first);
  }
}

/// One output row of one group of channels, one slice. The row is cut into tiles of nearly equal width, because a
/// narrow one at the end would not have enough independent sums to keep the multipliers busy.
template <class C, int OB = tile_vectors>
void run_row(const TileSource<C>& s, const C* x, const TileTarget<C>& to, std::int64_t y_at, std::int64_t r_at, std::int64_t W, bool first) {
  if constexpr (OB > 0) {
    if (to.vectors != OB) return run_row<C, OB - 1>(s, x, to, y_at, r_at, W, first);
    constexpr int widest = OB == 1 ? 2 * tile_pixels : tile_pixels;
    const std::int64_t tiles = (W + widest - 1) / widest;
    for (std::int64_t i = 0; i < tiles; ++i) {
      const std::int64_t j = i * W / tiles, n = (i + 1) * W / tiles - j;
      run_tile<C, OB, widest>(s, x + j * s.step, to, y_at + j * to.pixel, r_at + j * to.residual_pixel, n, first);
    }
  }
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
