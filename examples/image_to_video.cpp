// examples/image_to_video.cpp - a picture starts to move: an image-to-video model, its request, and where the time went.
#include <kinema/io/frames.hpp>
#include <kinema/model/cogvideox/pipeline.hpp>

#include <cstdio>
#include <exception>

using namespace kinema;

int main(int argc, char** argv) try {
  if (argc != 5) return std::fprintf(stderr, "usage: image_to_video MODEL_FOLDER PICTURE PROMPT OUTPUT.mp4\n"), 2;
  const cogvideox::Pipeline pipeline = cogvideox::Pipeline::load(argv[1]);

  cogvideox::Request ask;  // sizes, frames and sampler that are not set come from the checkpoint
  ask.image = io::read_image(argv[2]);
  ask.prompt = argv[3];
  ask.steps = 20;
  const cogvideox::ClipSize size = pipeline.check(ask);  // refuses what the model cannot do, before any work
  std::printf("%lld frames of %lldx%lld\n", static_cast<long long>(size.decoded_frames), static_cast<long long>(size.width), static_cast<long long>(size.height));

  const auto video = io::make_frame_sink(argv[4], pipeline.config().frames_per_second());
  const cogvideox::Result result = pipeline.generate(ask, [&](const Tensor<>& frames, std::int64_t) { video->add(frames); });
  video->finish();
  for (const cogvideox::StageTime& stage : result.stages) std::printf("%-8s %8.2f s\n", stage.name.c_str(), stage.seconds);
  return 0;
} catch (const kinema::ArgumentError& e) {  // the request: what was asked, the rule, the nearest value that works
  return std::fprintf(stderr, "error: %s\n", e.what()), 2;
} catch (const kinema::NonFiniteError& e) {  // the numbers left their range
  return std::fprintf(stderr, "error: %s\n", e.what()), 6;
} catch (const std::exception& e) {  // files, memory, and everything else
  return std::fprintf(stderr, "error: %s\n", e.what()), 1;
}
