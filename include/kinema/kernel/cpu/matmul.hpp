// kinema/kernel/cpu/matmul.hpp - matrix products in fixed tiles, each computed by one thread.
//
// Libraries split a product by the number of threads, and sums then have other bits. Here the tiles depend on the shape
// alone; a tile is one call of the library, and its epilogue (bias, activation, rounding) runs while it is in the cache.
// Few rows (the vectors that modulate a block) are dot products instead: there the weights pass through once, unpacked.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/activation.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/cpu/detail/gemm.hpp>
#include <kinema/kernel/matmul.hpp>
#include <kinema/tensor/storage.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// Rows and columns of y that are one item.
struct ProductTile {
  std::int64_t rows, columns;
};

/// A tile packs its share of both operands, so larger tiles waste less (608 x 480: 3 % of the time of a product with
/// K = 1920, 304 x 480: 8 %). Small products are cut further, so that there is something to share out.
inline ProductTile tile_for(std::int64_t stack, std::int64_t m, std::int64_t n, bool library) {
  constexpr std::int64_t enough = 8, least = 96;
  ProductTile t{std::min<std::int64_t>(m, library ? 608 : 240), std::min<std::int64_t>(n, 480)};  // our own tiles keep rows in the second-level cache
  const auto count = [&] { return stack * ((m + t.rows - 1) / t.rows) * ((n + t.columns - 1) / t.columns); };
  const auto half = [](std::int64_t v) { return (v / 2 + 47) / 48 * 48; };  // whole register tiles: multiples of 6 rows, 16 columns
  while (count() < enough && (t.rows > least || t.columns > least))
    (t.rows >= t.columns ? t.rows : t.columns) = half(std::max(t.rows, t.columns));
  return t;
}

/// A stack of matrices.
struct Operand {
  blocked::Source first;
  std::int64_t matrix;  ///< stride from one to the next
  blocked::Source operator[](std::int64_t i) const {
    return {static_cast<const char*>(first.data) + i * matrix * static_cast<std::int64_t>(size_of(first.dtype)), first.dtype, first.row, first.column};
  }
};

/// y [B, M, N] = a [B, M, K] b [B, K, N] in tiles; `finish(row of sums, first column, count, row of y)` ends each row of a tile.
template <class T, class Finish>
void tiled_product(CpuContext& ctx, const Operand& a, const Operand& b, const View<T, 3>& y, std::int64_t k, const Finish& finish) {
  using C = compute_t<T>;
  constexpr bool in_place = std::is_same_v<T, C>;
  const std::int64_t m = y.size[1], n = y.size[2];
  const bool library = has_library<C> && k > 0 && is_plain<C>(a.first, m, k) && is_plain<C>(b.first, k, n);
  const ProductTile tile = tile_for(y.size[0], m, n, library);
  const std::int64_t tiles_m = (m + tile.rows - 1) / tile.rows, tiles_n = (n + tile.columns - 1) / tile.columns;
  const std::int64_t working = blocked::scratch_size<C>(tile.rows), own_size = working + (in_place ? 0 : tile.rows * tile.columns + 16);
  const auto scratch = ctx.scratch(static_cast<std::size_t>(ctx.threads) * static_cast<std::size_t>(own_size) * sizeof(C));
  C* buffers = scratch.template as<C>();
  const OneThread libraries_do_not_split;
  parallel_for(y.size[0] * tiles_n * tiles_m, ctx.threads, [&](std::int64_t item) {
    const OneThread nor_inside_a_team;
    const std::int64_t i = item / (tiles_n * tiles_m), m0 = item % tiles_m * tile.rows, n0 = item / tiles_m % tiles_n * tile.columns;
    const std::int64_t rows = std::min(tile.rows, m - m0), columns = std::min(tile.columns, n - n0);
    C* own = buffers + thread_index() * own_size;
    C* sums = own + working;
    std::int64_t stride = columns;
    if constexpr (in_place) sums = &y(i, m0, n0), stride = y.stride[1];
    if (!library || !library_product<C>(a[i], m0, rows, b[i], n0, columns, k, sums, stride))
      blocked::product<C>(a[i], m0, rows, b[i], n0, columns, k, sums, stride, own);
    for (std::int64_t r = 0; r < rows; ++r) finish(sums + r * stride, n0, columns, &y(i, m0 + r, n0));
  });
}

inline constexpr std::int64_t few_rows = 4;  ///< up to here the weights are read once, from memory, and that is all the time

