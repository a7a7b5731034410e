// examples/generate.cpp - the shortest program that makes a video from a sentence. README.md shows its middle.
// [generate]
#include <kinema/io/frames.hpp>
#include <kinema/model/cogvideox/pipeline.hpp>
using namespace kinema;

void generate(const char* model, const char* prompt, const char* output) {
  const cogvideox::Pipeline pipeline = cogvideox::Pipeline::load(model);
  cogvideox::Request ask;
  ask.prompt = prompt;
  ask.guidance = 4;
  ask.seed = 42;
  const auto video = io::make_frame_sink(output, pipeline.config().frames_per_second());
  pipeline.generate(ask, [&](const Tensor<>& frames, std::int64_t) { video->add(frames); });
  video->finish();
}
// [generate]

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: generate MODEL_FOLDER PROMPT OUTPUT.mp4\n"), 2;
  try {
    generate(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const std::exception& e) {
    return std::fprintf(stderr, "error: %s\n", e.what()), 1;
  }
}
