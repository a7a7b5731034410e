// kinema/kernel/attention.hpp - contract of scaled dot-product attention: all tokens, or block-diagonal segments.
#pragma once

#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// y[b, i, h] = sum_j softmax_j(scale * q[b, i, h] . k[b, j, h] + bias[h, i, j]) v[b, j, h]
/// The sum runs over all keys or, with segments, over the keys of the segment that holds query i. Query i without any
/// key gives zeros. Scores, softmax and sums are in the compute type (f32; f64 for f64), the result is rounded once.
/// Keys outside the segment of a query are never read for it, so NaN there stays there.
struct Attention {
  static constexpr std::string_view name = "attention";
  Ref q;           ///< [B, Sq, H, D] floating; last axis of stride 1, other strides free
  Ref k, v;        ///< [B, Sk, H, D], dtype and rule of q
  Ref bias;        ///< [H, Sq, Sk] f32 (or f64 beside f64), added to the scaled scores; or empty
  Ref segments_q;  ///< [n + 1] i64, ascending from 0 to Sq: segment s holds queries [s] ... [s + 1] - 1; or empty
  Ref segments_k;  ///< [n + 1] i64, ascending from 0 to Sk; given exactly if segments_q is
  Ref y;           ///< [B, Sq, H, D], written; rule of q
  double scale;

  /// Multiplications and additions of the two products, the softmax left out, as papers count.
  double flops() const {
    double pairs = static_cast<double>(q.size(1)) * static_cast<double>(k.size(1));
    if (segments_q && segments_q.device.is_cpu()) {
      const auto a = segments_q.view<const std::int64_t, 1>(), b = segments_k.view<const std::int64_t, 1>();
      pairs = 0;
      for (std::int64_t s = 0; s + 1 < a.size[0]; ++s)
        pairs += static_cast<double>(a(s + 1) - a(s)) * static_cast<double>(b(s + 1) - b(s));
    }
    return 4.0 * pairs * static_cast<double>(q.size(0) * q.size(2) * q.size(3));
  }
  /// Each operand once.
  double bytes() const {
    const auto of = [](const Ref& r) { return r ? static_cast<double>(r.shape.numel()) * static_cast<double>(size_of(r.dtype)) : 0.0; };
    return of(q) + of(k) + of(v) + of(bias) + of(y);
  }
};
KINEMA_KERNEL void run(CpuContext&, const Attention&);  // kernel/cpu/attention.hpp

}  // namespace kinema::inline KINEMA_ABI::kernel