/// Dot products of R rows of x [R, K] (widened) with one row of weights.
template <class C, int R, class W>
void dot_rows(std::int64_t k, const C* x, const W* w, C* sums) {
  using V = simd::batch<C>;
  constexpr int lanes = simd::lanes<C>;
  const auto load_w = [&](std::int64_t i, std::int64_t n) {
    if constexpr (std::is_same_v<compute_t<W>, C>) return n < lanes ? simd::load_first<W>(w + i, n) : simd::load<W>(w + i);
    else {
      alignas(64) C v[lanes];
      for (int j = 0; j < lanes; ++j) v[j] = j < n ? round_to<C>(static_cast<compute_t<W>>(w[i + j])) : C(0);
      return simd::load_compute<C>(v);
    }
  };
  V sum[R][2];
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = simd::fill<C>(C(0));
  std::int64_t i = 0;
  for (; i + 2 * lanes <= k; i += 2 * lanes)
    for (int half = 0; half < 2; ++half) {
      const V v = load_w(i + half * lanes, lanes);
      for (int r = 0; r < R; ++r) sum[r][half] = simd::fma<C>(v, simd::load_compute<C>(x + r * k + i + half * lanes), sum[r][half]);
    }
  for (; i < k; i += lanes) {
    const std::int64_t n = std::min<std::int64_t>(lanes, k - i);
    const V v = load_w(i, n);
    for (int r = 0; r < R; ++r) sum[r][0] = simd::fma<C>(v, simd::load_first<C>(x + r * k + i, n), sum[r][0]);
  }
  for (int r = 0; r < R; ++r) sums[r] = simd::sum<C>(sum[r][0] + sum[r][1]);
}

/// y [M, N] for M up to few_rows: items of some columns, each one row of weights against all rows of x. scale: of the
/// columns' sums, or null.
template <class T, class F>
void few_rows_product(CpuContext& ctx, const Linear& op, const compute_t<T>* bias, const compute_t<T>* scale, const F& activation) {
  using C = compute_t<T>;
  constexpr std::int64_t columns = 32;
  const std::int64_t m = op.y.shape[0], n = op.y.shape[1], k = op.x.shape[1];
  const auto scratch = ctx.scratch(static_cast<std::size_t>(few_rows * k) * sizeof(C));
  C* x = scratch.template as<C>();
  std::fill_n(x, few_rows * k, C(0));
  for (std::int64_t r = 0; r < m; ++r) convert(k, static_cast<const T*>(op.x.data) + r * op.x.stride[0], x + r * k);
  T* y = static_cast<T*>(op.y.data);
  dispatch_weight(op.weight.dtype, op.name, [&]<class W>(Type<W>) {
    parallel_ranges(n, columns, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
      alignas(64) C sums[columns][few_rows];
      for (std::int64_t c = begin; c < end; ++c) {
        const W* w = static_cast<const W*>(op.weight.data) + c * k;
        if (m == 1) dot_rows<C, 1>(k, x, w, sums[c - begin]);
        else if (m == 2) dot_rows<C, 2>(k, x, w, sums[c - begin]);
        else dot_rows<C, few_rows>(k, x, w, sums[c - begin]);
      }
      for (std::int64_t r = 0; r < m; ++r) {
        alignas(64) C row[columns];
        for (std::int64_t c = begin; c < end; ++c) row[c - begin] = sums[c - begin][r] * (scale ? scale[c] : C(1)) + bias[c];
        simd::transform<T>(end - begin, y + r * n + begin, activation, static_cast<const C*>(row));
      }
    });
  });
}

#if KINEMA_WITH_ONEDNN
/// oneDNN's blocked weights are worth their memory on AVX-512 (7 to 11 points of the peak); on AVX2 they change nothing.
#if defined(__AVX512F__)
inline constexpr bool packs_weights = true;
#else
inline constexpr bool packs_weights = false;
#endif
inline constexpr std::int64_t packed_rows = 608, packed_columns = 480;  ///< tiles of y

/// y = x weight^T with weights that are packed once and stay with their tensor; false if the attachment is missing.
template <class Finish>
bool packed_product(CpuContext& ctx, const Linear& op, const Finish& finish) {
  const std::int64_t m = op.y.shape[0], n = op.y.shape[1], k = op.x.shape[1];
  if (!op.weight.attachment || k == 0) return false;
  if (rehearsing()) {  // the packed form is the library's own memory: counted, not made
    op.weight.attachment->get<Storage>([&] { return std::make_shared<Storage>(ctx.pool->allocate(static_cast<std::size_t>(n * k) * sizeof(float))); });
    return true;
  }
  const OneThread libraries_do_not_split;
  const auto weights = op.weight.attachment->get<onednn::PackedWeights>([&] {
    return std::make_shared<onednn::PackedWeights>(static_cast<const float*>(op.weight.data), n, k, packed_columns, packed_rows);
  });
  const std::int64_t tiles_m = (m + packed_rows - 1) / packed_rows, tiles_n = (n + packed_columns - 1) / packed_columns;
  const onednn::PackedWeights::Product whole(*weights, std::min(m, packed_rows), op.x.stride[0], n), last(*weights, m - (tiles_m - 1) * packed_rows, op.x.stride[0], n);
  std::atomic<bool> failed = false;
  parallel_for(tiles_m * tiles_n, ctx.threads, [&](std::int64_t item) {
    const OneThread nor_inside_a_team;
    const std::int64_t tile_m = item % tiles_m, tile_n = item / tiles_m, m0 = tile_m * packed_rows, n0 = tile_n * packed_columns;
    float* y = static_cast<float*>(op.y.data) + m0 * n + n0;
    if (!(tile_m + 1 < tiles_m ? whole : last)(*weights, tile_n, static_cast<const float*>(op.x.data) + m0 * op.x.stride[0], y)) failed = true;
    for (std::int64_t r = 0; r < std::min(packed_rows, m - m0); ++r) finish(y + r * n, n0, std::min(packed_columns, n - n0), y + r * n);
  });
  if (failed) throw BackendError(cat("linear: oneDNN refused a packed product of ", m, "x", k, " by ", n));
  return true;
}
#endif

