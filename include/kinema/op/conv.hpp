// kinema/op/conv.hpp - convolutions over blocked activations.
//
// A convolution reads a ConvInput: a buffer with the padding already around the values. Producers (norms, resampling)
// write into its inside, so padding never costs a copy.
#pragma once

#include <kinema/op/resample.hpp>

namespace kinema::inline KINEMA_ABI::op {

/// Zero rows and columns around a frame.
struct Padding {
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;
  static constexpr Padding all(std::int64_t n) { return {n, n, n, n}; }
};

/// Room for the input of a convolution: `whole` is what it reads, `inside` where its values belong. `whole` has `lead`
/// frames in front of the inside (the past that a causal convolution looks back at), to be filled by the caller.
struct ConvInput {
  Tensor<> whole, inside;
  std::int64_t lead = 0;
  /// The frames in front, borders included.
  Tensor<> past() const { return narrow(whole, 2, 0, lead); }
  /// The last n frames, borders included; they may reach into the past.
  Tensor<> last(std::int64_t n) const { return narrow(whole, 2, whole.size(2) - n, n); }
};

/// A new ConvInput for a blocked activation of shape [B, C/b, T, H, W, b], its border zero, the rest uninitialised.
inline ConvInput conv_input(const Shape& inside, DType dtype, Device device, std::int64_t lead, Padding padding) {
  const Expect expect{"conv_input"};
  if (inside.rank() != 6) throw ShapeError(cat("conv_input: needs a blocked shape [B, C/b, T, H, W, b], got ", inside));
  expect.that(lead >= 0 && padding.top >= 0 && padding.left >= 0 && padding.bottom >= 0 && padding.right >= 0,
              "padding must not be negative");
  Shape s = inside;
  s[2] += lead;
  s[3] += padding.top + padding.bottom;
  s[4] += padding.left + padding.right;
  ConvInput in;
  in.lead = lead;
  in.whole = empty(s, dtype, device);
  in.inside = narrow(narrow(narrow(in.whole, 2, lead, inside[2]), 3, padding.top, inside[3]), 4, padding.left, inside[4]);
  launch(kernel::ClearBorder{.y = in.whole, .top = padding.top, .left = padding.left, .bottom = padding.bottom, .right = padding.right}, device);
  return in;
}
/// What conv() may be given beside input and weights.
struct ConvOptions {
  std::int64_t stride = 1;  ///< in space
  Padding padding = {};     ///< zeros around each frame; costs a copy, which a ConvInput does not
  Tensor<> residual = {};   ///< added to the result
};

namespace detail {
inline void expect_weight(const Expect& expect, const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias) {
  expect("x", x).rank(6).floating();
  expect("weight", weight).floating().on(x.device());
  if (weight.rank() != 4 && weight.rank() != 5)
    throw ShapeError(cat("conv: weight must have shape [Co, Ci, kt, kh, kw] or [Co, Ci, kh, kw], got ", to_string(weight)));
  expect("weight", weight).size(1, x.size(1) * x.size(5));
  if (bias) {
    expect("bias", bias).floating().on(x.device());
    expect("bias", bias).shape({weight.size(0)});
  }
  const Shape &s = x.shape(), &step = x.strides();
  if (step[5] != 1 || step[4] != s[5]) throw ShapeError(cat("conv: the pixels of a row of x must be contiguous, got strides ", step, " for ", to_string(x)));
}
}  // namespace detail

/// Convolution of a blocked activation x [B, Ci/bi, T + kt - 1, Hx, Wx, bi], without padding in time (put frames in
/// front: causal). weight [Co, Ci, kt, kh, kw] or, per frame, [Co, Ci, kh, kw], and bias [Co] or {}, of any floating
/// dtype. Returns [B, Co/bo, T, H, W, bo]. Sums in f32 (f64 for f64), bf16 and f16 rounded once.
/// Throws ShapeError if sizes do not fit or the kernel is larger than the padded input.
inline Tensor<> conv(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, const ConvOptions& options = {}) {
  const Expect expect{"conv"};
  expect("x", x).rank(6).floating();
  const Padding p = options.padding;
  if (p.top != 0 || p.left != 0 || p.bottom != 0 || p.right != 0) {
    const ConvInput in = conv_input(x.shape(), x.dtype(), x.device(), 0, p);
    repeat_frames_into(in.inside, x, 0, 1);
    return conv(in.whole, weight, bias, {.stride = options.stride, .residual = options.residual});
  }
  detail::expect_weight(expect, x, weight, bias);
  expect.that(options.stride >= 1, "stride must be positive, got ", options.stride);
  const std::int64_t kt = weight.rank() == 5 ? weight.size(2) : 1, kh = weight.size(-2), kw = weight.size(-1);
  if (x.size(2) < kt - 1 || x.size(3) < kh || x.size(4) < kw || kt < 1 || kh < 1 || kw < 1)
    throw ShapeError(cat("conv: kernel ", kt, "x", kh, "x", kw, " does not fit into x, got ", to_string(x)));
  const Shape out = blocked_shape(x.size(0), weight.size(0), x.size(2) - kt + 1, (x.size(3) - kh) / options.stride + 1,
                                  (x.size(4) - kw) / options.stride + 1, x.device());
  if (options.residual) {
    expect("residual", options.residual).like(x);
    expect("residual", options.residual).shape(out);
  }
  Tensor<> y = empty(out, x.dtype(), x.device());
  if (y.numel() > 0)
    launch(kernel::Conv{.x = x, .weight = weight, .bias = bias, .residual = options.residual, .y = y, .stride = static_cast<int>(options.stride)}, x.device());
  return y;
}

/// Nearest upsampling by 2 in space, then a 3x3 convolution with zero padding 1, frame by frame, without the upsampled
/// tensor. x [B, Ci/bi, T, H + 2, W + 2, bi] with a border of zeros (ConvInput with Padding::all(1)), weight
/// [Co, Ci, 3, 3]. Returns [B, Co/bo, T, 2H, 2W, bo].
inline Tensor<> upsample_conv(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias) {
  const Expect expect{"upsample_conv"};
  detail::expect_weight(expect, x, weight, bias);
  expect("weight", weight).shape({weight.size(0), x.size(1) * x.size(5), 3, 3});
  if (x.size(3) < 2 || x.size(4) < 2) throw ShapeError(cat("upsample_conv: x needs a border of zeros, got ", to_string(x)));
  Tensor<> y = empty(blocked_shape(x.size(0), weight.size(0), x.size(2), 2 * (x.size(3) - 2), 2 * (x.size(4) - 2), x.device()), x.dtype(), x.device());
  if (y.numel() > 0) launch(kernel::UpsampleConv{.x = x, .weight = weight, .bias = bias, .y = y}, x.device());
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
