// kinema/model/cogvideox/pipeline.hpp - text-, image- and video-to-video from a published model folder.
//
// Every stage loads its own weights and gives them back: the text encoder is gone before sampling starts, the
// transformer before decoding, unless the caller holds them (transformer(), vae(), text_encoder()). Weights stay in the
// memory map in their own type; latents are f32 between steps (the reference rounds them to 16 bits in 16-bit runs).
#pragma once

#include <kinema/io/image.hpp>
#include <kinema/model/cogvideox/lora.hpp>
#include <kinema/model/cogvideox/model_folder.hpp>
#include <kinema/model/cogvideox/pixels.hpp>
#include <kinema/model/cogvideox/request.hpp>
#include <kinema/nn/stream.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/runtime/stop.hpp>
#include <kinema/text/sentencepiece.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Receives decoded frames in order: f32 [n, H, W, 3] in [0, 1], and the index of the first of them.
using FrameReceiver = function_ref<void(const Tensor<>& frames, std::int64_t first)>;

/// All calls are const and may run on several threads at once, each with its own CpuContext; callbacks are the object's,
/// so threads that want their own take a clone(). A call ends within one op's time when its `stop` is requested: it throws
/// Interrupted, and the pipeline is as before.
class Pipeline {
 public:
  /// dtype: type of activations; absent: the type that the transformer's weights are stored in.
  explicit Pipeline(ModelFolder folder, std::optional<DType> dtype = {})
      : folder_(std::move(folder)), dtype_(dtype ? *dtype : stored_dtype()) {}
  static Pipeline load(const std::filesystem::path& folder, std::optional<DType> dtype = {}) { return Pipeline(ModelFolder::open(folder), dtype); }
  Pipeline(Pipeline&&) = default;
  Pipeline& operator=(Pipeline&&) = default;

