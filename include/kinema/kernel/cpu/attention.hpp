// kinema/kernel/cpu/attention.hpp - exact attention in blocks with online softmax; an S x S matrix never exists.
//
// Keys and values of a (batch, head) are packed once, keys as column panels and values as row panels, so that both
// products are register tiles of 6 rows: 12 (AVX2) or 24 (AVX-512) accumulators hide the latency of the FMA units, and
// every operand is read in sequence. For 48 queries at a time the kernel walks over blocks of keys: scores of 6 queries
// into a small buffer, softmax on it in base 2, its product with the values into the result rows. The running maximum of
// a row moves only when it would grow by more than 8, a factor of 256: sums stay far from overflow, and the
// rescaling of what was summed so far, rare, stays out of the way.
//
// Blocks restart at every segment and depend on shapes alone, and rows do not see each other: the bits of a row are the
// same for any thread count, batch size and company in a packed sequence.
#pragma once

#include <kinema/kernel/attention.hpp>
#include <kinema/kernel/cpu/detail/simd.hpp>

#include <limits>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// The sizes of the blocked kernel for one compute type.
template <class C>
struct AttentionBlock {
  static constexpr int width = simd::lanes<C>;
#if defined(__AVX512F__)
  static constexpr int batches = 4;  // 24 accumulators of 32 registers
#else
  static constexpr int batches = 2;  // 12 accumulators of 16 registers
#endif
  static constexpr int rows = 6;
  static constexpr int panel = batches * width;
  static constexpr int keys = 64;
  static constexpr int queries = 48;
  static constexpr int slice = 64;  // of the head width: rows of a tile of queries are a constant distance apart
  static_assert(keys % panel == 0 && queries % rows == 0);
};

/// f(0), f(1), … f(n - 1) with constants: arrays indexed by them live in registers, also with g++ 12 at -O2.
template <int n, class F>
[[gnu::always_inline]] inline void unrolled(const F& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, i>{}), ...);
  }(std::make_integer_sequence<int, n>{});
}

template <int batches, class C>
using AttentionTile = simd::batch<C>[AttentionBlock<C>::rows][batches];

template <int batches, class C>
[[gnu::always_inline]] inline void clear(AttentionTile<batches, C>& t) {
  unrolled<AttentionBlock<C>::rows>([&](auto i) __attribute__((always_inline)) {
    unrolled<batches>([&](auto c) __attribute__((always_inline)) { t[i][c] = simd::fill<C>(0); });
  });
}

/// t[i][c] += sum_d a[i * row_step + d] * b[d][c]; b holds batches * width values per d.
template <int batches, int row_step, class C>
[[gnu::always_inline]] inline void multiply(const C* a, const C* b, std::int64_t depth, AttentionTile<batches, C>& t) {
  constexpr int rows = AttentionBlock<C>::rows, width = AttentionBlock<C>::width;
  for (std::int64_t d = 0; d < depth; ++d, ++a, b += batches * width) {
    simd::batch<C> column[batches];
    unrolled<batches>([&](auto c) __attribute__((always_inline)) { column[c] = simd::load_compute<C>(b + c * width); });
    unrolled<rows>([&](auto i) __attribute__((always_inline)) {
      const auto x = simd::fill<C>(a[i * row_step]);
      unrolled<batches>([&](auto c) __attribute__((always_inline)) { t[i][c] = simd::fma<C>(x, column[c], t[i][c]); });
    });
  }
}

/// Scores of one tile of queries, [d / slice][rows][slice], against one panel of keys, [d][batches * width].
template <int batches, class C>
void score_tile(const C* q, const C* k, std::int64_t d, C* scores) {
  using Block = AttentionBlock<C>;
  AttentionTile<batches, C> t;
  clear<batches, C>(t);
  for (; d > 0; d -= Block::slice, q += Block::rows * Block::slice, k += Block::slice * batches * Block::width)
    multiply<batches, Block::slice, C>(q, k, std::min<std::int64_t>(d, Block::slice), t);
  unrolled<Block::rows>([&](auto i) {
    unrolled<batches>([&](auto c) { simd::store_compute<C>(scores + i * Block::keys + c * Block::width, t[i][c]); });
  });
}

/// Adds weights [rows][keys] x one panel of values [n][batches * width] to result rows, `row` elements apart.
template <int batches, class C>
void value_tile(const C* weights, const C* v, std::int64_t n, C* result, std::int64_t row) {
  using Block = AttentionBlock<C>;
  AttentionTile<batches, C> t;
  clear<batches, C>(t);
  multiply<batches, Block::keys, C>(weights, v, n, t);
  unrolled<Block::rows>([&](auto i) {
    C* to = result + i * row;
    unrolled<batches>([&](auto c) {
      simd::store_compute<C>(to + c * Block::width, simd::load_compute<C>(to + c * Block::width) + t[i][c]);
    });
  });
}

