// kinema/model/cogvideox/vae_network.hpp - the encoder and the decoder of the VAE, one chunk of frames at a time.
//
// Everything between the first and the last convolution is a blocked activation. Norms write into the padded input of
// the convolution behind them, so the network copies no activation to pad it.
#pragma once

#include <kinema/model/cogvideox/vae_config.hpp>
#include <kinema/nn/group_norm.hpp>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Shows the output of every named part of the network, as a blocked activation; for tests and tools.
using VaeProbe = function_ref<void(const std::string& name, const Tensor<>& value)>;

namespace detail {

inline constexpr double vae_out_eps = 1e-6;  ///< of every norm that the configuration's norm_eps does not reach

inline void show(const VaeProbe* probe, const std::string& name, const Tensor<>& value) {
  if (probe) (*probe)(name, value);
}

}  // namespace detail

/// Two convolutions, a norm and SiLU before each, and the input added. Encoder: nn::GroupNorm. Decoder: nn::SpatialNorm,
/// conditioned on the latent. Keys: norm1.*, conv1.conv.*, norm2.*, conv2.conv.*, conv_shortcut.* where the width changes.
/// Source: diffusers CogVideoXResnetBlock3D.
template <class Norm>
struct ResnetBlock {
  Norm norm1;
  nn::CausalConv3d conv1;
  Norm norm2;
  nn::CausalConv3d conv2;
  std::optional<nn::Conv<3>> conv_shortcut;

  template <class MakeNorm>
  ResnetBlock(std::int64_t in, std::int64_t out, const MakeNorm& norm)
      : norm1(norm(in)), conv1(in, out, 3), norm2(norm(out)), conv2(out, out, 3) {
    if (in != out) conv_shortcut.emplace(in, out, 1);
  }
  /// x [B, C/b, T, H, W, b], z the latent chunk (not read by unconditioned norms).
  Tensor<> operator()(const Tensor<>& x, const Tensor<>& z, nn::FrameCache& cache) const {
    const Tensor<> h = conv1(normed(norm1, conv1, x, z), cache);
    const op::ConvInput in = normed(norm2, conv2, h, z);
    return conv2(in, cache, conv_shortcut ? (*conv_shortcut)(x) : x);
  }
  void visit(nn::Visitor& v) {
    v("norm1", norm1);
    v("conv1", conv1);
    v("norm2", norm2);
    v("conv2", conv2);
    v("conv_shortcut", conv_shortcut);
  }

  /// SiLU(norm(x)), written where `conv` reads it.
  static op::ConvInput normed(const Norm& norm, const nn::CausalConv3d& conv, const Tensor<>& x, const Tensor<>& z) {
    const op::ConvInput in = conv.input(x.shape(), x.dtype(), x.device());
    if constexpr (nn::ConditionedNorm<Norm>) norm.into(in.inside, x, z, kernel::Activation::silu);
    else norm.into(in.inside, x, kernel::Activation::silu);
    return in;
  }
};

/// Frames averaged in pairs (where time is compressed), then a 3x3 convolution of stride 2. Keys: conv.weight, conv.bias.
/// Source: diffusers CogVideoXDownsample3D.
struct Downsampler {
  nn::Conv<2> conv;
  bool compress_time;

  Downsampler(std::int64_t channels, bool time) : conv(channels, channels, 3, 2), compress_time(time) {}
  Tensor<> operator()(const Tensor<>& x) const {
    const Shape s = x.shape();
    const op::ConvInput in = op::conv_input(compress_time ? s.with(2, halved_frames(s[2])) : s, x.dtype(), x.device(), 0, {.bottom = 1, .right = 1});
    if (compress_time) op::average_pairs_into(in.inside, x);
    else op::repeat_frames_into(in.inside, x, 0, 1);
    return conv(in.whole);
  }
  void visit(nn::Visitor& v) { v("conv", conv); }
};

/// Nearest upsampling by 2 in space (and time), then a 3x3 convolution per frame. Frames that only repeat are convolved
/// once. Keys: conv.weight, conv.bias. Source: diffusers CogVideoXUpsample3D.
struct Upsampler {
  nn::Conv<2> conv;
  bool compress_time;

