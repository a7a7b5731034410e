// kinema/model/cogvideox/pipeline.hpp - text-, image- and video-to-video from a published model folder.
//
// Every stage loads its own weights and gives them back: the text encoder is gone before sampling starts, the
// transformer before decoding. Weights stay in the memory map in their own type; latents are f32 between steps
// (the reference rounds them to 16 bits in 16-bit runs).
#pragma once

#include <kinema/io/image.hpp>
#include <kinema/model/cogvideox/model_folder.hpp>
#include <kinema/model/cogvideox/pixels.hpp>
#include <kinema/model/cogvideox/request.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/text/sentencepiece.hpp>

#include <algorithm>
#include <memory>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Receives decoded frames in order: f32 [n, H, W, 3] in [0, 1], and the index of the first of them.
using FrameReceiver = function_ref<void(const Tensor<>& frames, std::int64_t first)>;

class Pipeline {
 public:
  /// dtype: type of activations; absent: the type that the transformer's weights are stored in.
  explicit Pipeline(ModelFolder folder, std::optional<DType> dtype = {})
      : folder_(std::move(folder)), dtype_(dtype ? *dtype : stored_dtype()) {}
  static Pipeline load(const std::filesystem::path& folder, std::optional<DType> dtype = {}) { return Pipeline(ModelFolder::open(folder), dtype); }

  const PipelineConfig& config() const { return folder_.config(); }
  const ModelFolder& folder() const { return folder_; }
  DType dtype() const { return dtype_; }

  /// Checks a request against the model without loading a weight; returns the sizes. Throws ArgumentError with the rule
  /// and the nearest valid value.
  ClipSize check(const Request& ask) const {
    const PipelineConfig& c = config();
    const Expect expect{"request"};
    if (c.image_to_video && !ask.image) throw ArgumentError("this is an image-to-video model: an initial image is needed");
    if (ask.image && ask.video) throw ArgumentError("an initial image and an initial video exclude each other");
    if (!c.image_to_video && ask.image) throw ArgumentError("this is a text-to-video model: it takes no initial image");
    if (c.image_to_video && ask.video) throw ArgumentError("this is an image-to-video model: it takes no initial video");
    if (ask.image) expect("image", ask.image).rank(3).dtype(DType::u8).size(2, 3);
    if (ask.video) expect("video", ask.video).rank(4).size(3, 3);
    if (!(ask.strength > 0 && ask.strength <= 1)) throw ArgumentError(cat("strength: must be above 0 and at most 1, got ", ask.strength));
    if (!(ask.guidance >= 0 && ask.guidance < 1e9)) throw ArgumentError(cat("guidance: must be a number from 0 to below 1e9, got ", ask.guidance));
    diffusion::Schedule(c.scheduler).timesteps(ask.steps);
    if (ask.video && first_step(ask) >= ask.steps) throw ArgumentError(cat("strength: ", ask.strength, " of ", ask.steps, " steps leaves none to run"));

    const std::int64_t frames = ask.num_frames.value_or(ask.video ? ask.video.size(0) : c.transformer.sample_frames);
    const ClipSize size = clip_size(c.factors(), frames, ask.height.value_or(c.default_height()), ask.width.value_or(c.default_width()));
    if (ask.video && ask.video.size(0) < frames) throw ArgumentError(cat("num-frames: ", frames, " asked for, the initial video has ", ask.video.size(0)));
    if (ask.video && size.surplus != 0)
      throw ArgumentError(cat("num-frames: this model needs a multiple of ", c.transformer.temporal_patch(), " latent frames for an initial video, ", frames, " frames make ", size.latent_frames - size.surplus));
    const TransformerConfig& t = c.transformer;
    if (t.use_learned_positional_embeddings &&
        (size.latent_height != t.sample_height || size.latent_width != t.sample_width || size.latent_frames != t.sample_latent_frames()))
      throw ArgumentError(cat("the learned position table of this model holds ", t.sample_frames, " frames of ", c.default_height(), "x", c.default_width(),
                              " only, got ", frames, " of ", size.height, "x", size.width));
    return size;
  }

  text::Tokens tokenize(const std::string& prompt) const {
    return tokenizer().encode(prompt, config().transformer.max_text_seq_length);
  }

  /// Embeddings of prompts, [number, L, E] in the pipeline's type. Weights are loaded and released inside.
  Tensor<> encode_prompts(const std::vector<std::string>& prompts, const Events& events = {}) const {
    const std::int64_t length = config().transformer.max_text_seq_length, n = static_cast<std::int64_t>(prompts.size());
    const text::T5Tokenizer words = tokenizer();
    std::vector<std::int64_t> ids;
    for (const std::string& prompt : prompts) {
      const text::Tokens tokens = words.encode(prompt, length);
      ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    }
    t5::Encoder encoder(config().text);
    nn::LoadOptions options = t5::load_options();
    options.dtype = rounded_weights();
    nn::load(encoder, folder_.text_weights(), options);
    const Tensor<> embeddings = encoder(tensor_of(ids, {n, length}), dtype_, [&](std::int64_t) { events.check(); });
    require_finite(embeddings, "prompt embeddings");
    return embeddings;
  }