/// f(batches as a constant, first element) for the panels of n elements: whole ones, then one of as few batches as do.
template <class C, class F>
[[gnu::always_inline]] inline void for_each_panel(std::int64_t n, const F& f) {
  using Block = AttentionBlock<C>;
  std::int64_t i = 0;
  for (; i + Block::panel <= n; i += Block::panel) f(std::integral_constant<int, Block::batches>{}, i);
  if (i == n) return;
  const std::int64_t batches = (n - i + Block::width - 1) / Block::width;
  unrolled<Block::batches>([&](auto c) {
    if (batches == c + 1) f(std::integral_constant<int, c + 1>{}, i);
  });
}

/// One segment of the packed sequence, or all of it.
struct AttentionSegment {
  std::int64_t first_query, queries, first_key, keys;
  std::int64_t packed;  ///< where its keys start in packed storage, in keys
};

/// Up to AttentionBlock::queries rows of one segment.
struct QueryBlock {
  std::size_t segment;
  std::int64_t first, rows;
};

/// The parts of an attention call that do not depend on batch and head.
template <class T>
struct AttentionPlan {
  using C = compute_t<T>;
  using Block = AttentionBlock<C>;

  View<const T, 4> q, k, v;
  View<T, 4> y;
  Ref bias;
  C scale;                        ///< with log2(e): the softmax is in base 2
  std::int64_t d, padded_d;       ///< head width, and rounded up to whole batches
  std::int64_t sliced_d;          ///< and to whole slices, as queries are kept
  std::int64_t packed_keys = 0;   ///< of one head, each segment rounded up to whole batches
  std::vector<AttentionSegment> segments;
  std::vector<QueryBlock> blocks;

  explicit AttentionPlan(const Attention& op)
      : q(op.q.view<const T, 4>()), k(op.k.view<const T, 4>()), v(op.v.view<const T, 4>()), y(op.y.view<T, 4>()), bias(op.bias),
        scale(static_cast<C>(op.scale * 1.4426950408889634)), d(q.size[3]), padded_d(round_up(d, Block::width)),
        sliced_d(round_up(d, Block::slice)) {
    if (!op.segments_q) {
      add(0, q.size[1], 0, k.size[1]);
      return;
    }
    const auto a = op.segments_q.view<const std::int64_t, 1>(), b = op.segments_k.view<const std::int64_t, 1>();
    for (std::int64_t s = 0; s + 1 < a.size[0]; ++s) add(a(s), a(s + 1) - a(s), b(s), b(s + 1) - b(s));
  }
  static std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

  void add(std::int64_t first_query, std::int64_t queries, std::int64_t first_key, std::int64_t keys) {
    if (queries == 0) return;
    for (std::int64_t i = 0; i < queries; i += Block::queries)
      blocks.push_back({segments.size(), first_query + i, std::min<std::int64_t>(Block::queries, queries - i)});
    segments.push_back({first_query, queries, first_key, keys, packed_keys});
    packed_keys += round_up(keys, Block::width);
  }

  std::int64_t heads() const { return q.size[2]; }
  std::int64_t pairs() const { return q.size[0] * q.size[2]; }  ///< of batch and head
  std::int64_t packed_elements() const { return round_up(packed_keys * (d + padded_d), 16); }
  std::int64_t value_offset() const { return packed_keys * d; }
  /// Per thread: a block of queries, its result rows, sums and maxima, and the scores of a tile.
  std::int64_t workspace_elements() const {
    return round_up(Block::queries * (sliced_d + padded_d + Block::width + 1) + Block::rows * Block::keys, 16);
  }
};

/// The next rows of q, k or v: they are heads * d elements apart, too far for the processor's own prefetcher.
template <class T>
void prefetch_row(const T* row, std::int64_t d) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t i = 0; i < d; i += line) __builtin_prefetch(row + i);
}
inline constexpr std::int64_t rows_ahead = 8;