  Upsampler(std::int64_t channels, bool time) : conv(channels, channels, 3), compress_time(time) {}
  Tensor<> operator()(const Tensor<>& x) const {
    const op::ConvInput in = op::conv_input(x.shape(), x.dtype(), x.device(), 0, op::Padding::all(1));
    op::repeat_frames_into(in.inside, x, 0, 1);
    const Tensor<> y = op::upsample_conv(in.whole, conv.weight.value(), conv.bias.value());
    const std::int64_t T = x.size(2);
    if (!compress_time || T == 1) return y;
    Tensor<> doubled = empty(y.shape().with(2, doubled_frames(T)), y.dtype(), y.device());
    op::repeat_frames_into(doubled, y, T % 2, 2);
    return doubled;
  }
  void visit(nn::Visitor& v) { v("conv", conv); }
};

/// Residual blocks of one width, then perhaps a resampler. Keys: resnets.N.*, downsamplers.0.* or upsamplers.0.*.
template <class Norm, class Resampler>
struct Level {
  std::vector<ResnetBlock<Norm>> resnets;
  std::optional<Resampler> resampler;

  Tensor<> operator()(Tensor<> x, const Tensor<>& z, nn::FrameCache& cache, const std::string& name, const VaeProbe* probe) const {
    for (const auto& block : resnets) x = block(x, z, cache);
    if (resampler) {
      detail::show(probe, name + ".resnets", x);
      x = (*resampler)(x);
      detail::show(probe, name, x);
    } else if (!name.empty()) {
      detail::show(probe, name + (name == "mid_block" ? "" : ".resnets"), x);
    }
    return x;
  }
  void visit(nn::Visitor& v) {
    v("resnets", resnets);
    v(std::is_same_v<Resampler, Downsampler> ? "downsamplers.0" : "upsamplers.0", resampler);
  }
};

/// Pixels to posterior moments. Keys: conv_in.conv.*, down_blocks.N.*, mid_block.*, norm_out.*, conv_out.conv.*.
/// Source: diffusers CogVideoXEncoder3D.
class Encoder {
 public:
  explicit Encoder(const VaeConfig& c)
      : conv_in(c.in_channels, c.block_out_channels.front(), 3),
        norm_out(c.block_out_channels.back(), c.norm_num_groups, detail::vae_out_eps),
        conv_out(c.block_out_channels.back(), 2 * c.latent_channels, 3) {
    const auto norm = [&](std::int64_t channels) { return nn::GroupNorm(channels, c.norm_num_groups, c.norm_eps); };
    std::int64_t width = c.block_out_channels.front();
    for (std::int64_t i = 0; i < c.levels(); ++i) {
      Level<nn::GroupNorm, Downsampler> level;
      const std::int64_t out = c.block_out_channels[static_cast<std::size_t>(i)];
      for (std::int64_t r = 0; r < c.layers_per_block; ++r) level.resnets.emplace_back(r == 0 ? width : out, out, norm);
      if (i + 1 < c.levels()) level.resampler.emplace(out, i < c.temporal_levels());
      down_blocks.push_back(std::move(level));
      width = out;
    }
    for (int r = 0; r < 2; ++r) mid_block.resnets.emplace_back(width, width, norm);
  }

  /// pixels [B, 3, T, H, W], any strides → blocked moments [B, 2L/b, T', H', W', b] in `dtype`.
  Tensor<> operator()(const Tensor<>& pixels, nn::FrameCache& cache, const VaeProbe* probe = nullptr) const {
    const Shape& s = pixels.shape();
    const op::ConvInput in = conv_in.input(op::blocked_shape(s[0], s[1], s[2], s[3], s[4], pixels.device()), pixels.dtype(), pixels.device());
    op::to_blocked_into(in.inside, pixels);
    Tensor<> x = conv_in(in, cache);
    detail::show(probe, "conv_in", x);
    for (std::size_t i = 0; i < down_blocks.size(); ++i) x = down_blocks[i](std::move(x), {}, cache, "down_blocks." + std::to_string(i), probe);
    x = mid_block(std::move(x), {}, cache, "mid_block", probe);
    const op::ConvInput last = conv_out.input(x.shape(), x.dtype(), x.device());
    norm_out.into(last.inside, x, kernel::Activation::silu);
    if (probe) {  // the network itself never stores the norm without its activation
      const Tensor<> normed = empty(x.shape(), x.dtype(), x.device());
      norm_out.into(normed, x, kernel::Activation::none);
      detail::show(probe, "norm_out", normed);
    }
    return conv_out(last, cache);
  }
  void visit(nn::Visitor& v) {
    v("conv_in", conv_in);
    v("down_blocks", down_blocks);
    v("mid_block", mid_block);
    v("norm_out", norm_out);
    v("conv_out", conv_out);
  }

