// kinema/kernel/elementwise.hpp - contracts of the pointwise operations.
#pragma once

#include <kinema/kernel/functor.hpp>
#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

namespace detail {
inline double bytes_of(const Ref& r) {
  return r ? static_cast<double>(r.shape.numel()) * static_cast<double>(size_of(r.dtype)) : 0.0;
}
inline double numel_of(const Ref& r) { return static_cast<double>(r.shape.numel()); }
}  // namespace detail

/// y = activation(x), in the compute type, rounded once.
struct Activate {
  static constexpr std::string_view name = "activate";
  Ref x;  ///< floating, contiguous
  Ref y;  ///< shape and dtype of x, contiguous, written; may be x
  Activation activation;
  double flops() const { return 8.0 * detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Activate&);  // kernel/cpu/elementwise.hpp
void run(CudaContext&, const Activate&);               // kernel/cuda/elementwise.cuh

/// dx = dy * activation'(x), in the compute type of x.
struct ActivateBackward {
  static constexpr std::string_view name = "activate_backward";
  Ref x;   ///< floating, contiguous: the input of the activation
  Ref dy;  ///< shape of x, its compute type, contiguous
  Ref dx;  ///< as dy, written; may be dy
  Activation activation;
  double flops() const { return 16.0 * detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(dy) + detail::bytes_of(dx); }
};
KINEMA_KERNEL void run(CpuContext&, const ActivateBackward&);

/// y = x * by, in the compute type, rounded once.
struct Scale {
  static constexpr std::string_view name = "scale";
  Ref x;  ///< floating, contiguous
  Ref y;  ///< shape and dtype of x, contiguous, written; may be x
  double by;
  double flops() const { return detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Scale&);
void run(CudaContext&, const Scale&);

/// y = min(max(x, low), high); NaN stays NaN.
struct Clamp {
  static constexpr std::string_view name = "clamp";
  Ref x;  ///< floating, contiguous
  Ref y;  ///< shape and dtype of x, contiguous, written; may be x
  double low, high;
  double flops() const { return 2.0 * detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Clamp&);
void run(CudaContext&, const Clamp&);

/// y = x in another floating type, rounded once to nearest even; NaN stays NaN.
struct Cast {
  static constexpr std::string_view name = "cast";
  Ref x;  ///< floating, contiguous
  Ref y;  ///< shape of x, floating, contiguous, written
  double flops() const { return 0; }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Cast&);
void run(CudaContext&, const Cast&);
/// What Binary does.
enum class Arithmetic : unsigned char { add, subtract, multiply };
/// As in the names of ops.
constexpr std::string_view name_of(Arithmetic a) {
  switch (a) {
    case Arithmetic::add: return "add";
    case Arithmetic::subtract: return "sub";
    default: return "mul";
  }
}

/// y = a (+, -, *) b, element by element, in the compute type, rounded once.
struct Binary {
  static constexpr std::string_view name = "binary";
  Ref a, b;  ///< shape of y after broadcasting: any strides, 0 where an operand repeats; dtype of y
  Ref y;     ///< floating, contiguous, written
  Arithmetic arithmetic;
  double flops() const { return detail::numel_of(y); }
  double bytes() const { return 3.0 * detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Binary&);
void run(CudaContext&, const Binary&);

/// y = c[0] x[0] + ... + c[n-1] x[n-1]: sampler steps and guidance. Products and sums in f64, rounded once.
struct Combine {
  static constexpr std::string_view name = "combine";
  static constexpr int most = 4;  ///< the second-order samplers need four
  Ref x[most];                    ///< floating of any type, contiguous, shape of y; entries from `count` on are not read
  double c[most];
  int count;                      ///< 1 to `most`
  Ref y;                          ///< floating, contiguous, written; may be one of x
  double flops() const { return 2.0 * count * detail::numel_of(y); }
  double bytes() const {
    double sum = detail::bytes_of(y);
    for (int i = 0; i < count; ++i) sum += detail::bytes_of(x[i]);
    return sum;
  }
};
KINEMA_KERNEL void run(CpuContext&, const Combine&);
void run(CudaContext&, const Combine&);

/// y[b, s, c] = residual[b, s, c] + gate[b, g, c] * x[b, s, c], in the compute type, rounded once; g is the group of
/// the run that holds row s.
struct GateResidual {
  static constexpr std::string_view name = "gate_residual";
  Ref residual;  ///< [B, S, C] floating, contiguous
  Ref x;         ///< [B, S, C] dtype of residual, contiguous
  Ref gate;      ///< [B, G, C] floating, last axis of stride 1, other strides free
  Ref runs;      ///< [R, 2] i64 on the host, contiguous: (end, group), ends ascending to S, groups below G
  Ref y;         ///< [B, S, C] dtype of residual, contiguous, written; may be residual or x
  double flops() const { return 2.0 * detail::numel_of(y); }
  double bytes() const { return 3.0 * detail::bytes_of(y) + detail::bytes_of(gate); }
};
KINEMA_KERNEL void run(CpuContext&, const GateResidual&);
void run(CudaContext&, const GateResidual&);

}  // namespace kinema::inline KINEMA_ABI::kernel