  /// The denoised latents, f32 [1, F, C, h, w], as the reference's output_type="latent" returns them (for 1.5 with the
  /// surplus first frames).
  Tensor<> sample(const Request& ask, const Events& events = {}) const {
    const ClipSize size = check(ask);
    const bool guided = ask.guidance > 1;
    events.stage("text");
    std::vector<std::string> prompts{ask.prompt};
    if (guided) prompts.insert(prompts.begin(), ask.negative_prompt);
    const Tensor<> text = encode_prompts(prompts, events);                                    // [1 or 2, L, E]

    const diffusion::Schedule schedule(config().scheduler);
    std::vector<std::int64_t> timesteps = schedule.timesteps(ask.steps);
    const auto random = make_random(ask.rng, ask.seed);
    Tensor<> image_latents, latents;
    const Shape shape{1, size.latent_frames, config().vae.latent_channels, size.latent_height, size.latent_width};
    if (ask.image) image_latents = encode_image(ask, size, *random, events);
    if (ask.video) {
      timesteps.erase(timesteps.begin(), timesteps.begin() + first_step(ask));
      const Tensor<> clean = encode_video(ask, size, *random, events);
      latents = diffusion::add_noise(schedule, clean, random->normal(shape), timesteps.front());
    } else {
      latents = random->normal(shape);
    }

    events.stage("load");
    Transformer transformer(config().transformer);
    nn::LoadOptions options;
    options.dtype = rounded_weights();
    nn::load(transformer, folder_.transformer_weights(), options);
    events.latents(0, latents);
    const auto positions = transformer.positions(size.latent_frames, size.latent_height, size.latent_width);

    const auto run = static_cast<std::int64_t>(timesteps.size());
    events.stage("denoise", run);
    diffusion::AnySampler sampler = diffusion::make_sampler(ask.sampler.value_or(config().sampler), schedule, ask.steps);
    for (std::int64_t i = 0; i < run; ++i) {
      const std::int64_t t = timesteps[static_cast<std::size_t>(i)];
      Tensor<> input = image_latents ? op::concat({latents, image_latents}, 2) : latents;
      input = op::cast(guided ? op::concat({input, input}, 0) : input, dtype_);
      const std::vector<std::int64_t> times(guided ? 2 : 1, t);
      const Tensor<> both = op::cast(transformer(input, text, times, positions, 2.0, [&](std::int64_t) { events.check(); }), DType::f32);
      Tensor<> prediction = both;
      if (guided) {
        // Video-to-video counts the remaining steps in the reference's dynamic guidance.
        const double g = diffusion::guidance_at(ask.dynamic_guidance, ask.guidance, t, i, run);
        prediction = diffusion::guide(narrow(both, 0, 0, 1), narrow(both, 0, 1, 1), g);
      }
      latents = diffusion::step(sampler, prediction, latents, t, *random);
      require_finite(latents, cat("latents after step ", i + 1, " of ", run));
      events.latents(i + 1, latents);
      events.step(i + 1);
    }
    return latents;
  }

  /// Frames of latents [1, F, C, h, w] as sample() returns them, handed over chunk by chunk: memory does not depend on
  /// the clip's length. `surplus` leading latent frames are dropped first (ClipSize::surplus).
  void decode(const Tensor<>& latents, std::int64_t surplus, FrameReceiver receive, const Events& events = {}, const std::optional<VaeTile>& tile = {}) const {
    Expect{"decode"}("latents", latents).rank(5).size(0, 1).size(2, config().vae.latent_channels);
    const Tensor<> kept = narrow(latents, 1, surplus, latents.size(1) - surplus);
    decode_raw(op::scale(permute(kept, {0, 2, 1, 3, 4}), 1 / config().vae.scaling_factor), receive, events, tile);
  }

  /// Frames of unscaled VAE latents [1, C, F, h, w].
  void decode_raw(const Tensor<>& latents, FrameReceiver receive, const Events& events = {}, const std::optional<VaeTile>& tile = {}) const {
    Expect{"decode"}("latents", latents).rank(5).size(0, 1).size(1, config().vae.latent_channels);
    const Vae vae = load_vae();
    const std::int64_t total = decoded_frames(latents.size(2), config().factors().time);
    events.stage("decode", total);
    vae.decode_stream(op::cast(latents, dtype_), [&](const Tensor<>& pixels, std::int64_t first) {
      events.check();
      require_finite(pixels, cat("frames from ", first));
      const Tensor<> frames = frames_from_pixels(pixels);
      receive(frames, first);
      events.step(first + frames.size(0));
    }, vae_options(tile, events));
  }

  /// Posterior moments [1, 2C, f, h, w] of frames, u8 or f32 in [0, 1], [F, H, W, 3].
  Tensor<> encode(const Tensor<>& frames, const Events& events = {}, const std::optional<VaeTile>& tile = {}) const {
    const Vae vae = load_vae();
    events.stage("encode", frames.size(0));
    Tensor<> moments = vae.encode(op::cast(pixels_from_frames(frames), dtype_), vae_options(tile, events));
    moments = op::cast(moments, DType::f32);
    require_finite(moments, "encoded latents");
    events.step(frames.size(0));
    return moments;
  }

