// kinema/kernel/cpu/detail/winograd.hpp - 3x3 convolutions (per frame, or times kt frames) with 16 products where 36 are due.
//
// Two by two outputs need 4x4 inputs; after a linear transform of inputs and weights the 36 products per input channel
// become 16, and an output transform gives the sums back (Winograd; Lavin and Gray 2015, F(2x2, 3x3)). Summation over
// channels and over the frames of a causal convolution happens in between, so both transforms are shared: inputs once
// for all output channels and for the kt frames that read them, outputs once for all input channels. The 16 sums per
// channel are products of small matrices, done by the same register tile as direct convolutions. Weights are transformed
// slice by slice when they are needed: that costs less than reading 16/9 of their bytes from memory.
//
// The constants are 1 and 1/2, so the results differ from direct sums by little more than rounding (and not at all on
// small integers). Which kernel runs depends on the weight alone: chunks and tiles of a clip see the same arithmetic.
#pragma once

#include <kinema/kernel/cpu/detail/conv_tile.hpp>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// Transformed inputs of a batch of tiles stay in the third-level cache, the sums of a group in the second.
inline constexpr std::int64_t winograd_input_bytes = 6 << 20, winograd_sums = 384;
/// Products per slice: the 16 transformed weights of a slice and group fit the second-level cache beside the sums.
inline constexpr std::int64_t winograd_slice_products = 128;

/// Whether a convolution with these weights goes this way.
template <class C>
bool winograd_suits(const PackedConv<C>& w, std::int64_t output_block, std::int64_t stride) {
  return std::is_same_v<C, float> && w.kh == 3 && w.kw == 3 && stride == 1 && w.block == w.lanes && output_block == w.lanes &&
         w.inputs >= 32 && w.channels >= 32;
}

/// d[4][4] → Bᵀ d B, in place; columns of `d` are vectors of channels.
template <class V>
[[gnu::always_inline]] inline void winograd_input(V (&d)[16]) {
  for (int i = 0; i < 4; ++i) {  // rows
    V* r = d + 4 * i;
    const V a = r[0] - r[2], b = r[1] + r[2], c = r[2] - r[1], e = r[1] - r[3];
    r[0] = a, r[1] = b, r[2] = c, r[3] = e;
  }
  for (int j = 0; j < 4; ++j) {
    V* r = d + j;
    const V a = r[0] - r[8], b = r[4] + r[8], c = r[8] - r[4], e = r[4] - r[12];
    r[0] = a, r[4] = b, r[8] = c, r[12] = e;
  }
}

/// m[4][4] → Aᵀ m A: four outputs, row by row.
template <class V>
[[gnu::always_inline]] inline void winograd_output(const V (&m)[16], V (&y)[4]) {
  V top[4], bottom[4];
  for (int j = 0; j < 4; ++j) {
    top[j] = m[j] + m[4 + j] + m[8 + j];
    bottom[j] = m[4 + j] - m[8 + j] - m[12 + j];
  }
  y[0] = top[0] + top[1] + top[2];
  y[1] = top[1] - top[2] - top[3];
  y[2] = bottom[0] + bottom[1] + bottom[2];
  y[3] = bottom[1] - bottom[2] - bottom[3];
}

/// One slice of a group's weights [block][kt][9][channel][vector][lane] → u[16][kt][block][channel][vector][lane];
/// `row` is what one tap of one block takes.
template <class C>
void winograd_weights(const C* w, std::int64_t blocks, std::int64_t kt, std::int64_t row, C* u) {
  using Batch = simd::batch<C>;
  constexpr std::int64_t lanes = simd::lanes<C>;
  const Batch half = simd::fill<C>(C(0.5));
  const std::int64_t plane = blocks * kt * row;
  for (std::int64_t k = 0; k < blocks * kt; ++k)
    for (std::int64_t i = 0; i < row; i += lanes) {
      const C* p = w + k * 9 * row + i;
      C* const to = u + (k % kt * blocks + k / kt) * row + i;
      Batch g[12];  // 4 x 3: G g
      for (int j = 0; j < 3; ++j) {
        const Batch a = simd::load_compute<C>(p + j * row), b = simd::load_compute<C>(p + (3 + j) * row), c = simd::load_compute<C>(p + (6 + j) * row);
        const Batch outer = (a + c) * half, inner = b * half;
        g[j] = a, g[3 + j] = outer + inner, g[6 + j] = outer - inner, g[9 + j] = c;
      }
      for (int r = 0; r < 4; ++r) {
        const Batch a = g[3 * r], b = g[3 * r + 1], c = g[3 * r + 2], outer = (a + c) * half, inner = b * half;
        C* q = to + 4 * r * plane;
        simd::store_compute<C>(q, a);
        simd::store_compute<C>(q + plane, outer + inner);
        simd::store_compute<C>(q + 2 * plane, outer - inner);
        simd::store_compute<C>(q + 3 * plane, c);
      }
    }
}

