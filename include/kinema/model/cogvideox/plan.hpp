// kinema/model/cogvideox/plan.hpp - what a run will need, before it is begun: bytes and work of every stage.
//
// Nothing is estimated by formula: the stages are rehearsed (runtime/dry_run.hpp) with the modules and kernels of the run
// itself, so that a change of the code changes the plan. Weights and arithmetic are not needed, shapes are.
#pragma once

#include <kinema/model/cogvideox/model_folder.hpp>
#include <kinema/model/cogvideox/pixels.hpp>
#include <kinema/runtime/dry_run.hpp>

#include <functional>
#include <string>
#include <vector>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Adapters of the transformer (nn/lora.hpp).
struct Adapters {
  std::vector<std::string> merged;  ///< names of weights that become copies of their own
  double factors = 0;               ///< bytes of the factors of those that the layers add
};

/// What is to be planned. Types of stored weights come from a folder's files, or are all `stored`.
struct PlanRequest {
  ClipSize size;                     ///< of the video
  std::int64_t steps = 50;
  bool guided = true;                ///< two passes of the transformer per step
  std::int64_t encoded_frames = 0;   ///< frames that go through the encoder: 1 for an image, all of an initial video
  bool texts = true, denoise = true, decode = true;  ///< which stages run
  DType dtype = DType::f32;          ///< of activations
  std::optional<VaeTile> tile;
  bool quantized = false;            ///< linear weights of text encoder and transformer as 8-bit integers
  bool streamed = false;             ///< text encoder and transformer read their weights block by block
  Adapters adapters = {};
  int threads = 1;
};

/// Bytes at the fullest moment of a stage, and its floating-point operations.
struct StagePlan {
  std::string name;
  double weights = 0;      ///< mapped, rounded and packed
  double mapped = 0;       ///< of these, in the memory map: the system may drop them under pressure
  double activations = 0;  ///< tensors
  double scratch = 0;      ///< working memory of kernels
  double slack = 0;        ///< what the pool cannot reuse between tensors of different sizes
  double flops = 0;
  double bytes() const { return weights + activations + scratch + slack; }
};
/// The stages of a run, in their order.
struct Plan {
  std::vector<StagePlan> stages;
  /// The largest stage; stages give back what they took.
  const StagePlan& largest() const {
    return *std::max_element(stages.begin(), stages.end(), [](const StagePlan& a, const StagePlan& b) { return a.bytes() < b.bytes(); });
  }
};

/// The type that a weight is stored in.
using StoredType = std::function<DType(const std::string& component, const std::string& name)>;

/// Types as in the files of `folder`.
inline StoredType stored_in(const ModelFolder& folder) {
  return [folder](const std::string& component, const std::string& name) {
    const io::Checkpoint& file = component == "text" ? folder.text_weights() : component == "vae" ? folder.vae_weights() : folder.transformer_weights();
    return file.contains(name) ? file.dtype(name) : file.dtype(file.names().front());  // aliases are of the same type as the rest
  };
}

namespace detail {

/// Weights of a rehearsal: shapes and types without values.
class RehearsedWeights {
 public:
  RehearsedWeights(const StoredType& stored, DType dtype, bool quantized) : stored_(stored), dtype_(dtype), quantized_(quantized) {}

  template <class M>
  void give(M& module, const std::string& component) {
    nn::for_each_parameter(module, [&](const std::string& name, nn::Parameter& p) {
      const DType type = stored_(component, name);
      if (quantized_ && p.takes_scale() && quantizes(name)) return p.set(empty(p.shape(), DType::i8), empty({p.shape()[0]}, DType::f32));
      if (dtype_ != DType::f32 && type != dtype_) return p.set(empty(p.shape(), dtype_));  // rounded at load: in the pool
      const std::size_t bytes = static_cast<std::size_t>(p.shape().numel()) * size_of(type);
      mapped_ += static_cast<double>(bytes);
      auto storage = std::make_shared<Storage>(file_->allocate(bytes));
      const Ref ref{storage->data, p.shape(), p.shape().contiguous_strides(), type, Device::cpu()};
      p.set(Tensor<>(ref, std::move(storage)));
    });
  }
  double mapped() const { return mapped_; }

 private:
  const StoredType& stored_;
  DType dtype_;
  bool quantized_;
  std::shared_ptr<MemoryPool> file_ = MemoryPool::counting();
  double mapped_ = 0;
};

/// Bytes of a module's weights in their stored types.
template <class M>
double stored_bytes(M& module, const std::string& component, const StoredType& stored) {
  double bytes = 0;
  nn::for_each_parameter(module, [&](const std::string& name, nn::Parameter& p) {
    bytes += static_cast<double>(p.shape().numel()) * static_cast<double>(kinema::size_of(stored(component, name)));
  });
  return bytes;
}

/// Rehearses one stage; `run` computes with weights that are in place and leaves nothing behind.
template <class M, class Run>
StagePlan rehearse(const std::string& name, M& module, const std::string& component, const StoredType& stored, const PlanRequest& ask, const Run& run) {
  const DryRun dry(ask.threads);
  RehearsedWeights weights(stored, ask.dtype, ask.quantized);
  weights.give(module, component);
  const auto rounded = static_cast<double>(dry.live());
  run();
  StagePlan stage{name, 0, weights.mapped(), 0, static_cast<double>(dry.scratch()), 0, dry.flops()};
  const double packed = static_cast<double>(dry.live()) - rounded - stage.scratch;  // what stays with the weights
  stage.weights = weights.mapped() + rounded + packed;
  stage.activations = static_cast<double>(dry.peak()) - rounded - packed - stage.scratch;
  // Measured: 4.6 GiB resident where the tensors of a decode take 3.9; runs of some ten MiB show none.
  constexpr double many_regions = 256.0 * (1 << 20), lost_share = 0.2;
  if (stage.activations > many_regions) stage.slack = lost_share * stage.activations;
  nn::release(module);
  return stage;
}

}  // namespace detail

