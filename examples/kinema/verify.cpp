// examples/kinema/verify.cpp - kinema verify: a model against a stored test vector, or one file of tensors against another.
//
// Every stage takes its input from the reference, not from the stage before, so an error is reported where it arises.
#include "command_line.hpp"
#include "media.hpp"
#include "progress.hpp"
#include "session.hpp"

#include <kinema/io/safetensors.hpp>
#include <kinema/model/cogvideox/quantization_error.hpp>
#include <kinema/op/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options {
  Common common;
  Text reference, write, compare, tolerance, weights;
};

constexpr const char* test_prompt = "a red circle moves right on a black background";

/// The smallest clip that exercises time and space, or the only one that a learned position table allows.
cogvideox::Request test_request(const cogvideox::PipelineConfig& c) {
  cogvideox::Request ask;
  ask.prompt = test_prompt;
  ask.steps = 1;
  ask.guidance = 1;
  ask.seed = 20;
  ask.rng = cogvideox::Rng::philox;
  if (c.transformer.use_learned_positional_embeddings) return ask;
  const std::int64_t side = 4 * c.factors().space * c.factors().patch;
  ask.num_frames = 9, ask.height = side, ask.width = side;
  return ask;
}

Tensor<> denoised(const cogvideox::Pipeline& pipeline, const Tensor<>& embeds, const Stop& stop) {
  const cogvideox::PipelineConfig& c = pipeline.config();
  const cogvideox::Request ask = test_request(c);
  const cogvideox::ClipSize size = pipeline.size_of(ask);
  const Shape shape{1, size.latent_frames, c.vae.latent_channels, size.latent_height, size.latent_width};
  const auto noise = cogvideox::make_random(ask.rng, ask.seed);
  cogvideox::Denoising state;
  state.text = op::cast(embeds, pipeline.dtype());
  state.latents = noise->normal(shape);
  if (c.image_to_video) state.image_latents = noise->normal(shape);
  state.random = noise->state();
  pipeline.denoise(ask, state, stop);
  return state.latents;
}

Tensor<> decoded(const cogvideox::Pipeline& pipeline, const Tensor<>& latents, const Stop& stop) {
  // The first three latent frames cross a chunk's border.
  const Tensor<> some = op::contiguous(permute(narrow(latents, 1, 0, std::min<std::int64_t>(latents.size(1), 3)), {0, 2, 1, 3, 4}));
  const std::int64_t frames = cogvideox::decoded_frames(some.size(2), pipeline.config().factors().time), k = pipeline.config().factors().space;
  Tensor<> all = empty({frames, some.size(3) * k, some.size(4) * k, 3}, DType::f32);
  pipeline.decode_raw(some, [&](const Tensor<>& part, std::int64_t first) {
    std::copy_n(part.data<float>(), part.numel(), narrow(all, 0, first, part.size(0)).data<float>());
  }, stop);
  return all;
}

/// Largest difference, as a share of the largest value of the reference.
double error_of(const Tensor<>& got, const Tensor<>& reference) {
  const Tensor<> a = op::contiguous(op::cast(got, DType::f64)), b = op::contiguous(op::cast(reference, DType::f64));
  double difference = 0, scale = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    difference = std::max(difference, std::abs(a.data<double>()[i] - b.data<double>()[i]));
    scale = std::max(scale, std::abs(b.data<double>()[i]));
  }
  return scale > 0 ? difference / scale : difference;
}

Tensor<> required_tensor(const io::Safetensors& file, const std::string& name, const Shape* shape) {
  if (!file.contains(name)) throw CheckpointError(cat(file.description(), ": no tensor \"", name, "\"; a test vector is made by verify --write"));
  if (!is_floating(file.dtype(name)) || (shape && !(file.shape(name) == *shape)))
    throw CheckpointError(cat(file.description(), ": ", name, " must be floating", shape ? cat(" of shape ", *shape) : "", ", got ", file.dtype(name), file.shape(name)));
  const Tensor<> value = op::cast(file.get(name), DType::f32);
  const std::int64_t bad = op::first_non_finite(value);
  if (bad >= 0) throw NonFiniteError(cat(file.description(), ": ", name, ": element ", bad, " is not a finite number"));
  return value;
}

/// Prints one line for each tensor; the run fails if one is too far off.
class Verdict {
 public:
  explicit Verdict(double tolerance) : tolerance_(tolerance) {}
  void add(const std::string& name, double error) {
    const bool good = error <= tolerance_;
    char line[256];
    std::snprintf(line, sizeof line, "%-16s error %.3g  %s\n", name.c_str(), error, good ? "ok" : "TOO LARGE");
    text_ += line;
    if (!good) bad_ += cat(bad_.empty() ? "" : ", ", name);
  }
  void finish(const std::string& what) const {
    if (!bad_.empty()) throw Failure(ExitCode::failure, cat(what, ": ", bad_, ": further from the reference than ", tolerance_, " of its largest value\n", text_));
    std::fputs(text_.c_str(), stdout);
  }

 private:
  double tolerance_;
  std::string text_, bad_;
};

void compare_files(const std::string& a, const std::string& b, double tolerance) {
  const io::Safetensors left(a), right(b);
  Verdict verdict(tolerance);
  for (const std::string& name : right.names()) {
    if (!left.contains(name)) throw CheckpointError(cat(printable(a), ": no tensor \"", printable(name), "\", which ", printable(b), " has"));
    const Shape shape = right.shape(name);
    verdict.add(printable(name), error_of(required_tensor(left, name, &shape), required_tensor(right, name, nullptr)));
  }
  for (const std::string& name : left.names())
    if (!right.contains(name)) throw CheckpointError(cat(printable(b), ": no tensor \"", printable(name), "\", which ", printable(a), " has"));
  verdict.finish(printable(a));
}

