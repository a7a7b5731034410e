// kinema/model/cogvideox/vae.hpp - the 3-D causal VAE: whole clips, streams of frames, spatial tiles.
//
// Clips go through the network in chunks of frames, and every causal convolution remembers its last frames, so memory
// does not depend on the length of the clip. Group norms take their statistics per chunk (and per tile), so the chunk
// sizes are part of the model's definition: other sizes give other results.
#pragma once

#include <kinema/model/cogvideox/vae_network.hpp>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// The Gaussian that the encoder describes: moments [B, 2L, T, h, w], L means, then L log variances.
/// Source: diffusers DiagonalGaussianDistribution.
class Posterior {
 public:
  explicit Posterior(Tensor<> moments) : moments_(std::move(moments)) { Expect{"posterior"}("moments", moments_).rank(5).floating(); }
  const Tensor<>& moments() const { return moments_; }
  /// The mean [B, L, T, h, w], a view of the moments.
  Tensor<> mode() const { return narrow(moments_, 1, 0, moments_.size(1) / 2); }
  /// mean + exp(logvar / 2) noise, logvar clamped to [-30, 20]; noise [B, L, T, h, w] standard normal.
  Tensor<> sample(const Tensor<>& noise) const { return op::sample_gaussian(moments_, noise); }

 private:
  Tensor<> moments_;
};

/// How a clip goes through the network.
struct VaeOptions {
  std::optional<VaeTile> tile;      ///< cut frames into overlapping tiles; none: whole frames
  bool slicing = false;             ///< one sample of the batch at a time; same results, less memory
  std::int64_t sample_chunk = 8;    ///< pixel frames per chunk of the encoder, the first takes the remainder too
  std::int64_t latent_chunk = 2;    ///< latent frames per chunk of the decoder

  VaeOptions() = default;
  VaeOptions(std::optional<VaeTile> t) : tile(std::move(t)) {}  // NOLINT: implicit, tiles are what most callers choose
};

/// Receives the frames of one chunk [B, C, T, H, W], in order; `first` is the index of its first frame.
using FrameSink = function_ref<void(const Tensor<>& frames, std::int64_t first)>;
/// Returns `count` frames [B, C, count, H, W] from frame `first` on; called in order.
using FrameSource = function_ref<Tensor<>(std::int64_t first, std::int64_t count)>;

/// AutoencoderKLCogVideoX. Keys: encoder.*, decoder.*.
class Vae {
 public:
  explicit Vae(const VaeConfig& config) : config_((validate(config), config)), encoder_(config_), decoder_(config_) {}

  const VaeConfig& config() const { return config_; }
  const Encoder& encoder() const { return encoder_; }
  const Decoder& decoder() const { return decoder_; }

  /// Moments [B, 2L, t, h, w] of a video [B, 3, T, H, W] with pixels in [-1, 1], in the video's dtype.
  /// Throws ShapeError unless H and W are multiples of the spatial factor.
  Tensor<> encode(const Tensor<>& video, const VaeOptions& options = {}) const {
    Expect{"vae encode"}("video", video).rank(5).floating();
    return by_slice(video, options, [&](const Tensor<>& part) {
      return gathered(2 * config_.latent_channels, part, encoded_frames(part.size(2), options), 1, config_.space_factor(), [&](FrameSink sink) {
        encode_stream(part.shape(), [&](std::int64_t first, std::int64_t n) { return narrow(part, 2, first, n); }, sink, options);
      });
    });
  }

  /// Video [B, 3, T, H, W] of latents [B, L, t, h, w] (already divided by the scaling factor), in the latents' dtype.
  Tensor<> decode(const Tensor<>& latents, const VaeOptions& options = {}) const {
    Expect{"vae decode"}("latents", latents).rank(5).floating();
    return by_slice(latents, options, [&](const Tensor<>& part) {
      return gathered(config_.out_channels, part, decoded_frames_of(part.size(2), options), config_.space_factor(), 1,
                      [&](FrameSink sink) { decode_stream(part, sink, options); });
    });
  }

