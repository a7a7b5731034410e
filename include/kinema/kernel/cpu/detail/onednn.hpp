// kinema/kernel/cpu/detail/onednn.hpp - the oneDNN adapter, for 2.6 and 3.x.
//
// oneDNN is only called from inside our own parallel items or under OneThread: how it splits work by the number of threads
// would show in the bits of sums.
#pragma once

#include <kinema/core/config.hpp>

#if KINEMA_WITH_ONEDNN
#include <kinema/core/error.hpp>

#include <oneapi/dnnl/dnnl.h>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cpu::onednn {

/// c [m, n] = a b (+ c), row-major; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed, [n, k].
/// Returns whether oneDNN took the call (it does not throw: the caller may be a parallel item).
inline bool sgemm(bool transposed_a, bool transposed_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda,
                  const float* b, std::int64_t ldb, bool accumulate, float* c, std::int64_t ldc) {
  return dnnl_sgemm(transposed_a ? 'T' : 'N', transposed_b ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, accumulate ? 1.0f : 0.0f, c, ldc) ==
         dnnl_success;
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu::onednn
#endif
