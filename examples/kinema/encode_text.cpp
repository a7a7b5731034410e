// examples/kinema/encode_text.cpp - kinema encode-text and kinema tokenize.
#include "command_line.hpp"
#include "media.hpp"
#include "placement.hpp"
#include "progress.hpp"
#include "session.hpp"

#include <kinema/io/safetensors.hpp>

#include <cstdio>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options {
  Common common;
  MemoryOptions memory;
  Text prompt, output;
};

std::string prompt_of(const Options& o) {
  const std::string prompt = required(o.prompt, "--prompt");
  require_utf8("--prompt", prompt);
  return prompt;
}

void encode_text(const Options& o) {
  const std::string prompt = prompt_of(o), output = required(o.output, "--output");
  Session session(o.common);
  check_latents_output(output);
  cogvideox::Pipeline pipeline = session.open_pipeline();
  warn_about_lost_words("--prompt", pipeline.tokenize(prompt));
  pipeline.quantize_weights(o.memory.quantized().value_or(false));
  const PlannedModel planned(pipeline);
  cogvideox::PlanRequest need{.size = {}, .guided = false, .denoise = false, .decode = false, .dtype = pipeline.dtype(), .tile = {}, .quantized = pipeline.quantized(), .threads = session.threads()};
  const cogvideox::Plan plan = place(planned, need, {}, o.memory);
  if (o.memory.dry_run) {
    std::fputs(plan_text(planned, need, plan).c_str(), stdout);
    return;
  }
  pipeline.stream_weights(need.streamed);
  Progress progress(o.common.quiet);
  pipeline.set_callbacks(session.callbacks(progress));
  const Tensor<> embeddings = pipeline.encode_prompt(prompt, session.stop());  // [1, L, D]
  io::write_safetensors(output, {{"prompt_embeds", embeddings}}, {{"format", "pt"}});
  progress.finish();
  print_path(output);
}

void tokenize(const Options& o) {
  const std::string prompt = prompt_of(o);
  Session session(o.common);
  const text::Tokens tokens = session.open_pipeline().tokenize(prompt);
  warn_about_lost_words("--prompt", tokens);
  std::string line;
  for (const std::int64_t id : tokens.ids) line += cat(line.empty() ? "" : " ", id);
  std::printf("%s\n", line.c_str());
}

}  // namespace

void add_encode_text(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("encode-text", "text embeddings of a prompt, prompt_embeds [1, L, D]", [o] { encode_text(*o); });
  o->common.add_to(c);
  o->memory.add_to(c);
  option(c, "--prompt,-p", o->prompt, "the text");
  option(c, "--output,-o,--output-path", o->output, "what to write, .safetensors");
}

void add_tokenize(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("tokenize", "token ids of a prompt, padded and truncated as the pipeline does", [o] { tokenize(*o); });
  o->common.add_to(c, false);
  option(c, "--prompt,-p", o->prompt, "the text");
}

}  // namespace program
