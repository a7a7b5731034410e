// kinema/nn/conv.hpp - convolution layers over blocked activations, and the frames that causal ones remember.
#pragma once

#include <kinema/nn/module.hpp>
#include <kinema/op/conv.hpp>

#include <unordered_map>

namespace kinema::inline KINEMA_ABI::nn {

/// The last frames that each causal convolution of a network saw, for one pass over one clip (or one tile of it).
/// It lives outside the modules, so that one network can serve several clips.
class FrameCache {
 public:
  Tensor<>& operator[](const void* layer) { return frames_[layer]; }
  bool empty() const { return frames_.empty(); }
  std::size_t bytes() const {
    std::size_t n = 0;
    for (const auto& [layer, t] : frames_) n += t ? t.bytes() : 0;
    return n;
  }

 private:
  std::unordered_map<const void*, Tensor<>> frames_;
};

/// Convolution over N axes (2: per frame, 3: frames too) of a blocked activation that is padded already.
/// Keys: weight [out, in, k...], bias [out].
template <int N>
struct Conv {
  static_assert(N == 2 || N == 3, "Conv: blocked activations have two or three axes to convolve over");
  Parameter weight, bias;
  std::int64_t kernel, stride;

  Conv(std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t step = 1)
      : weight(N == 2 ? Shape{out, in, size, size} : Shape{out, in, size, size, size}), bias(Shape{out}), kernel(size), stride(step) {}
  Tensor<> operator()(const Tensor<>& x, const Tensor<>& residual = {}) const {
    return op::conv(x, weight.value(), bias.value(), {.stride = stride, .padding = {}, .residual = residual});
  }
  void visit(Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

/// 3-D convolution that sees no future frame: zeros around each frame, and in front of the first frame of a clip that
/// frame again. Keys: conv.weight [out, in, k, k, k], conv.bias [out].
/// Source: diffusers CogVideoXCausalConv3d.
struct CausalConv3d {
  Conv<3> conv;

  CausalConv3d(std::int64_t in, std::int64_t out, std::int64_t size) : conv(in, out, size) {}
  std::int64_t lead() const { return conv.kernel - 1; }

  /// Where the producer of the next input [B, C/b, T, H, W, b] writes it.
  op::ConvInput input(const Shape& inside, DType dtype, Device device) const {
    return op::conv_input(inside, dtype, device, lead(), op::Padding::all(conv.kernel / 2));
  }
  /// Convolves what was written into `in`; the frames in front come from `cache`, which then holds the last ones.
  Tensor<> operator()(const op::ConvInput& in, FrameCache& cache, const Tensor<>& residual = {}) const {
    if (lead() > 0) {
      Tensor<>& kept = cache[this];
      if (kept) op::repeat_frames_into(in.past(), kept, 0, 1);
      else op::repeat_frames_into(in.past(), narrow(in.whole, 2, lead(), 1), 0, lead());
      if (!kept) kept = empty(in.whole.shape().with(2, lead()), in.whole.dtype(), in.whole.device());
      op::repeat_frames_into(kept, in.last(lead()), 0, 1);
    }
    return conv(in.whole, residual);
  }
  void visit(Visitor& v) { v("conv", conv); }
};

}  // namespace kinema::inline KINEMA_ABI::nn
