// examples/kinema/init.cpp - kinema init: a model folder with random weights, to try speed and memory with.
#include "command_line.hpp"
#include "media.hpp"
#include "progress.hpp"

#include <kinema/model/cogvideox/presets.hpp>

#include <memory>

namespace program {
namespace {

struct Options {
  Common common;
  Text preset, seed, output;
};

void init(const Options& o) {
  const auto preset = kinema::cogvideox::preset(required(o.preset, "--preset"));
  const auto seed = o.seed ? static_cast<std::uint64_t>(integer("--seed", *o.seed, 0, std::numeric_limits<std::int64_t>::max())) : 0;
  const std::string folder = required(o.output, "--output");
  kinema::CpuContext context(o.common.thread_count());
  const kinema::CpuScope scope(context);
  Progress progress(o.common.quiet);
  progress.stage("write weights");
  std::int64_t written = 0;
  kinema::cogvideox::write_random_model(preset, folder, seed, [&](const std::string&) { progress.step(++written); });
  progress.finish();
  print_path(folder);
}

}  // namespace

void add_init(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("init", "write a model folder with random weights in the published layout", [o] { init(*o); });
  option(c, "--preset", o->preset, "cogvideox-2b, 5b, 5b-i2v, 1.5-5b, 1.5-5b-i2v, tiny or tiny-i2v");
  option(c, "--seed,-s", o->seed, "seed of the weights (default: 0)");
  option(c, "--output,-o", o->output, "folder to create");
  option(c, "--threads,-t", o->common.threads, "threads (default: all processors)");
  c->add_flag("--quiet,-q", o->common.quiet, "no progress on stderr");
}

}  // namespace program
