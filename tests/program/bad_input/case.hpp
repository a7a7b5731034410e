// tests/program/bad_input/case.hpp - one command with what it must answer; the lists in cases_*.cpp are made of these.
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace bad_input {

using Words = std::vector<std::string>;

/// The folder of one case, current while its command runs. `model` in it is a link to a valid model that others share,
/// `i2v` one to an image-to-video model; `made/` one to the files of Fixtures.
class Folder {
 public:
  Folder(std::filesystem::path path, std::filesystem::path shared) : path_(std::move(path)), shared_(std::move(shared)) {}
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Writes a file; makes its folders.
  void file(const std::string& name, const std::string& bytes) const;
  std::string read(const std::string& name) const;
  void link(const std::string& target, const std::string& name) const { std::filesystem::create_symlink(target, path_ / name); }
  void folder(const std::string& name) const { std::filesystem::create_directories(path_ / name); }
  /// Makes `model` (or `i2v`) a copy of its own, whose files may be replaced.
  void own_model(const std::string& name = "model") const;
  /// Replaces the only occurrence of `from` in a file; `model/…` becomes a copy first.
  void edit(const std::string& name, const std::string& from, const std::string& to) const;
  /// Replaces a file of the model, or removes it (and folders) where `bytes` is null.
  void replace(const std::string& name, const std::string& bytes) const;
  void remove(const std::string& name) const;

 private:
  std::filesystem::path path_, shared_;
};

enum class Output { captured, closed, full };

/// What surrounds the command.
struct Surroundings {
  std::vector<std::pair<std::string, std::string>> environment;  ///< instead of the usual one, if `empty` or not
  bool empty_environment = false;
  std::vector<std::pair<int, unsigned long>> limits;  ///< of setrlimit
  Output standard_output = Output::captured;
  bool closed_input = false;
  bool unprivileged = false;   ///< as nobody, if the test runs as root
  bool needs_small_disk = false;  ///< a file system of 64 KiB in `disk`; the case is left out where none can be made
  bool needs_locale = false;   ///< a locale with a comma as its decimal point; left out where there is none
};

struct Case {
  std::string name;
  std::vector<int> codes;   ///< allowed exit codes
  Words words;              ///< stderr must contain all of them; of an accepted case, stdout or stderr
  Words arguments;
  std::function<void(const Folder&)> prepare = {};
  Surroundings around = {};
  bool may_write = false;   ///< accepted, and leaves files
  Words keeps = {};         ///< a refused case may leave these
  bool accepted() const { return codes.size() == 1 && codes[0] == 0; }
};

using Cases = std::vector<Case>;

// The lists, in the order of the catalogue.
void add_safetensors(Cases& cases);
void add_files(Cases& cases);
void add_model_folders(Cases& cases);
void add_configs(Cases& cases);
void add_tokenizers(Cases& cases);
void add_prompts(Cases& cases);
void add_media(Cases& cases);
void add_arguments(Cases& cases);
void add_machine(Cases& cases);

/// `generate` on the tiny model, two steps, quietly, with more arguments.
Words generate(std::initializer_list<std::string> more);
Words tokenize(std::initializer_list<std::string> more = {});

}  // namespace bad_input
