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

/// The JSON text that belongs to a file, and where it stood; none if there is no such text.
struct Found { std::string text, where; };

Recipe recipe_in(const Found& found) {
  const io::Json json = io::Json::parse(found.text, found.where);
  if (!json.has("kinema") || !json.has("request")) throw Failure(ExitCode::file, cat(json.where(), ": holds no parameters of kinema"));
  return read_recipe(json);
}

std::optional<Found> found_inside(const std::string& path) {
  if (std::filesystem::path(path).extension() == ".safetensors") {
    const io::Safetensors file(path);
    const auto entry = file.metadata().find("kinema");
    return entry == file.metadata().end() ? std::nullopt : std::optional(Found{entry->second, cat(path, ": kinema")});
  }
  for (const auto& [name, text] : io::read_tags(path))
    if (name == "kinema") return Found{text, cat(path, ": kinema")};
  return std::nullopt;
}

/// A side-car says more (folders) than the tags of the same run, but may be that of an older file.
Found found_in(const std::string& path) {
  if (std::filesystem::path(path).extension() == ".json") return {io::read_file(path, io::JsonLimits().bytes), path};
  std::error_code error;
  const std::string side_car = side_car_path(path);
  std::optional<Found> beside;
  if (std::filesystem::exists(side_car, error)) beside = Found{io::read_file(side_car, io::JsonLimits().bytes), side_car};
  // A pattern such as frame_%05d.png is no file; arrays have no place for tags.
  const bool is_file = std::filesystem::exists(path, error), is_array = std::filesystem::path(path).extension() == ".npy";
  const std::optional<Found> inside = (is_file && !is_array) || !beside ? found_inside(path) : std::nullopt;
  if (inside && beside && recipe_in(*beside).json(true) == recipe_in(*inside).json(true)) return *beside;
  if (inside) return *inside;
  if (beside) return *beside;
  throw Failure(ExitCode::file, cat(printable(path, 4096), ": carries no parameters of kinema, and there is no ", printable(side_car, 4096)));
}

void metadata(const Options& o) { std::printf("%s\n", recipe_in(found_in(required(o.path, "FILE"))).json().c_str()); }

}  // namespace

void add_metadata(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("metadata", "the parameters that a video, its latents or an unfinished run were made with, as JSON", [o] { metadata(*o); });
  option(c, "file", o->path, "video, .safetensors of generate, or side-car");
}

}  // namespace program