  /// Encodes a clip of shape [B, 3, T, H, W] whose frames come from `source`; the moments of each chunk go to `sink`.
  void encode_stream(const Shape& clip, FrameSource source, FrameSink sink, const VaeOptions& options = {}) const {
    const std::int64_t f = config_.space_factor();
    if (clip.rank() != 5 || clip[1] != config_.in_channels || clip[2] < 1 || clip[3] < f || clip[4] < f || clip[3] % f != 0 || clip[4] % f != 0)
      throw ShapeError(cat("vae encode: video must have shape [B, ", config_.in_channels, ", T, H, W] with H and W multiples of ", f, ", got ", clip));
    stream(clip, true, options, source, sink, [&](const Tensor<>& x, nn::FrameCache& cache) { return encoder_(x, cache); });
  }

  /// Decodes latents [B, L, t, h, w] chunk by chunk: each chunk's pixels [B, 3, T, H, W] go to `sink`.
  void decode_stream(const Tensor<>& latents, FrameSink sink, const VaeOptions& options = {}) const {
    Expect{"vae decode"}("latents", latents).rank(5).floating();
    const Shape& s = latents.shape();
    if (s[1] != config_.latent_channels || s[2] < 1 || s[3] < 1 || s[4] < 1)
      throw ShapeError(cat("vae decode: latents must have shape [B, ", config_.latent_channels, ", T, h, w] and not be empty, got ", to_string(latents)));
    stream(s, false, options, [&](std::int64_t first, std::int64_t n) { return narrow(latents, 2, first, n); }, sink,
           [&](const Tensor<>& x, nn::FrameCache& cache) { return decoder_(x, cache); });
  }

  /// Throws ArgumentError if frames of height x width pixels cannot be cut into these tiles, for encoding or decoding.
  void check_tile(const VaeTile& tile, std::int64_t height, std::int64_t width) const {
    const std::int64_t f = config_.space_factor();
    tiling({1, config_.in_channels, 1, height, width}, true, std::optional(tile));
    tiling({1, config_.latent_channels, 1, height / f, width / f}, false, std::optional(tile));
  }

  /// Latent frames of T pixel frames, and back, with the chunks of `options`.
  std::int64_t encoded_frames(std::int64_t T, const VaeOptions& options = {}) const {
    std::int64_t n = 0;
    for (const FrameRange& r : frame_chunks(T, options.sample_chunk)) n += encoded_chunk(config_, r.size());
    return n;
  }
  std::int64_t decoded_frames_of(std::int64_t T, const VaeOptions& options = {}) const {
    std::int64_t n = 0;
    for (const FrameRange& r : frame_chunks(T, options.latent_chunk)) n += decoded_chunk(config_, r.size());
    return n;
  }

  void visit(nn::Visitor& v) {
    v("encoder", encoder_);
    v("decoder", decoder_);
  }

 private:
  template <class F>
  Tensor<> by_slice(const Tensor<>& x, const VaeOptions& options, const F& whole) const {
    if (!options.slicing || x.size(0) <= 1) return whole(x);
    Tensor<> out;
    for (std::int64_t b = 0; b < x.size(0); ++b) {
      const Tensor<> part = whole(narrow(x, 0, b, 1));
      if (!out) out = empty(part.shape().with(0, x.size(0)), part.dtype(), part.device());
      paste(out, {b, 0, 0, 0, 0}, part);
    }
    return out;
  }

  /// Collects the chunks of a stream in one tensor; sizes of the frames go times `up`, over `down`.
  template <class Run>
  static Tensor<> gathered(std::int64_t channels, const Tensor<>& x, std::int64_t frames, std::int64_t up, std::int64_t down, const Run& run) {
    const Tensor<> out = empty({x.size(0), channels, frames, x.size(3) * up / down, x.size(4) * up / down}, x.dtype(), x.device());
    run([&](const Tensor<>& chunk, std::int64_t first) { paste(out, {0, 0, first, 0, 0}, chunk); });
    return out;
  }

  /// Writes `part` (planar) into `out` at an offset, through the layout kernels, which take any strides.
  static void paste(const Tensor<>& out, const Shape& at, const Tensor<>& part) {
    Tensor<> window = out;
    for (int i = 0; i < 5; ++i) window = narrow(window, i, at[i], part.size(i));
    const Shape& s = part.shape();
    Ref blocks = part.ref();  // [B, C, T, H, W] seen as a blocked activation with one channel per block
    blocks.shape = {s[0], s[1], s[2], s[3], s[4], 1};
    blocks.stride.push_back(1);
    op::from_blocked_into(window, part.window(blocks));
  }