/// The sizes of one such convolution, from the shapes alone.
struct WinogradPlan {
  std::int64_t frames, tile_rows, tile_columns, batch;  ///< input frames; tiles of a frame; tiles per batch
  std::int64_t slice_blocks, parts;                     ///< input blocks per slice; parts into which a group's frames are cut
};

template <class C>
WinogradPlan winograd_plan(const PackedConv<C>& w, std::int64_t T, std::int64_t H, std::int64_t W) {
  WinogradPlan p{};
  p.frames = T + w.kt - 1;
  p.tile_rows = (H + 1) / 2;
  p.tile_columns = (W + 1) / 2;
  const std::int64_t by_input = winograd_input_bytes / (16 * p.frames * w.inputs * static_cast<std::int64_t>(sizeof(C)));
  const std::int64_t fit = std::max<std::int64_t>(tile_pixels, std::min(by_input, winograd_sums / T) / tile_pixels * tile_pixels);
  p.batch = std::min(fit, p.tile_rows * p.tile_columns);
  p.slice_blocks = std::max<std::int64_t>(1, winograd_slice_products / (w.block * w.kt));
  p.parts = w.groups() >= 16 ? 1 : std::min<std::int64_t>(T, 2);
  return p;
}

/// Transforms the 4x4 inputs of tiles [first, first + n) of one frame of one channel block; rows and columns behind the
/// input (odd sizes) count as zero. `v` is this frame and block of plane 0, `pixel` the distance of neighbouring tiles.
template <class C>
void winograd_inputs(const View<const C, 6>& x, const C* frame, const WinogradPlan& plan, std::int64_t first, std::int64_t n, C* v, std::int64_t plane,
                     std::int64_t pixel) {
  using Batch = simd::batch<C>;
  constexpr std::int64_t lanes = simd::lanes<C>;
  for (std::int64_t q = 0; q < n; ++q) {
    const std::int64_t i = (first + q) / plan.tile_columns * 2, j = (first + q) % plan.tile_columns * 2;
    const C* p = frame + i * x.stride[3] + j * lanes;
    const bool whole = i + 4 <= x.size[3] && j + 4 <= x.size[4];
    Batch d[16];
    for (int a = 0; a < 4; ++a)
      for (int b = 0; b < 4; ++b)
        d[4 * a + b] = whole || (i + a < x.size[3] && j + b < x.size[4]) ? simd::load_compute<C>(p + a * x.stride[3] + b * lanes) : simd::fill<C>(C(0));
    winograd_input(d);
    for (int k = 0; k < 16; ++k) simd::store_compute<C>(v + k * plane + q * pixel, d[k]);
  }
}

/// Adds bias and residual to the outputs of tiles [first, first + n) of one frame and vector, and stores them.
template <class C>
void winograd_outputs(const C* m, std::int64_t plane, const WinogradPlan& plan, std::int64_t first, std::int64_t n, const C* bias,
                      C* y, const View<C, 6>& to, const C* r, const View<const C, 6>& residual) {
  using Batch = simd::batch<C>;
  constexpr std::int64_t lanes = simd::lanes<C>;
  const Batch offset = simd::load_compute<C>(bias);
  for (std::int64_t q = 0; q < n; ++q) {
    Batch sums[16], out[4];
    for (int k = 0; k < 16; ++k) sums[k] = simd::load_compute<C>(m + k * plane + q * lanes);
    winograd_output(sums, out);
    const std::int64_t i = (first + q) / plan.tile_columns * 2, j = (first + q) % plan.tile_columns * 2;
    for (int a = 0; a < 2; ++a)
      for (int b = 0; b < 2; ++b) {
        if (i + a >= to.size[3] || j + b >= to.size[4]) continue;
        Batch v = out[2 * a + b] + offset;
        if (r) v = v + simd::load_compute<C>(r + (i + a) * residual.stride[3] + (j + b) * residual.stride[4]);
        simd::store_compute<C>(y + (i + a) * to.stride[3] + (j + b) * to.stride[4], v);
      }
  }
}