/// What --weights int8 costs: every block with 8-bit weights against the same block as it is stored.
void verify_quantization(const Options& o, double tolerance) {
  Session session(o.common);
  cogvideox::Pipeline pipeline = session.open_pipeline();
  const cogvideox::PipelineConfig& c = pipeline.config();
  Progress progress(o.common.quiet);
  pipeline.set_callbacks(session.callbacks(progress));
  const Stop stop = session.stop();
  const StopScope scope(stop);
  Verdict verdict(tolerance);
  const auto add = [&](const std::string& block, double error) { verdict.add(block, error); };
  const std::vector<std::int64_t> ids = pipeline.tokenize(test_prompt).ids;
  const Tensor<> words = tensor_of(ids, {1, static_cast<std::int64_t>(ids.size())});
  Tensor<> text;
  {
    progress.stage("text");
    const auto encoder = pipeline.text_encoder(stop);
    text = (*encoder)(words, pipeline.dtype());
    cogvideox::quantization_errors(*encoder, words, pipeline.dtype(), add);
  }
  progress.stage("denoise");
  const auto network = pipeline.transformer(stop);
  const cogvideox::Request ask = test_request(c);
  const cogvideox::ClipSize size = pipeline.size_of(ask);
  const Shape shape{1, size.latent_frames, c.transformer.in_channels, size.latent_height, size.latent_width};
  const Tensor<> latents = op::cast(cogvideox::make_random(ask.rng, ask.seed)->normal(shape), pipeline.dtype());
  const std::vector<std::int64_t> halfway{c.scheduler.num_train_timesteps / 2};
  cogvideox::quantization_errors(*network, latents, text, halfway, network->positions(size.latent_frames, size.latent_height, size.latent_width), add);
  progress.finish();
  verdict.finish(cat(printable(o.common.model_folder()), ": --weights int8"));
}

void verify(const Options& o) {
  const std::optional<double> said = o.tolerance ? std::optional(number("--tolerance", *o.tolerance, 0, 1)) : std::nullopt;
  if (o.compare) {
    if (o.common.model || o.write) usage_error("--compare: compares two files, it takes neither --model nor --write");
    return compare_files(*o.compare, required(o.reference, "--reference"), said.value_or(0));
  }
  if (o.weights && choice<bool>("--weights", *o.weights, {{"stored", false}, {"int8", true}})) {
    if (o.write || o.reference) usage_error("--weights int8: compares blocks with themselves, it takes neither --write nor --reference");
    return verify_quantization(o, said.value_or(5e-2));
  }
  if (o.write && o.reference) usage_error("--write and --reference exclude each other");
  Session session(o.common);
  if (o.write) check_latents_output(*o.write);
  cogvideox::Pipeline pipeline = session.open_pipeline();
  const std::string path = o.reference.value_or((pipeline.folder().path() / "verify.safetensors").string());
  std::optional<io::Safetensors> reference;
  if (!o.write) {
    std::error_code error;
    if (!o.reference && !std::filesystem::exists(path, error)) throw Failure(ExitCode::file, cat(printable(path, 4096), ": does not exist; make a test vector with --write, or name one with --reference"));
    reference.emplace(path);
  }
  Progress progress(o.common.quiet);
  pipeline.set_callbacks(session.callbacks(progress));
  const Stop stop = session.stop();
  const auto exact = [&] {
    if (pipeline.dtype() != DType::f32 || !reference) return false;
    const auto type = reference->metadata().find("dtype");
    return type == reference->metadata().end() || type->second == "f32";
  };
  Verdict verdict(said.value_or(exact() ? 1e-4 : 5e-2));
  std::map<std::string, Tensor<>> made;
  /// The stage's own result when writing; its reference, after the comparison, when verifying.
  const auto stage = [&](const std::string& name, const Tensor<>& got) {
    const Tensor<> value = op::contiguous(op::cast(got, DType::f32));
    if (!reference) return made[name] = value;
    const Tensor<> expected = required_tensor(*reference, name, &value.shape());
    verdict.add(name, error_of(value, expected));
    return expected;
  };
  const Tensor<> embeds = stage("prompt_embeds", pipeline.encode_prompt(test_prompt, stop));
  const Tensor<> latents = stage("latents", denoised(pipeline, embeds, stop));
  const Tensor<> frames = stage("frames", decoded(pipeline, latents, stop));
  stage("moments", pipeline.encode(frames, stop));
  progress.finish();
  if (reference) return verdict.finish(printable(path, 4096));
  io::write_safetensors(*o.write, made, {{"format", "pt"}, {"prompt", test_prompt}, {"dtype", to_string(pipeline.dtype())}});
  print_path(*o.write);
}

}  // namespace

void add_verify(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("verify", "recompute a stored test vector stage by stage, or compare two files of tensors", [o] { verify(*o); });
  o->common.add_to(c);
  option(c, "--reference", o->reference, "test vector to compare with (default: MODEL/verify.safetensors)");
  option(c, "--write", o->write, "make a test vector of this model, .safetensors");
  option(c, "--compare", o->compare, "a file of tensors (latents of a run, say) to compare with --reference, instead of a model");
  option(c, "--weights", o->weights, "int8: what 8-bit weights cost, every block with them against the block as it is stored, relative to what the block adds");
  option(c, "--tolerance", o->tolerance, "largest difference as a share of the reference's largest value (default: f32 1e-4, 16 bits and --weights int8 5e-2, --compare 0)");
}

}  // namespace program
