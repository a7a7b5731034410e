// tests/threads/two_pipelines.cpp - several pipelines in several threads of one process, for ThreadSanitizer too: a clone, a
// pipeline of its own, and one that is stopped and used again, each with two threads and a file; the same frames as alone.
#include <kinema/io/frames.hpp>
#include <kinema/model/cogvideox/pipeline.hpp>

#include <cstdio>
#include <exception>
#include <thread>

using namespace kinema;

namespace {

using Bytes = std::vector<float>;

cogvideox::Request request(std::uint64_t seed) {
  cogvideox::Request ask;
  ask.prompt = "a red circle moves right on a black background";
  ask.num_frames = 9;
  ask.steps = 2;
  ask.seed = seed;
  return ask;
}

/// The frames of a clip, which also goes to `file` unless that is empty.
Bytes frames_of(const cogvideox::Pipeline& pipeline, std::uint64_t seed, const std::string& file = "", const Stop& stop = {}) {
  Bytes all;
  const auto sink = file.empty() ? nullptr : io::make_frame_sink(file, 8, {{"seed", std::to_string(seed)}});
  pipeline.generate(request(seed), [&](const Tensor<>& frames, std::int64_t) {
    all.insert(all.end(), frames.data<float>(), frames.data<float>() + frames.numel());
    if (sink) sink->add(frames);
  }, stop);
  if (sink) sink->finish();
  return all;
}

/// A call of `pipeline` that another thread stops at its first step.
void stopped(cogvideox::Pipeline& pipeline) {
  std::stop_source source;
  std::jthread other;
  cogvideox::Callbacks callbacks;
  callbacks.on_step = [&](std::int64_t done) { if (done == 1) other = std::jthread([&] { source.request_stop(); }), other.join(); };
  pipeline.set_callbacks(callbacks);
  try {
    frames_of(pipeline, 1, "", Stop(source.get_token()));
    throw Error("a stopped call ends as if nothing had happened");
  } catch (const Interrupted&) {
  }
  pipeline.set_callbacks({});
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: two_pipelines MODEL_FOLDER OUTPUT_FOLDER\n"), 2;
  const std::string model = argv[1], folder = argv[2];
  const auto pipeline = cogvideox::Pipeline::load(model);
  const Bytes alone[2] = {frames_of(pipeline, 1), frames_of(pipeline, 2)};

  const auto held = pipeline.transformer();
  Bytes got[3];
  std::exception_ptr failed[3];
  {
    std::vector<std::jthread> threads;
    const auto in_thread = [&](std::size_t i, auto work) {
      threads.emplace_back([&got, &failed, i, work]() mutable {
        CpuContext context(2);
        const CpuScope scope(context);
        try {
          got[i] = work();
        } catch (...) {
          failed[i] = std::current_exception();
        }
      });
    };
    in_thread(0, [&, mine = std::make_shared<cogvideox::Pipeline>(pipeline.clone())] { return frames_of(*mine, 1, folder + "/a.png"); });
    in_thread(1, [&] { return frames_of(cogvideox::Pipeline::load(model), 2, folder + "/b.avi"); });
    in_thread(2, [&, mine = std::make_shared<cogvideox::Pipeline>(pipeline.clone())] {
      stopped(*mine);
      return frames_of(*mine, 1, folder + "/c.apng");
    });
  }
  for (const std::exception_ptr& f : failed)
    if (f) std::rethrow_exception(f);
  if (alone[0] == alone[1]) throw Error("two seeds make one video");
  if (got[0] != alone[0] || got[1] != alone[1] || got[2] != alone[0]) throw Error("a pipeline beside others makes other frames than alone");
  std::printf("three pipelines beside each other make the same frames as alone\n");
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}