  struct Tile {
    std::int64_t i, j;
    nn::FrameCache cache;
  };

  /// All chunks of a clip, all tiles of each: `network` maps one tile of one chunk to a blocked activation.
  template <class Network>
  void stream(const Shape& clip, bool encode, const VaeOptions& options, FrameSource source, FrameSink sink, const Network& network) const {
    const std::int64_t f = config_.space_factor(), batch = encode ? options.sample_chunk : options.latent_chunk;
    if (batch < 1) throw ArgumentError(cat("vae: chunks need at least one frame, got ", batch));
    const auto [rows, columns, split] = tiling(clip, encode, options);
    std::vector<Tile> tiles;
    for (std::int64_t i = 0; i < rows.count(); ++i)
      for (std::int64_t j = 0; j < columns.count(); ++j) tiles.push_back({i, j, {}});

    std::int64_t first_out = 0;
    for (const FrameRange& range : frame_chunks(clip[2], batch)) {
      const Tensor<> x = source(range.begin, range.size());
      Expect{"vae"}("frames", x).shape(clip.with(2, range.size()));
      std::vector<Tensor<>> parts;
      for (Tile& tile : tiles) {
        const Tensor<> in = narrow(narrow(x, 3, rows.begin(tile.i), rows.extent(tile.i)), 4, columns.begin(tile.j), columns.extent(tile.j));
        parts.push_back(op::from_blocked(network(in, tile.cache)));
      }
      const Tensor<> out = split ? joined(parts, rows, columns, encode ? clip[3] / f : clip[3] * f, encode ? clip[4] / f : clip[4] * f) : parts.front();
      parts.clear();
      sink(out, first_out);
      first_out += out.size(2);
    }
  }

  struct Tiling {
    TileAxis rows, columns;
    bool split;
  };
  Tiling tiling(const Shape& clip, bool encode, const VaeOptions& options) const {
    const Tiling whole{{clip[3], clip[3], clip[3], 0, clip[3]}, {clip[4], clip[4], clip[4], 0, clip[4]}, false};
    if (!options.tile) return whole;
    const VaeTile& t = *options.tile;
    const std::int64_t f = config_.space_factor(), height = t.height ? t.height : config_.sample_height / 2, width = t.width ? t.width : config_.sample_width / 2;
    const std::int64_t most_rows = encode ? height : height / f, most_columns = encode ? width : width / f;
    if (clip[3] <= most_rows && clip[4] <= most_columns) return whole;
    return {tile_axis("height", encode, clip[3], height, t.overlap_height, f), tile_axis("width", encode, clip[4], width, t.overlap_width, f), true};
  }

  /// Fades the tiles of one chunk into each other, row by row and in place, and puts their kept parts together.
  static Tensor<> joined(const std::vector<Tensor<>>& parts, const TileAxis& rows, const TileAxis& columns, std::int64_t H, std::int64_t W) {
    const Shape& s = parts.front().shape();
    const Tensor<> out = empty({s[0], s[1], s[2], H, W}, parts.front().dtype(), parts.front().device());
    const auto part = [&](std::int64_t i, std::int64_t j) -> const Tensor<>& { return parts[static_cast<std::size_t>(i * columns.count() + j)]; };
    for (std::int64_t i = 0; i < rows.count(); ++i)
      for (std::int64_t j = 0; j < columns.count(); ++j) {
        const Tensor<>& tile = part(i, j);
        if (i > 0) op::blend_tiles_(part(i - 1, j), tile, 3, rows.blend);
        if (j > 0) op::blend_tiles_(part(i, j - 1), tile, 4, columns.blend);
        const Tensor<> kept = narrow(narrow(tile, 3, 0, std::min(rows.keep, tile.size(3))), 4, 0, std::min(columns.keep, tile.size(4)));
        paste(out, {0, 0, 0, i * rows.keep, j * columns.keep}, kept);
      }
    return out;
  }

  VaeConfig config_;
  Encoder encoder_;
  Decoder decoder_;
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