/// The plan of a request that was checked. Milliseconds, for any model and size.
inline Plan plan(const PipelineConfig& c, const PlanRequest& ask, const StoredType& stored) {
  Plan plan;
  const std::int64_t passes = ask.guided ? 2 : 1, words = c.transformer.max_text_seq_length;
  const ClipSize& size = ask.size;
  if (ask.texts) {
    t5::Encoder encoder(c.text);
    plan.stages.push_back(detail::rehearse("text", encoder, "text", stored, ask, [&] { encoder(zeros({passes, words}, DType::i64), ask.dtype); }));
    if (ask.streamed)  // two blocks at a time: the one that runs and the one that is read ahead; of the table only rows
      plan.stages.back().weights = plan.stages.back().mapped = 2 * detail::stored_bytes(encoder.block.back(), "text", stored);
  }
  if (ask.encoded_frames > 0) {
    Vae vae(c.vae);
    plan.stages.push_back(detail::rehearse("encode", vae, "vae", stored, ask, [&] {
      const Tensor<> frames = empty({ask.encoded_frames, size.height, size.width, 3}, DType::f32);
      const Tensor<> moments = op::cast(vae.encode(op::cast(pixels_from_frames(frames), ask.dtype), VaeOptions(ask.tile)), DType::f32);
    }));
  }
  if (ask.denoise) {
    Transformer transformer(c.transformer);
    StagePlan stage = detail::rehearse("denoise", transformer, "transformer", stored, ask, [&] {
      const TransformerConfig& t = c.transformer;
      const Shape shape{1, size.latent_frames, c.vae.latent_channels, size.latent_height, size.latent_width};
      const Tensor<> text = empty({passes, words, t.text_embed_dim}, ask.dtype), latents = empty(shape, DType::f32);
      const Tensor<> image = c.image_to_video ? empty(shape, DType::f32) : Tensor<>();
      const Grid grid = patch_grid(t, size.latent_frames, size.latent_height, size.latent_width);
      Transformer::Positions positions;
      if (t.use_rotary_positional_embeddings)
        positions.rotary = {empty({grid.tokens(), t.attention_head_dim}, DType::f32), empty({grid.tokens(), t.attention_head_dim}, DType::f32)};
      if (!t.use_rotary_positional_embeddings || t.use_learned_positional_embeddings) positions.additive = empty({words + grid.tokens(), t.width()}, DType::f32);
      Tensor<> input = image ? op::concat({latents, image}, 2) : latents;
      input = op::cast(ask.guided ? op::concat({input, input}, 0) : input, ask.dtype);
      const Tensor<> both = op::cast(transformer(input, text, std::vector<std::int64_t>(static_cast<std::size_t>(passes), 0), positions), DType::f32);
    });
    if (ask.streamed) {
      const double block = detail::stored_bytes(transformer.transformer_blocks.back(), "transformer", stored);
      stage.weights = stage.mapped = detail::stored_bytes(transformer, "transformer", stored) - static_cast<double>(c.transformer.num_layers - 2) * block;
    }
    double copies = 0;
    nn::for_each_parameter(transformer, [&](const std::string& name, nn::Parameter& p) {
      const DType type = stored("transformer", name);
      const bool in_file = ask.dtype == DType::f32 || type == ask.dtype;  // else it is rounded at load, and a copy anyway
      if (in_file && std::find(ask.adapters.merged.begin(), ask.adapters.merged.end(), name) != ask.adapters.merged.end())
        copies += static_cast<double>(p.shape().numel()) * static_cast<double>(size_of(type));
    });
    if (ask.streamed) stage.weights += copies;
    else stage.mapped -= copies;
    stage.weights += ask.adapters.factors;
    stage.flops *= static_cast<double>(ask.steps);
    plan.stages.push_back(std::move(stage));
  }
  if (ask.decode) {
    Vae vae(c.vae);
    plan.stages.push_back(detail::rehearse("decode", vae, "vae", stored, ask, [&] {
      const Tensor<> latents = empty({1, c.vae.latent_channels, size.latent_frames - size.surplus, size.latent_height, size.latent_width}, ask.dtype);
      vae.decode_stream(latents, [](const Tensor<>& pixels, std::int64_t) { frames_from_pixels(pixels); }, VaeOptions(ask.tile));
    }));
  }
  return plan;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
