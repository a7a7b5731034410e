// kinema/kernel/cpu/detail/onednn.hpp - the oneDNN adapter, for 2.6 and 3.x.
//
// oneDNN is only called from inside our own parallel items and under OneThread: how it splits work by the number of threads
// would show in the bits of sums.
#pragma once

#include <kinema/core/config.hpp>

#if KINEMA_WITH_ONEDNN
#include <kinema/core/error.hpp>

#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace kinema::inline KINEMA_ABI::kernel::cpu::onednn {

/// c [m, n] = a b, row-major; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed, [n, k].
/// Returns whether oneDNN took the call (it does not throw: the caller may be a parallel item).
inline bool sgemm(bool transposed_a, bool transposed_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda,
                  const float* b, std::int64_t ldb, float* c, std::int64_t ldc) {
  return dnnl_sgemm(transposed_a ? 'T' : 'N', transposed_b ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc) == dnnl_success;
}

inline dnnl::engine& cpu_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// f32 weights [n, k] in the layout that oneDNN's matrix product likes best on this machine, cut into tiles of columns.
/// On AVX-512 that layout is blocked and saves the packing of every call; on AVX2 it is the plain one.
class PackedWeights {
 public:
  PackedWeights(const float* weights, std::int64_t n, std::int64_t k, std::int64_t tile_columns, std::int64_t usual_rows)
      : n_(n), k_(k), tile_columns_(tile_columns) {
    dnnl::stream stream(cpu_engine());
    for (std::int64_t c = 0; c < n; c += tile_columns) {
      const std::int64_t columns = std::min(tile_columns, n - c);
      const dnnl::memory::desc plain({k, columns}, dnnl::memory::data_type::f32, dnnl::memory::dims{1, k});
      const dnnl::memory::desc any({k, columns}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
      const auto chosen = describe(usual_rows, columns, k, any, k, n).weights_desc();
      dnnl::memory from(plain, cpu_engine(), const_cast<float*>(weights + c * k)), to(chosen, cpu_engine());
      dnnl::reorder(from, to).execute(stream, from, to);
      stream.wait();
      tiles_.push_back(to);
    }
  }

  /// The products of `rows` rows of x with every tile: made once per call, outside the parallel items.
  class Product {
   public:
    Product(const PackedWeights& weights, std::int64_t rows, std::int64_t ldx, std::int64_t ldy) {
      for (const dnnl::memory& tile : weights.tiles_) {
        const std::int64_t columns = std::min(weights.tile_columns_, weights.n_ - static_cast<std::int64_t>(descriptions_.size()) * weights.tile_columns_);
        descriptions_.push_back(describe(rows, columns, weights.k_, tile.get_desc(), ldx, ldy));
        primitives_.emplace_back(descriptions_.back());
      }
    }
    /// y = x times one tile; returns whether oneDNN took the call.
    bool operator()(const PackedWeights& weights, std::int64_t tile, const float* x, float* y) const {
      const std::size_t t = static_cast<std::size_t>(tile);
      try {
        dnnl::stream stream(cpu_engine());
        const dnnl::memory src(descriptions_[t].src_desc(), cpu_engine(), const_cast<float*>(x)), dst(descriptions_[t].dst_desc(), cpu_engine(), y);
        primitives_[t].execute(stream, {{DNNL_ARG_SRC, src}, {DNNL_ARG_WEIGHTS, weights.tiles_[t]}, {DNNL_ARG_DST, dst}});
        stream.wait();
        return true;
      } catch (const dnnl::error&) {
        return false;
      }
    }

   private:
    std::vector<dnnl::matmul::primitive_desc> descriptions_;
    std::vector<dnnl::matmul> primitives_;
  };

 private:
  static dnnl::matmul::primitive_desc describe(std::int64_t rows, std::int64_t columns, std::int64_t k, const dnnl::memory::desc& weights, std::int64_t ldx,
                                               std::int64_t ldy) {
    const dnnl::memory::desc x({rows, k}, dnnl::memory::data_type::f32, dnnl::memory::dims{ldx, 1});
    const dnnl::memory::desc y({rows, columns}, dnnl::memory::data_type::f32, dnnl::memory::dims{ldy, 1});
#if DNNL_VERSION_MAJOR >= 3
    return dnnl::matmul::primitive_desc(cpu_engine(), x, weights, y);
#else
    return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, weights, y), cpu_engine());
#endif
  }

  std::int64_t n_, k_, tile_columns_;
  std::vector<dnnl::memory> tiles_;
};

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu::onednn
#endif