template <class T>
void linear(CpuContext& ctx, const Linear& op, [[maybe_unused]] bool packed) {
  using C = compute_t<T>;
  using V = simd::batch<C>;
  const std::int64_t m = op.y.shape[0], n = op.y.shape[1], k = op.x.shape[1];
  const Operand a{{op.x.data, op.x.dtype, op.x.stride[0], 1}, 0}, b{{op.weight.data, op.weight.dtype, 1, k}, 0};
  const auto scratch = ctx.scratch(static_cast<std::size_t>(op.weight_scale ? 2 * n : n) * sizeof(C));
  C* bias = scratch.template as<C>();
  C* scale = op.weight_scale ? bias + n : nullptr;
  if (op.bias) widen(op.bias, bias);
  else std::fill_n(bias, n, C(0));
  if (scale) widen(op.weight_scale, scale);
  dispatch_activation(op.activation, [&](auto activation) {
    const auto act = [=](const V& v) { return activate<C>(activation, v); };
    if (m <= few_rows) return few_rows_product<T>(ctx, op, bias, scale, act);
    const auto finish = [&](const C* sums, std::int64_t first, std::int64_t count, T* to) {
      if (scale)
        return simd::transform<T>(count, to, [&](const V& s, const V& f, const V& c) { return act(simd::fma<C>(s, f, c)); }, sums, static_cast<const C*>(scale + first),
                                  static_cast<const C*>(bias + first));
      simd::transform<T>(count, to, [&](const V& s, const V& c) { return act(s + c); }, sums, static_cast<const C*>(bias + first));
    };
#if KINEMA_WITH_ONEDNN
    if constexpr (std::is_same_v<T, float>)
      if (packed && op.weight.dtype == DType::f32 && packed_product(ctx, op, finish)) return;
#endif
    tiled_product<T>(ctx, a, b, View<T, 3>{static_cast<T*>(op.y.data), {1, m, n}, {0, n, 1}}, k, finish);
  });
}

template <class T>
void quantize_rows(CpuContext& ctx, const QuantizeRows& op) {
  using C = compute_t<T>;
  constexpr C most = 127;
  const std::int64_t n = op.w.shape[0], k = op.w.shape[1];
  parallel_ranges(n, std::max<std::int64_t>(1, (1 << 15) / std::max<std::int64_t>(k, 1)), ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* w = static_cast<const T*>(op.w.data) + r * k;
      std::int8_t* q = static_cast<std::int8_t*>(op.q.data) + r * k;
      C largest = 0;
      for (std::int64_t i = 0; i < k; ++i) largest = std::max(largest, math::abs(static_cast<C>(w[i])));
      const auto scale = static_cast<float>(largest / most);
      static_cast<float*>(op.scale.data)[r] = scale;
      const C by = scale > 0 ? static_cast<C>(scale) : C(1);
      for (std::int64_t i = 0; i < k; ++i) {
        const C v = static_cast<C>(w[i]) / by;  // divided, because a subnormal scale has no inverse
        q[i] = static_cast<std::int8_t>(std::nearbyint(v < -most ? -most : v > most ? most : v));
      }
    }
  });
}

template <class T>
void matmul(CpuContext& ctx, const MatMul& op) {
  using C = compute_t<T>;
  const auto operand = [](const Ref& r) { return Operand{{r.data, r.dtype, r.stride[1], r.stride[2]}, r.stride[0]}; };
  tiled_product<T>(ctx, operand(op.a), operand(op.b), op.y.view<T, 3>(), op.a.shape[2], [](const C* sums, std::int64_t, std::int64_t count, T* to) {
    if constexpr (!std::is_same_v<T, C>) convert(count, sums, to);
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Linear& op) {
#if KINEMA_WITH_ONEDNN
  constexpr bool packed = cpu::packs_weights;
#else
  constexpr bool packed = false;
#endif
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::linear<T>(ctx, op, packed); });
}
KINEMA_KERNEL void run(CpuContext& ctx, const QuantizeRows& op) {
  dispatch_floating(op.w.dtype, op.name, [&]<class T>(Type<T>) { cpu::quantize_rows<T>(ctx, op); });
}
KINEMA_KERNEL void run(CpuContext& ctx, const MatMul& op) {
  dispatch_floating(op.a.dtype, op.name, [&]<class T>(Type<T>) { cpu::matmul<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
