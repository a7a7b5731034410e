// kinema/kernel/cuda/detail/gemm.hpp - a matrix product in row-major, strided terms becomes one in cuBLAS's terms.
//
// cuBLAS thinks in columns: a row-major [M, N] is its N x M matrix. So Y = X W is asked for as Y' = W' X', where '
// costs nothing. Nothing here knows cuBLAS's headers; tests carry the plans out with plain loops.
#pragma once

#include <kinema/core/dtype.hpp>
#include <kinema/kernel/functor.hpp>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

/// A window on a matrix: element (r, c) is at r * row_stride + c * column_stride; the next matrix of a batch is
/// batch_stride further.
struct Window {
  std::int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 0, batch_stride = 0;
  Window transposed() const { return {columns, rows, column_stride, row_stride, batch_stride}; }
};

/// A matrix as cuBLAS wants to hear of it: element (r, c) of what is stored is at r + c * leading.
struct Stored {
  std::int64_t rows = 0, columns = 0, leading = 0, batch_stride = 0;
  bool transpose = false;  ///< the matrix meant is the transpose of what is stored
  auto operator<=>(const Stored&) const = default;
};

/// Empty if neither rows nor columns are contiguous, or if they overlap: cuBLAS has no words for such a window.
inline std::optional<Stored> stored(const Window& w) {
  const auto as = [&](const Window& m, bool transpose) -> std::optional<Stored> {
    if (m.row_stride != 1 && m.rows > 1) return {};
    const std::int64_t least = m.rows > 1 ? m.rows : 1;
    const std::int64_t leading = m.columns > 1 ? m.column_stride : least;  // one column: any stride means the same
    if (leading < least) return {};
    return Stored{m.rows, m.columns, leading, m.batch_stride, transpose};
  };
  if (const auto plain = as(w, false)) return plain;
  return as(w.transposed(), true);
}

/// What happens to the product before it is rounded.
enum class Epilogue : unsigned char { none, bias, gelu_tanh, gelu_tanh_bias };

/// One library call: D = epilogue(op(A) op(B)), column-major. Equal plans may share an algorithm.
struct GemmPlan {
  Stored a, b, d;
  DType type = DType::f32;  ///< of A and B; sums are f32
  DType out = DType::f32;   ///< of D and the bias: `type` or f32
  std::int64_t batch = 1;
  Epilogue epilogue = Epilogue::none;
  auto operator<=>(const GemmPlan&) const = default;

  std::int64_t m() const { return d.rows; }
  std::int64_t n() const { return d.columns; }
  std::int64_t k() const { return a.transpose ? a.rows : a.columns; }
};

struct GemmPointers {
  const void* a = nullptr;
  const void* b = nullptr;
  void* d = nullptr;
  const void* bias = nullptr;
};

/// The plan for y = x w, [M, N] = [M, K] [K, N]; A is w and B is x. Empty if a window has no cuBLAS form.
inline std::optional<GemmPlan> plan_product(const Window& x, const Window& w, const Window& y, DType type, DType out, std::int64_t batch,
                                            Epilogue epilogue) {
  const auto a = stored(w.transposed()), b = stored(x.transposed()), d = stored(y.transposed());
  if (!a || !b || !d || d->transpose) return {};
  return GemmPlan{*a, *b, *d, type, out, batch, epilogue};
}

/// The part of bias and activation that the library does. Of the activations it knows GELU in its tanh form only.
constexpr Epilogue epilogue_for(bool bias, Activation activation) {
  if (activation == Activation::gelu_tanh) return bias ? Epilogue::gelu_tanh_bias : Epilogue::gelu_tanh;
  return bias ? Epilogue::bias : Epilogue::none;
}
constexpr bool epilogue_covers(Activation activation) { return activation == Activation::none || activation == Activation::gelu_tanh; }

inline std::string to_string(const GemmPlan& p) {
  return cat(p.type, " ", p.batch, " x [", p.n(), ", ", p.k(), "] [", p.k(), ", ", p.m(), "] -> ", p.out);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