/// Keys [first, first + n) of one block into panels [d][batches * width]; columns that pad the last panel are zero.
template <class T>
void pack_keys(const AttentionPlan<T>& plan, std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t n, compute_t<T>* to) {
  using C = compute_t<T>;
  constexpr int width = AttentionBlock<C>::width;
  const std::int64_t step = plan.k.stride[1], d = plan.d;
  const T* const from = plan.k.data + b * plan.k.stride[0] + first * step + h * plan.k.stride[2];
  for_each_panel<C>(n, [&](auto batches, std::int64_t first_column) {
    constexpr int columns = batches * width;
    for (std::int64_t c = 0; c < columns; c += width) {
      const T* keys = from + (first_column + c) * step;
      C* panel = to + first_column * d + c;
      const std::int64_t present = std::min<std::int64_t>(width, n - first_column - c);
      for (std::int64_t j = 0; j < width; ++j) prefetch_row(keys + (width + j) * step, d);
      for (std::int64_t i = 0; i < d; i += width) {
        const std::int64_t left = std::min<std::int64_t>(width, d - i);
        simd::batch<C> square[width];
        for (int j = 0; j < width; ++j)
          square[j] = j >= present ? simd::fill<C>(0) : left == width ? simd::load<T>(keys + j * step + i) : simd::load_first<T>(keys + j * step + i, left);
        simd::transpose<C>(square);
        for (std::int64_t e = 0; e < left; ++e) simd::store_compute<C>(panel + (i + e) * columns, square[e]);
      }
    }
  });
}

/// Values [first, first + n) of one block into panels [n][batches * width] of head elements, padded with zeros.
template <class T>
void pack_values(const AttentionPlan<T>& plan, std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t n, compute_t<T>* to) {
  using C = compute_t<T>;
  constexpr int width = AttentionBlock<C>::width;
  const T* from = plan.v.data + b * plan.v.stride[0] + first * plan.v.stride[1] + h * plan.v.stride[2];
  for (std::int64_t j = 0; j < n; ++j, from += plan.v.stride[1]) {
    prefetch_row(from + rows_ahead * plan.v.stride[1], plan.d);
    for_each_panel<C>(plan.d, [&](auto batches, std::int64_t i) {
      C* row = to + i * n + j * batches * width;
      unrolled<batches>([&](auto c) {
        const std::int64_t at = i + c * width, left = plan.d - at;
        simd::store_compute<C>(row + c * width, left >= width ? simd::load<T>(from + at) : simd::load_first<T>(from + at, left));
      });
    });
  }
}

template <class T>
void scale_row(const T* from, std::int64_t n, const simd::batch<compute_t<T>>& factor, compute_t<T>* to) {
  using C = compute_t<T>;
  constexpr int width = simd::lanes<C>;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) simd::store_compute<C>(to + i, simd::load<T>(from + i) * factor);
  if (i < n) simd::store_first<C>(to + i, simd::load_first<T>(from + i, n - i) * factor, n - i);
}

/// Queries of a block into tiles [d / slice][rows][slice], scaled; rows that pad the last tile are zero.
template <class T>
void pack_queries(const AttentionPlan<T>& plan, std::int64_t b, std::int64_t h, const QueryBlock& block, compute_t<T>* to) {
  using C = compute_t<T>;
  using Block = AttentionBlock<C>;
  const auto scale = simd::fill<C>(plan.scale);
  const T* from = plan.q.data + b * plan.q.stride[0] + block.first * plan.q.stride[1] + h * plan.q.stride[2];
  const std::int64_t padded = AttentionPlan<T>::round_up(block.rows, Block::rows);
  for (std::int64_t i = 0; i < padded; ++i, from += plan.q.stride[1]) {
    C* row = to + i / Block::rows * Block::rows * plan.sliced_d + i % Block::rows * Block::slice;
    prefetch_row(from + rows_ahead * plan.q.stride[1], plan.d);
    for (std::int64_t j = 0; j < plan.d; j += Block::slice, row += Block::rows * Block::slice) {
      const std::int64_t n = std::min<std::int64_t>(Block::slice, plan.d - j);
      if (i >= block.rows) std::fill_n(row, n, C(0));
      else scale_row<T>(from + j, n, scale, row);
    }
  }
}

/// Packs the block of keys that starts at `offset` of a segment.
template <class T>
void pack_block(const AttentionPlan<T>& plan, std::int64_t pair, const AttentionSegment& s, std::int64_t offset, compute_t<T>* packed) {
  const std::int64_t b = pair / plan.heads(), h = pair % plan.heads();
  const std::int64_t n = std::min<std::int64_t>(AttentionBlock<compute_t<T>>::keys, s.keys - offset);
  pack_keys(plan, b, h, s.first_key + offset, n, packed + (s.packed + offset) * plan.d);
  pack_values(plan, b, h, s.first_key + offset, n, packed + plan.value_offset() + (s.packed + offset) * plan.padded_d);
}