  /// sample() and decode() in one call; returns the latents.
  Tensor<> generate(const Request& ask, FrameReceiver receive, const Events& events = {}) const {
    const Tensor<> latents = sample(ask, events);
    decode(latents, check(ask).surplus, receive, events, ask.tile);
    return latents;
  }

 private:
  /// Index of the first time step that a video-to-video run executes. Product and truncation as in the reference.
  static std::int64_t first_step(const Request& ask) {
    if (!ask.video) return 0;
    const auto kept = std::min(static_cast<std::int64_t>(static_cast<double>(ask.steps) * ask.strength), ask.steps);
    return std::max<std::int64_t>(ask.steps - kept, 0);
  }

  text::T5Tokenizer tokenizer() const {
    text::T5Tokenizer::Options options;
    options.embedding_rows = config().text.vocab_size;
    options.extra_ids = t5::read_extra_ids(folder_.tokenizer_folder());
    return text::T5Tokenizer::load(folder_.tokenizer_folder().string(), options);
  }

  DType stored_dtype() const {
    const io::Checkpoint& file = folder_.transformer_weights();
    const DType stored = file.dtype("proj_out.weight");
    return stored == DType::f64 ? DType::f32 : stored;
  }
  /// Weights are rounded only where the type of the run is narrower than the file may be; widening is exact and happens
  /// inside the ops.
  std::optional<DType> rounded_weights() const { return dtype_ == DType::f32 ? std::nullopt : std::optional(dtype_); }

  Vae load_vae() const {
    Vae vae(config().vae);
    nn::LoadOptions options;
    options.dtype = rounded_weights();
    nn::load(vae, folder_.vae_weights(), options);
    return vae;
  }

  static VaeOptions vae_options(const std::optional<VaeTile>& tile, const Events& events) {
    VaeOptions options(tile);
    options.progress = [&events](std::int64_t, std::int64_t) {
      events.check();
      return true;
    };
    return options;
  }

  static void require_finite(const Tensor<>& x, const std::string& what) {
    const std::int64_t at = op::first_non_finite(x);
    if (at >= 0) throw NonFiniteError(cat(what, ": element ", at, " is not a finite number"));
  }

  static Tensor<> posterior_sample(const Tensor<>& moments, NormalSource& random) {
    const Posterior posterior(moments);
    return posterior.sample(random.normal(posterior.mode().shape()));
  }

  Tensor<> encode_image(const Request& ask, const ClipSize& size, NormalSource& random, const Events& events) const {
    const Tensor<> image = io::resize_lanczos(ask.image, size.width, size.height);
    const Tensor<> z = posterior_sample(encode(unsqueeze(image, 0), events, ask.tile), random);     // [1, C, 1, h, w]
    const double k = config().vae.scaling_factor;
    const Tensor<> first = permute(op::scale(z, config().vae.invert_scale_latents ? 1 / k : k), {0, 2, 1, 3, 4});
    if (size.latent_frames == 1) return op::contiguous(first);
    const Tensor<> rest = zeros({1, size.latent_frames - 1, first.size(2), first.size(3), first.size(4)}, DType::f32);
    return op::concat({first, rest}, 1);
  }

  /// Pictures of bytes go through the reference's picture resize, arrays of numbers take the nearest pixel, as there.
  static Tensor<> resized(const Tensor<>& frames, std::int64_t width, std::int64_t height) {
    if (frames.size(1) == height && frames.size(2) == width) return frames;
    const std::int64_t n = frames.size(0);
    Tensor<> out = empty({n, height, width, 3}, frames.dtype());
    if (frames.dtype() == DType::u8) {
      for (std::int64_t i = 0; i < n; ++i) {
        const Tensor<> one = io::resize_lanczos(select(frames, 0, i), width, height);
        std::copy_n(one.data<std::uint8_t>(), one.numel(), out.data<std::uint8_t>() + i * one.numel());
      }
      return out;
    }
    const auto from = frames.view<const float, 4>();
    const auto to = out.view<float, 4>();
    const auto nearest = [](std::int64_t i, std::int64_t in, std::int64_t all) {
      return std::min(static_cast<std::int64_t>(static_cast<float>(i) * (static_cast<float>(in) / static_cast<float>(all))), in - 1);
    };
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t x = 0; x < width; ++x)
          for (std::int64_t c = 0; c < 3; ++c)
            to(i, y, x, c) = from(i, nearest(y, frames.size(1), height), nearest(x, frames.size(2), width), c);
    return out;
  }

  Tensor<> encode_video(const Request& ask, const ClipSize& size, NormalSource& random, const Events& events) const {
    const Tensor<> frames = resized(narrow(ask.video, 0, 0, size.frames), size.width, size.height);
    const Tensor<> z = posterior_sample(encode(frames, events, ask.tile), random);                   // [1, C, F, h, w]
    return op::contiguous(permute(op::scale(z, config().vae.scaling_factor), {0, 2, 1, 3, 4}));
  }

  ModelFolder folder_;
  DType dtype_;
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
