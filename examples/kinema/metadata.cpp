// examples/kinema/metadata.cpp - kinema metadata: the parameters that a video was made with.
#include "command_line.hpp"
#include "media.hpp"
#include "recipe.hpp"

#include <kinema/io/safetensors.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options { Text path; };

/// The JSON text that belongs to a file, and where it stood.
struct Found { std::string text, where; };

Found found_in(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().native();
  if (extension == ".safetensors") {
    const io::Safetensors file(path);
    const auto entry = file.metadata().find("kinema");
    if (entry != file.metadata().end()) return {entry->second, cat(path, ": kinema")};
  }
  const std::string json = extension == ".json" ? path : side_car_path(path);
  std::error_code error;
  if (extension != ".json" && !std::filesystem::exists(json, error)) {
    io::RegularFile must_exist(path);
    throw Failure(ExitCode::file, cat(printable(path, 4096), ": carries no parameters of kinema, and there is no ", printable(json, 4096)));
  }
  return {io::read_file(json, io::JsonLimits().bytes), json};
}

void metadata(const Options& o) {
  const Found found = found_in(required(o.path, "FILE"));
  const io::Json json = io::Json::parse(found.text, found.where);
  if (!json.has("kinema") || !json.has("request")) throw Failure(ExitCode::file, cat(json.where(), ": holds no parameters of kinema"));
  std::printf("%s\n", read_recipe(json).json().c_str());
}

}  // namespace

void add_metadata(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("metadata", "the parameters that a video, its latents or an unfinished run were made with, as JSON", [o] { metadata(*o); });
  option(c, "file", o->path, "video, .safetensors of generate, or side-car");
}

}  // namespace program