/// Running softmax of a tile of rows: scores become weights, sums follow, results are rescaled where a maximum moves.
template <class C>
void softmax_tile(C* scores, std::int64_t padded_n, C* maxima, C* sums, C* result, std::int64_t row) {
  using Block = AttentionBlock<C>;
  constexpr int width = Block::width;
  constexpr C allowed_growth = 8;
  simd::batch<C> largest[Block::rows];
  bool moves = false;
  unrolled<Block::rows>([&](auto i) {
    const C* x = scores + i * Block::keys;
    auto m = simd::load_compute<C>(x);
    for (std::int64_t j = width; j < padded_n; j += width) m = simd::max<C>(m, simd::load_compute<C>(x + j));
    largest[i] = m;
    moves = simd::any_above<C>(m, simd::fill<C>(maxima[i] + allowed_growth)) || moves;
  });
  if (moves) {
    for (int i = 0; i < Block::rows; ++i) {
      const C found = simd::maximum<C>(largest[i]);
      if (!(found > maxima[i] + allowed_growth)) continue;
      const auto factor = simd::exp2<C>(simd::fill<C>(maxima[i] - found));
      maxima[i] = found;
      simd::store_compute<C>(sums + i * width, simd::load_compute<C>(sums + i * width) * factor);
      for (std::int64_t c = 0; c < row; c += width) simd::store_compute<C>(result + i * row + c, simd::load_compute<C>(result + i * row + c) * factor);
    }
  }
  unrolled<Block::rows>([&](auto i) {
    C* x = scores + i * Block::keys;
    const auto m = simd::fill<C>(maxima[i]);
    auto sum = simd::fill<C>(0);
    for (std::int64_t j = 0; j < padded_n; j += width) {
      const auto w = simd::exp2<C>(simd::load_compute<C>(x + j) - m);
      sum = sum + w;
      simd::store_compute<C>(x + j, w);
    }
    simd::store_compute<C>(sums + i * width, simd::load_compute<C>(sums + i * width) + sum);
  });
}

/// Scores of keys [first_key, + n) and queries [first_query, + rows), plus the bias in base 2.
template <class T>
void add_bias(const AttentionPlan<T>& plan, std::int64_t h, std::int64_t first_query, std::int64_t rows, std::int64_t first_key,
              std::int64_t n, compute_t<T>* scores) {
  using C = compute_t<T>;
  constexpr C log2_e = C(1.4426950408889634);
  dispatch_floating(plan.bias.dtype, Attention::name, [&]<class S>(Type<S>) {
    const auto bias = plan.bias.template view<const S, 3>();
    for (std::int64_t i = 0; i < rows; ++i) {
      const S* from = &bias(h, first_query + i, first_key);
      C* x = scores + i * AttentionBlock<C>::keys;
      for (std::int64_t j = 0; j < n; ++j) x[j] += static_cast<C>(from[j * bias.stride[2]]) * log2_e;
    }
  });
}

/// One block of queries of one (batch, head) against all keys of its segment.
template <class T>
void attend(const AttentionPlan<T>& plan, std::int64_t pair, const QueryBlock& block, const compute_t<T>* packed, compute_t<T>* workspace) {
  using C = compute_t<T>;
  using Block = AttentionBlock<C>;
  constexpr int width = Block::width, rows = Block::rows;
  const std::int64_t b = pair / plan.heads(), h = pair % plan.heads(), d = plan.d, row = plan.padded_d;
  const AttentionSegment& segment = plan.segments[block.segment];
  const std::int64_t tiles = (block.rows + rows - 1) / rows;

  C* const queries = workspace;                             // as pack_queries leaves them
  C* const results = queries + Block::queries * plan.sliced_d;  // [queries][padded d]
  C* const sums = results + Block::queries * row;           // [queries][width], one partial sum per lane
  C* const maxima = sums + Block::queries * width;          // [queries]
  C* const scores = maxima + Block::queries;                // [rows][keys]
  std::fill_n(results, tiles * rows * row, C(0));
  std::fill_n(sums, tiles * rows * width, C(0));
  std::fill_n(maxima, tiles * rows, std::numeric_limits<C>::lowest());
  pack_queries(plan, b, h, block, queries);

  for (std::int64_t offset = 0; offset < segment.keys; offset += Block::keys) {
    const std::int64_t n = std::min<std::int64_t>(Block::keys, segment.keys - offset), padded_n = AttentionPlan<T>::round_up(n, width);
    const C* const k = packed + (segment.packed + offset) * d;
    const C* const v = packed + plan.value_offset() + (segment.packed + offset) * row;
    for (std::int64_t t = 0; t < tiles; ++t) {
      C* const result = results + t * rows * row;
      for_each_panel<C>(n, [&](auto batches, std::int64_t j) { score_tile<batches, C>(queries + t * rows * plan.sliced_d, k + j * d, d, scores + j); });
      if (plan.bias) add_bias(plan, h, block.first + t * rows, std::min<std::int64_t>(rows, block.rows - t * rows), segment.first_key + offset, n, scores);
      for (std::int64_t j = n; j < padded_n; ++j)
        for (int i = 0; i < rows; ++i) scores[i * Block::keys + j] = -std::numeric_limits<C>::infinity();
      softmax_tile<C>(scores, padded_n, maxima + t * rows, sums + t * rows * width, result, row);
      for_each_panel<C>(d, [&](auto batches, std::int64_t c) { value_tile<batches, C>(scores, v + c * n, n, result + c, row); });
    }
  }

  for (std::int64_t i = 0; i < block.rows; ++i) {
    const C total = simd::sum<C>(simd::load_compute<C>(sums + i * width));
    const auto factor = simd::fill<C>(segment.keys > 0 ? C(1) / total : C(0));
    T* to = plan.y.data + b * plan.y.stride[0] + (block.first + i) * plan.y.stride[1] + h * plan.y.stride[2];
    simd::transform<T>(d, to, [&](const simd::batch<C>& x) { return x * factor; }, results + i * row);
  }
}