  /// Another pipeline on the same weights, without callbacks: mapped files and held components are shared.
  Pipeline clone() const {
    Pipeline other(*this);
    other.callbacks_ = {};
    return other;
  }
  /// Text encoder and transformer read their weights from the file block by block and keep none in memory: slower where the
  /// system cannot keep the file, the same results. Throws Unsupported if the weights are rounded at load, or
  /// quantized, because then there is no file to read them from.
  void stream_weights(bool on) {
    if (on && !streams())
      throw Unsupported(quantized_ ? "stream_weights: quantized weights are made at load and cannot stay in the file"
                                   : cat("stream_weights: weights that are stored in another type than ", dtype_, " are rounded at load and cannot stay in the file"));
    streamed_ = on;
  }
  bool streams() const {
    return !quantized_ && (dtype_ == DType::f32 || (all_stored(folder_.text_weights()) && all_stored(folder_.transformer_weights())));
  }
  /// Adapters of the transformer, for calls from now on; clones that were made before keep theirs. `merged`: into the
  /// weights when they are loaded, else added by the layers (see nn/lora.hpp). Throws CheckpointError if one of them does
  /// not fit the model.
  void set_loras(std::vector<nn::Lora> loras, bool merged = true) {
    Transformer shapes(config().transformer);
    for (const nn::Lora& lora : loras) nn::match_lora(shapes, lora);
    loras_ = std::make_shared<const std::vector<nn::Lora>>(std::move(loras));
    loras_merged_ = merged;
    loaded_ = std::make_shared<Loaded>();
  }
  /// The linear layers in the blocks of text encoder and transformer keep their weights as 8-bit integers with a scale for
  /// each output channel, made at load: half the memory of 16 bits, other results (activations and sums stay as they are).
  /// Components that are loaded already are not touched. Throws Unsupported if weights are streamed.
  void quantize_weights(bool on) {
    if (on && streamed_) throw Unsupported("quantize_weights: streamed weights stay in the file as they are");
    if (on != quantized_) loaded_ = std::make_shared<Loaded>();  // clones go on with theirs
    quantized_ = on;
  }
  bool quantized() const { return quantized_; }
  void set_callbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

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
    const Shape embeds{1, c.transformer.max_text_seq_length, c.transformer.text_embed_dim};
    if (ask.prompt_embeds) expect("prompt_embeds", ask.prompt_embeds).floating().shape(embeds);
    if (ask.negative_prompt_embeds) expect("negative_prompt_embeds", ask.negative_prompt_embeds).floating().shape(embeds);
    if (!(ask.strength > 0 && ask.strength <= 1)) throw ArgumentError(cat("strength: must be above 0 and at most 1, got ", ask.strength));
    const ClipSize size = size_of(ask);
    if (ask.video && first_step(ask) >= ask.steps) throw ArgumentError(cat("strength: ", ask.strength, " of ", ask.steps, " steps leaves none to run"));
    if (ask.video && ask.video.size(0) < size.frames) throw ArgumentError(cat("num-frames: ", size.frames, " asked for, the initial video has ", ask.video.size(0)));
    if (ask.video && size.surplus != 0)
      throw ArgumentError(cat("num-frames: this model needs a multiple of ", c.transformer.temporal_patch(), " latent frames for an initial video, ", size.frames, " frames make ", size.latent_frames - size.surplus));
    return size;
  }

  /// As check(), without asking for the image or video: for a request whose denoising has begun.
  ClipSize size_of(const Request& ask) const {
    const PipelineConfig& c = config();
    const TransformerConfig& t = c.transformer;
    if (!(ask.guidance >= 0 && ask.guidance < 1e9)) throw ArgumentError(cat("guidance: must be a number from 0 to below 1e9, got ", ask.guidance));
    diffusion::Schedule(c.scheduler).timesteps(ask.steps);
    const std::int64_t frames = ask.num_frames.value_or(ask.video ? ask.video.size(0) : t.sample_frames);
    const ClipSize size = clip_size(c.factors(), frames, ask.height.value_or(c.default_height()), ask.width.value_or(c.default_width()));
    if (t.use_learned_positional_embeddings &&
        (size.latent_height != t.sample_height || size.latent_width != t.sample_width || size.latent_frames != t.sample_latent_frames()))
      throw ArgumentError(cat("the learned position table of this model holds ", t.sample_frames, " frames of ", c.default_height(), "x", c.default_width(),
                              " only, got ", frames, " of ", size.height, "x", size.width));
    return size;
  }

  /// Throws ArgumentError, ShapeError or DTypeError unless `state` can be one of this request: what begin() makes, or a
  /// stored one.
  void check(const Request& ask, const Denoising& state) const {
    const Expect expect{"denoising"};
    const Shape clip = latents_shape(size_of(ask));
    expect("latents", state.latents).dtype(DType::f32).shape(clip);
    expect("text", state.text).dtype(dtype_).shape({ask.guidance > 1 ? 2 : 1, config().transformer.max_text_seq_length, config().transformer.text_embed_dim});
    if (config().image_to_video) expect("image_latents", state.image_latents).dtype(DType::f32).shape(clip);
    else expect.that(!state.image_latents, "a text-to-video model has no image latents");
    if (state.sampler.clean) expect("clean sample", state.sampler.clean).dtype(DType::f32).shape(clip);
    const diffusion::Schedule schedule(config().scheduler);
    const auto all = static_cast<std::int64_t>(schedule.timesteps(ask.steps).size());
    if (state.skipped < 0 || state.skipped >= all || state.done < 0 || state.done > all - state.skipped)
      throw ArgumentError(cat("denoising: ", state.skipped, " steps skipped and ", state.done, " done do not fit into ", all));
    sampler_of(ask, schedule, state);
    random_of(ask, state);
    for (const Tensor<>* t : {&state.latents, &state.text, &state.image_latents, &state.sampler.clean})
      if (*t) require_finite(*t, "denoising");
  }

  text::Tokens tokenize(const std::string& prompt) const {
    return tokenizer().encode(prompt, config().transformer.max_text_seq_length);
  }

  /// The components. As long as the caller keeps the pointer, calls of this pipeline and its clones use that one instead
  /// of loading their own: for several clips in a row, or a server.
  std::shared_ptr<const t5::Encoder> text_encoder(const Stop& stop = {}) const {
    return component(loaded_->text, stop, [&] {
      auto encoder = on_file<t5::Encoder>(config().text, &ModelFolder::text_weights);
      nn::load(*encoder, folder_.text_weights(), load_options(t5::load_options()));
      return encoder;
    });
  }
  std::shared_ptr<const Transformer> transformer(const Stop& stop = {}) const {
    return component(loaded_->transformer, stop, [&] {
      auto transformer = on_file<Transformer>(config().transformer, &ModelFolder::transformer_weights);
      static const std::vector<nn::Lora> none;
      nn::load(*transformer, nn::MergedLora(folder_.transformer_weights(), loras_merged_ ? *loras_ : none), load_options());
      for (const nn::Lora& lora : loras_merged_ ? none : *loras_) nn::add_lora(*transformer, lora, dtype_);
      return transformer;
    });
  }
  std::shared_ptr<const Vae> vae(const Stop& stop = {}) const {
    return component(loaded_->vae, stop, [&] {
      auto vae = on_file<Vae>(config().vae, &ModelFolder::vae_weights);
      nn::load(*vae, folder_.vae_weights(), load_options());
      return vae;
    });
  }

  /// Embeddings of prompts, [number, L, E] in the pipeline's type.
  Tensor<> encode_prompts(const std::vector<std::string>& prompts, const Stop& stop = {}) const {
    const StopScope scope(stop);
    stage("text");
    const std::int64_t length = config().transformer.max_text_seq_length, n = static_cast<std::int64_t>(prompts.size());
    const text::T5Tokenizer words = tokenizer();
    std::vector<std::int64_t> ids;
    for (const std::string& prompt : prompts) {
      const text::Tokens tokens = words.encode(prompt, length);
      ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    }
    const auto encoder = text_encoder(stop);
    const nn::BlockStream stream(folder_.text_weights(), "encoder.block");
    const Tensor<> embeddings = (*encoder)(tensor_of(ids, {n, length}), dtype_, [&](std::int64_t i) { if (streamed_) stream.after(i); });
    require_finite(embeddings, "prompt embeddings");
    return embeddings;
  }
  /// [1, L, E]
  Tensor<> encode_prompt(const std::string& prompt, const Stop& stop = {}) const { return encode_prompts({prompt}, stop); }

  /// Embeddings of a request as the transformer takes them: [1, L, E], or with guidance [2, L, E], the negative prompt's
  /// first. Those that the request brings are taken instead of its texts.
  Tensor<> encode_text(const Request& ask, const Stop& stop = {}) const {
    const StopScope scope(stop);
    std::vector<std::string> prompts;
    const bool guided = ask.guidance > 1;
    if (guided && !ask.negative_prompt_embeds) prompts.push_back(ask.negative_prompt);
    if (!ask.prompt_embeds) prompts.push_back(ask.prompt);
    const Tensor<> encoded = prompts.empty() ? Tensor<>() : encode_prompts(prompts, stop);
    const Tensor<> conditional = ask.prompt_embeds ? op::cast(ask.prompt_embeds, dtype_) : narrow(encoded, 0, encoded.size(0) - 1, 1);
    if (!guided) return conditional;
    return op::concat({ask.negative_prompt_embeds ? op::cast(ask.negative_prompt_embeds, dtype_) : narrow(encoded, 0, 0, 1), conditional}, 0);
  }

  /// The state before the first step: text embeddings, latents of the image or video, noise.
  Denoising begin(const Request& ask, const Stop& stop = {}) const {
    const StopScope scope(stop);
    const ClipSize size = check(ask);
    Denoising state;
    state.text = encode_text(ask, stop);
    const auto random = make_random(ask.rng, ask.seed);
    const Shape shape = latents_shape(size);
    if (ask.image) state.image_latents = encode_image(ask, size, *random, stop);
    if (ask.video) {
      const diffusion::Schedule schedule(config().scheduler);
      const Tensor<> clean = encode_video(ask, size, *random, stop);
      state.skipped = first_step(ask);
      state.latents = diffusion::add_noise(schedule, clean, random->normal(shape), schedule.timesteps(ask.steps)[static_cast<std::size_t>(state.skipped)]);
    } else {
      state.latents = random->normal(shape);
    }
    state.random = random->state();
    return state;
  }

  /// Runs the steps that are left, from a state of begin() or of an earlier call that was stopped: the same bits as
  /// undisturbed. Whatever is thrown, `state` is that after the last whole step. Throws as check() of both.
  void denoise(const Request& ask, Denoising& state, const Stop& stop = {}) const {
    const StopScope scope(stop);
    check(ask, state);
    const diffusion::Schedule schedule(config().scheduler);
    const std::vector<std::int64_t> times = schedule.timesteps(ask.steps);
    const std::int64_t run = static_cast<std::int64_t>(times.size()) - state.skipped;
    diffusion::AnySampler sampler = sampler_of(ask, schedule, state);
    const auto random = random_of(ask, state);

    stage("load");
    const auto network = transformer(stop);
    const nn::BlockStream stream(folder_.transformer_weights(), "transformer_blocks");
    const auto after_block = [&](std::int64_t i, const Tensor<>&) { if (streamed_) stream.after(i); };
    const auto positions = network->positions(state.latents.size(1), state.latents.size(3), state.latents.size(4));
    const bool guided = ask.guidance > 1;
    stage("denoise", run);
    if (callbacks_.on_state) callbacks_.on_state(state);
    while (state.done < run) {
      const std::int64_t t = times[static_cast<std::size_t>(state.skipped + state.done)];
      Tensor<> input = state.image_latents ? op::concat({state.latents, state.image_latents}, 2) : state.latents;
      input = op::cast(guided ? op::concat({input, input}, 0) : input, dtype_);
      const Tensor<> both = op::cast((*network)(input, state.text, std::vector<std::int64_t>(guided ? 2 : 1, t), positions, 2.0, after_block), DType::f32);
      Tensor<> prediction = both;
      if (guided) {
        // Video-to-video counts the remaining steps in the reference's dynamic guidance.
        const double g = diffusion::guidance_at(ask.dynamic_guidance, ask.guidance, t, state.done, run);
        prediction = diffusion::guide(narrow(both, 0, 0, 1), narrow(both, 0, 1, 1), g);
      }
      Tensor<> latents = diffusion::step(sampler, prediction, state.latents, t, *random);
      require_finite(latents, cat("latents after step ", state.done + 1, " of ", run));
      state.latents = std::move(latents);
      state.sampler = diffusion::state_of(sampler);
      state.random = random->state();
      ++state.done;
      if (callbacks_.on_state) callbacks_.on_state(state);
      step(state.done);
    }
  }

  /// The denoised latents, f32 [1, F, C, h, w], as the reference's output_type="latent" returns them (for 1.5 with the
  /// surplus first frames).
  Tensor<> sample(const Request& ask, const Stop& stop = {}) const {
    Denoising state = begin(ask, stop);
    denoise(ask, state, stop);
    return state.latents;
  }

  /// Frames of latents [1, F, C, h, w] as sample() returns them, handed over chunk by chunk: memory does not depend on
  /// the clip's length. `surplus` leading latent frames are dropped first (ClipSize::surplus).
  void decode(const Tensor<>& latents, std::int64_t surplus, FrameReceiver sink, const Stop& stop = {}, const std::optional<VaeTile>& tile = {}) const {
    const StopScope scope(stop);
    Expect{"decode"}("latents", latents).rank(5).size(0, 1).size(2, config().vae.latent_channels);
    const Tensor<> kept = narrow(latents, 1, surplus, latents.size(1) - surplus);
    decode_raw(op::scale(permute(kept, {0, 2, 1, 3, 4}), 1 / config().vae.scaling_factor), sink, stop, tile);
  }

  /// Frames of unscaled VAE latents [1, C, F, h, w].
  void decode_raw(const Tensor<>& latents, FrameReceiver sink, const Stop& stop = {}, const std::optional<VaeTile>& tile = {}) const {
    const StopScope scope(stop);
    Expect{"decode"}("latents", latents).rank(5).size(0, 1).size(1, config().vae.latent_channels);
    stage("decode", decoded_frames(latents.size(2), config().factors().time));
    vae(stop)->decode_stream(op::cast(latents, dtype_), [&](const Tensor<>& pixels, std::int64_t first) {
      require_finite(pixels, cat("frames from ", first));
      const Tensor<> frames = frames_from_pixels(pixels);
      sink(frames, first);
      step(first + frames.size(0));
    }, VaeOptions(tile));
  }

  /// Posterior moments [1, 2C, f, h, w] of frames, u8 or f32 in [0, 1], [F, H, W, 3].
  Tensor<> encode(const Tensor<>& frames, const Stop& stop = {}, const std::optional<VaeTile>& tile = {}) const {
    const StopScope scope(stop);
    stage("encode", frames.size(0));
    const Tensor<> moments = op::cast(vae(stop)->encode(op::cast(pixels_from_frames(frames), dtype_), VaeOptions(tile)), DType::f32);
    require_finite(moments, "encoded latents");
    step(frames.size(0));
    return moments;
  }

  /// sample() and decode() in one call.
  Result generate(const Request& ask, FrameReceiver sink, const Stop& stop = {}) const {
    Result result{{}, check(ask), {}};
    const StageClock clock(callbacks_, result.stages);
    Pipeline watched(*this);
    watched.callbacks_ = clock.callbacks();
    result.latents = watched.sample(ask, stop);
    watched.decode(result.latents, result.size.surplus, sink, stop, ask.tile);
    clock.finish();
    return result;
  }

 private:
  /// Components that somebody holds; shared by clones.
  struct Loaded {
    std::mutex mutex;
    std::weak_ptr<const t5::Encoder> text;
    std::weak_ptr<const Transformer> transformer;
    std::weak_ptr<const Vae> vae;
  };

  /// Passes stages on and notes how long they took.
  class StageClock {
   public:
    StageClock(const Callbacks& callbacks, std::vector<StageTime>& stages) : callbacks_(callbacks), stages_(stages) {}
    Callbacks callbacks() const {
      Callbacks all = callbacks_;
      all.on_stage = [this](std::string_view name, std::int64_t steps) {
        finish();
        stages_.push_back({std::string(name), 0});
        if (callbacks_.on_stage) callbacks_.on_stage(name, steps);
      };
      return all;
    }
    /// The running stage ends.
    void finish() const {
      const auto now = std::chrono::steady_clock::now();
      if (!stages_.empty()) stages_.back().seconds = std::chrono::duration<double>(now - began_).count();
      began_ = now;
    }

   private:
    const Callbacks& callbacks_;
    std::vector<StageTime>& stages_;
    mutable std::chrono::steady_clock::time_point began_;
  };

  Pipeline(const Pipeline&) = default;

  bool all_stored(const TensorSource& file) const {
    for (const std::string& name : file.names())
      if (file.dtype(name) != dtype_) return false;
    return true;
  }

  /// What the stage before worked in goes back to the system: stages differ much in what they need.
  void stage(std::string_view name, std::int64_t steps = 0) const {
    cpu_context().arena.clear();
    cpu_context().pool->trim();
    if (callbacks_.on_stage) callbacks_.on_stage(name, steps);
  }
  void step(std::int64_t done) const {
    if (callbacks_.on_step) callbacks_.on_step(done);
  }

  /// A component whose pages of the weight file go back to the system when nobody holds it any more.
  template <class Component, class Config>
  std::shared_ptr<Component> on_file(const Config& config, const io::Checkpoint& (ModelFolder::*weights)() const) const {
    return {new Component(config), [folder = folder_, weights](Component* c) {
              delete c;
              for (const std::string& name : (folder.*weights)().names()) (folder.*weights)().forget(name);
            }};
  }

  /// The component that somebody holds, or a new one.
  template <class Component, class Load>
  std::shared_ptr<const Component> component(std::weak_ptr<const Component>& held, const Stop& stop, const Load& load) const {
    const StopScope scope(stop);
    const std::scoped_lock lock(loaded_->mutex);
    if (std::shared_ptr<const Component> there = held.lock()) return there;
    const std::shared_ptr<const Component> loaded = load();
    held = loaded;
    return loaded;
  }

  Shape latents_shape(const ClipSize& size) const {
    return {1, size.latent_frames, config().vae.latent_channels, size.latent_height, size.latent_width};
  }

  diffusion::AnySampler sampler_of(const Request& ask, const diffusion::Schedule& schedule, const Denoising& state) const {
    diffusion::AnySampler sampler = diffusion::make_sampler(ask.sampler.value_or(config().sampler), schedule, ask.steps);
    diffusion::restore(sampler, state.sampler);
    return sampler;
  }
  static std::unique_ptr<NormalSource> random_of(const Request& ask, const Denoising& state) {
    auto random = make_random(ask.rng, ask.seed);
    random->restore(state.random);
    return random;
  }

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
  nn::LoadOptions load_options(nn::LoadOptions options = {}) const {
    if (dtype_ != DType::f32) options.dtype = dtype_;
    options.forget_pages = streamed_;
    if (quantized_) options.quantize = quantizes;
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

  Tensor<> encode_image(const Request& ask, const ClipSize& size, NormalSource& random, const Stop& stop) const {
    const Tensor<> image = io::resize_lanczos(ask.image, size.width, size.height);
    const Tensor<> z = posterior_sample(encode(unsqueeze(image, 0), stop, ask.tile), random);     // [1, C, 1, h, w]
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

  Tensor<> encode_video(const Request& ask, const ClipSize& size, NormalSource& random, const Stop& stop) const {
    const Tensor<> frames = resized(narrow(ask.video, 0, 0, size.frames), size.width, size.height);
    const Tensor<> z = posterior_sample(encode(frames, stop, ask.tile), random);                   // [1, C, F, h, w]
    return op::contiguous(permute(op::scale(z, config().vae.scaling_factor), {0, 2, 1, 3, 4}));
  }

  ModelFolder folder_;
  DType dtype_;
  bool streamed_ = false, quantized_ = false;
  std::shared_ptr<const std::vector<nn::Lora>> loras_ = std::make_shared<const std::vector<nn::Lora>>();
  bool loras_merged_ = true;
  Callbacks callbacks_;
  std::shared_ptr<Loaded> loaded_ = std::make_shared<Loaded>();
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
