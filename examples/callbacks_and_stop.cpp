// examples/callbacks_and_stop.cpp - watching a generation, stopping it, keeping it on disk, and two clips at once.
//
// A call ends soon after its stop token is requested; its pipeline is then as good as new, and what was denoised so far is
// a value that can be stored and continued to the same bits.
#include <kinema/io/frames.hpp>
#include <kinema/model/cogvideox/pipeline.hpp>
#include <kinema/model/cogvideox/run_file.hpp>

#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <stop_token>
#include <thread>

using namespace kinema;

namespace {

bool equal(const Tensor<>& a, const Tensor<>& b) { return a.bytes() == b.bytes() && std::memcmp(a.ref().data, b.ref().data, a.bytes()) == 0; }

/// Denoises until step 3 is done, writes the state to a file, reads it back and finishes.
Tensor<> in_two_sittings(cogvideox::Pipeline& pipeline, const cogvideox::Request& ask, const std::filesystem::path& file) {
  std::stop_source stop;
  cogvideox::Callbacks callbacks;
  callbacks.on_stage = [](std::string_view name, std::int64_t steps) { std::printf("%.*s, %lld steps\n", static_cast<int>(name.size()), name.data(), static_cast<long long>(steps)); };
  callbacks.on_step = [](std::int64_t done) { std::printf("  step %lld\n", static_cast<long long>(done)); };
  callbacks.on_state = [&](const cogvideox::Denoising& state) {
    if (state.done == 3) stop.request_stop();  // as a signal handler, a window or another thread would
  };
  pipeline.set_callbacks(callbacks);
  cogvideox::Denoising state = pipeline.begin(ask);
  try {
    pipeline.denoise(ask, state, stop.get_token());
  } catch (const Interrupted&) {
    std::printf("stopped after step %lld\n", static_cast<long long>(state.done));
  }
  cogvideox::write_run(file, state, pipeline.size_of(ask).surplus, ask.prompt);

  pipeline.set_callbacks({});
  cogvideox::RunFile run = cogvideox::read_run(file);
  pipeline.denoise(ask, run.state);
  return run.state.latents;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: callbacks_and_stop MODEL_FOLDER FILE.run.safetensors\n"), 2;
  auto pipeline = cogvideox::Pipeline::load(argv[1]);
  cogvideox::Request ask;
  ask.prompt = "a red circle moves right on a black background";
  ask.steps = 6;
  const Tensor<> continued = in_two_sittings(pipeline, ask, argv[2]);

  // Another clip of the same weights in another thread, while this one makes the first again. Each has its own threads,
  // memory pool and callbacks; holding the transformer makes both use one copy of it.
  cogvideox::Request other = ask;
  other.seed = 7;
  const auto held = pipeline.transformer();
  Tensor<> second;
  std::exception_ptr failure;
  std::jthread worker([&, clone = pipeline.clone()] {
    CpuContext context(1);
    const CpuScope scope(context);
    try {
      second = clone.sample(other);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  const Tensor<> whole = pipeline.sample(ask);
  worker.join();
  if (failure) std::rethrow_exception(failure);

  if (!equal(whole, continued)) throw Error("the continued run differs from the undisturbed one");
  if (equal(whole, second)) throw Error("another seed made the same clip");
  std::printf("the continued run equals the undisturbed one, bit for bit\n");
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