/// y = bias + residual + conv(x) for weights that winograd_suits.
template <class C>
void winograd_conv(CpuContext& ctx, const View<const C, 6>& x, const PackedConv<C>& w, const C* bias, const View<const C, 6>& residual, const View<C, 6>& y) {
  constexpr std::int64_t lanes = simd::lanes<C>, widest = tile_vectors * lanes;
  const std::int64_t B = y.size[0], T = y.size[2], blocks = w.inputs / lanes, groups = w.groups();
  const WinogradPlan plan = winograd_plan(w, T, y.size[3], y.size[4]);
  const std::int64_t tiles = plan.tile_rows * plan.tile_columns, n_max = plan.batch;
  const auto bytes = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(C); };

  const std::int64_t sums_size = 16 * T * widest * n_max, weights_size = 16 * plan.slice_blocks * w.kt * lanes * widest;
  const int slots = std::max(1, ctx.threads);
  // Transformed inputs: [16][slice][frame][tile][channel of the slice], so that a tile's products run through memory.
  const std::int64_t slices = (blocks + plan.slice_blocks - 1) / plan.slice_blocks, pixel = plan.slice_blocks * lanes;
  const auto inputs = ctx.scratch(bytes(16 * slices * plan.frames * n_max * pixel));
  const auto working = ctx.scratch(bytes(slots * (sums_size + weights_size)));
  const auto zeros = ctx.scratch(bytes(widest));
  std::fill_n(zeros.template as<C>(), widest, C(0));
  C* const v = inputs.template as<C>();

  for (std::int64_t b = 0; b < B; ++b)
    for (std::int64_t first = 0; first < tiles; first += n_max) {
      const std::int64_t n = std::min(n_max, tiles - first);
      const std::int64_t frame_size = n * pixel, slice_size = plan.frames * frame_size, plane = slices * slice_size;
      parallel_for(plan.frames * blocks, ctx.threads, [&](std::int64_t item) {
        const std::int64_t t = item / blocks, k = item % blocks;
        winograd_inputs(x, x.data + b * x.stride[0] + k * x.stride[1] + t * x.stride[2], plan, first, n,
                        v + k / plan.slice_blocks * slice_size + t * frame_size + k % plan.slice_blocks * lanes, plane, pixel);
      });
      parallel_for(groups * plan.parts, ctx.threads, [&](std::int64_t item) {
        const std::int64_t g = item / plan.parts, part = item % plan.parts;
        const std::int64_t t0 = part * T / plan.parts, t1 = (part + 1) * T / plan.parts, vectors = w.group_vectors(g), row = vectors * lanes;
        C* const m = working.template as<C>() + (thread_index() % slots) * (sums_size + weights_size);
        C* const u = m + sums_size;
        const std::int64_t sums_plane = (t1 - t0) * vectors * n * lanes;  // of one of the 16: [frame][vector][tile][lane]
        for (std::int64_t k = 0; k < blocks; k += plan.slice_blocks) {
          const std::int64_t here = std::min(plan.slice_blocks, blocks - k), weights_plane = here * w.kt * lanes * row;
          winograd_weights(w.at(g, k), here, w.kt, lanes * row, u);
          for (std::int64_t p = 0; p < 16; ++p) {
            const TileSource<C> from{.weight = u + p * weights_plane, .blocks = 1, .block_stride = 0, .kt = w.kt, .frame_stride = frame_size,
                                     .kh = 1, .row_stride = 0, .kw = 1, .channels = here * lanes, .step = pixel};
            for (std::int64_t t = t0; t < t1; ++t) {
              const TileTarget<C> to(m + p * sums_plane + (t - t0) * vectors * n * lanes, vectors, n * lanes, zeros.template as<C>());
              run_row(from, v + p * plane + k / plan.slice_blocks * slice_size + t * frame_size, to, 0, 0, n, k == 0);
            }
          }
        }
        for (std::int64_t t = t0; t < t1; ++t)
          for (std::int64_t o = 0; o < vectors; ++o) {
            const std::int64_t c = g * tile_vectors + o;
            winograd_outputs(m + ((t - t0) * vectors + o) * n * lanes, sums_plane, plan, first, n, bias + c * lanes,
                             y.data + b * y.stride[0] + c * y.stride[1] + t * y.stride[2], y,
                             residual ? residual.data + b * residual.stride[0] + c * residual.stride[1] + t * residual.stride[2] : nullptr, residual);
          }
      });
    }
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