template <class T>
void attention(CpuContext& ctx, const Attention& op) {
  using C = compute_t<T>;
  const AttentionPlan<T> plan(op);
  const std::int64_t block_keys = AttentionBlock<C>::keys, head = plan.packed_elements(), workspace = plan.workspace_elements();
  const auto workspaces = ctx.scratch(static_cast<std::size_t>(workspace * ctx.threads) * sizeof(C));
  const auto own_workspace = [&] { return workspaces.template as<C>() + workspace * (thread_index() % ctx.threads); };

  // Many short sequences: a thread packs a head and attends to it while it is in its cache.
  constexpr std::int64_t cached_bytes = 384 * 1024, enough_heads = 32;
  if (head * static_cast<std::int64_t>(sizeof(C)) <= cached_bytes && plan.pairs() >= enough_heads) {
    const auto storage = ctx.scratch(static_cast<std::size_t>(head * ctx.threads) * sizeof(C));
    parallel_for(plan.pairs(), ctx.threads, [&](std::int64_t pair) {
      C* const packed = storage.template as<C>() + head * (thread_index() % ctx.threads);
      for (const AttentionSegment& s : plan.segments)
        for (std::int64_t offset = 0; offset < s.keys; offset += block_keys) pack_block(plan, pair, s, offset, packed);
      for (const QueryBlock& block : plan.blocks) attend(plan, pair, block, packed, own_workspace());
    });
    return;
  }

  // Long sequences: some heads are packed by all threads, then their blocks of queries are shared out.
  constexpr std::int64_t packed_bytes = std::int64_t{32} << 20;
  const std::int64_t group = std::clamp<std::int64_t>(packed_bytes / std::max<std::int64_t>(1, head * static_cast<std::int64_t>(sizeof(C))), 1, plan.pairs());
  const auto storage = ctx.scratch(static_cast<std::size_t>(head * group) * sizeof(C));
  struct KeyBlock { std::size_t segment; std::int64_t offset; };
  std::vector<KeyBlock> key_blocks;
  for (std::size_t s = 0; s < plan.segments.size(); ++s)
    for (std::int64_t offset = 0; offset < plan.segments[s].keys; offset += block_keys) key_blocks.push_back({s, offset});
  const auto packs = static_cast<std::int64_t>(key_blocks.size()), blocks = static_cast<std::int64_t>(plan.blocks.size());
  for (std::int64_t first = 0; first < plan.pairs(); first += group) {
    const std::int64_t pairs = std::min(group, plan.pairs() - first);
    parallel_for(pairs * packs, ctx.threads, [&](std::int64_t i) {
      const KeyBlock& kb = key_blocks[static_cast<std::size_t>(i % packs)];
      pack_block(plan, first + i / packs, plan.segments[kb.segment], kb.offset, storage.template as<C>() + i / packs * head);
    });
    parallel_for(pairs * blocks, ctx.threads, [&](std::int64_t i) {
      attend(plan, first + i / blocks, plan.blocks[static_cast<std::size_t>(i % blocks)], storage.template as<C>() + i / blocks * head, own_workspace());
    });
  }
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Attention& op) {
  if (op.y.shape.numel() == 0) return;
  dispatch_floating(op.q.dtype, op.name, [&]<class T>(Type<T>) { cpu::attention<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