 private:
  nn::CausalConv3d conv_in;
  std::vector<Level<nn::GroupNorm, Downsampler>> down_blocks;
  Level<nn::GroupNorm, Downsampler> mid_block;
  nn::GroupNorm norm_out;
  nn::CausalConv3d conv_out;
};

/// Latents to pixels. Keys: conv_in.conv.*, mid_block.*, up_blocks.N.*, norm_out.*, conv_out.conv.*.
/// Source: diffusers CogVideoXDecoder3D.
class Decoder {
 public:
  explicit Decoder(const VaeConfig& c)
      : conv_in(c.latent_channels, c.block_out_channels.back(), 3),
        norm_out(c.block_out_channels.front(), c.latent_channels, c.norm_num_groups, detail::vae_out_eps),
        conv_out(c.block_out_channels.front(), c.out_channels, 3) {
    const auto norm = [&](std::int64_t channels) { return nn::SpatialNorm(channels, c.latent_channels, c.norm_num_groups, detail::vae_out_eps); };
    std::int64_t width = c.block_out_channels.back();
    for (int r = 0; r < 2; ++r) mid_block.resnets.emplace_back(width, width, norm);
    for (std::int64_t i = 0; i < c.levels(); ++i) {
      Level<nn::SpatialNorm, Upsampler> level;
      const std::int64_t out = c.block_out_channels[static_cast<std::size_t>(c.levels() - 1 - i)];
      for (std::int64_t r = 0; r <= c.layers_per_block; ++r) level.resnets.emplace_back(r == 0 ? width : out, out, norm);
      if (i + 1 < c.levels()) level.resampler.emplace(out, i < c.temporal_levels());
      up_blocks.push_back(std::move(level));
      width = out;
    }
  }

  /// latents [B, L, T, h, w], any strides → blocked pixels [B, 3/b, T', H, W, b].
  Tensor<> operator()(const Tensor<>& latents, nn::FrameCache& cache, const VaeProbe* probe = nullptr) const {
    const Tensor<> z = op::to_blocked(latents);
    const op::ConvInput in = conv_in.input(z.shape(), z.dtype(), z.device());
    op::repeat_frames_into(in.inside, z, 0, 1);
    Tensor<> x = conv_in(in, cache);
    detail::show(probe, "conv_in", x);
    x = mid_block(std::move(x), z, cache, "mid_block", probe);
    for (std::size_t i = 0; i < up_blocks.size(); ++i) x = up_blocks[i](std::move(x), z, cache, "up_blocks." + std::to_string(i), probe);
    const op::ConvInput last = conv_out.input(x.shape(), x.dtype(), x.device());
    norm_out.into(last.inside, x, z, kernel::Activation::silu);
    if (probe) {  // the network itself never stores the norm without its activation
      const Tensor<> normed = empty(x.shape(), x.dtype(), x.device());
      norm_out.into(normed, x, z, kernel::Activation::none);
      detail::show(probe, "norm_out", normed);
    }
    return conv_out(last, cache);
  }
  void visit(nn::Visitor& v) {
    v("conv_in", conv_in);
    v("mid_block", mid_block);
    v("up_blocks", up_blocks);
    v("norm_out", norm_out);
    v("conv_out", conv_out);
  }

 private:
  nn::CausalConv3d conv_in;
  Level<nn::SpatialNorm, Upsampler> mid_block;
  std::vector<Level<nn::SpatialNorm, Upsampler>> up_blocks;
  nn::SpatialNorm norm_out;
  nn::CausalConv3d conv_out;
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
