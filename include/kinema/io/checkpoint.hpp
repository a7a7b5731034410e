// kinema/io/checkpoint.hpp - the weights of one model component: a single safetensors file, or shards with an index.
//
// Layout as diffusers and transformers publish it: BASE.safetensors, or BASE-00001-of-0000N.safetensors with
// BASE.safetensors.index.json, where BASE is diffusion_pytorch_model or model. A single file wins over an index. Everything
// is checked when the folder is opened; what is odd without being wrong is in warnings().
#pragma once

#include <kinema/io/safetensors.hpp>

#include <dirent.h>

#include <cstdio>

namespace kinema::inline KINEMA_ABI::io {

inline constexpr std::size_t max_shards = 10'000;  ///< files of one checkpoint
/// Which of the files of a checkpoint to open.
struct CheckpointOptions {
  /// "fp16" for BASE.fp16.safetensors. Never chosen silently.
  std::string variant;
};

namespace detail {

/// Names in a folder, sorted by bytes. Throws IoError.
inline std::vector<std::string> names_in_folder(const std::filesystem::path& folder) {
  refuse_nul(folder);
  struct stat s {};
  if (::stat(folder.c_str(), &s) != 0) throw_system_error(folder, "cannot open the folder");
  if (!S_ISDIR(s.st_mode))
    throw IoError(
        cat(shown(folder), ": must be a folder, is ", S_ISREG(s.st_mode) ? "a file" : kind_of_file(s.st_mode)));
  const std::unique_ptr<::DIR, int (*)(::DIR*)> dir(::opendir(folder.c_str()), [](::DIR* d) { return ::closedir(d); });
  if (!dir) throw_system_error(folder, "cannot open the folder");
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const ::dirent* e = ::readdir(dir.get());
    if (e == nullptr) break;
    const std::string_view name = e->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > 1'000'000) throw IoError(cat(shown(folder), ": more than 1000000 names in the folder"));
  }
  if (errno != 0) throw_system_error(folder, "cannot read the folder");
  std::sort(names.begin(), names.end());
  return names;
}

/// "a, b, c and 7 more".
inline std::string first_names(const std::vector<std::string>& names, std::size_t at_most = 20) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < at_most; ++i)
    out += cat(i == 0 ? "" : ", ", printable(names[i], 128));
  if (names.size() > at_most) out += cat(" and ", names.size() - at_most, " more");
  return out;
}

/// Shard names are names in the index's folder and nothing else: an index must not reach other files.
inline void check_shard_name(const Json& where, std::string_view name) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find_first_of(std::string_view("/\\\0:", 4)) == std::string_view::npos;
  if (!plain)
    where.fail(cat("a shard must be a plain file name without `/`, `\\`, `:` or `..`, got \"", printable(name), "\""));
  if (name.size() > 255) where.fail(cat("a shard's name has ", name.size(), " bytes, at most 255 are possible"));
  if (!name.ends_with(".safetensors"))
    where.fail(cat("a shard must be a .safetensors file (pickle is never read), got \"", printable(name), "\""));
}

}  // namespace detail

/// Weights by name, wherever they lie. Files stay mapped as long as the checkpoint or one of its tensors lives.
class Checkpoint : public TensorSource {
 public:
  /// `base` is "diffusion_pytorch_model" or "model". Throws IoError (files), ConfigError (the index), CheckpointError.
  static Checkpoint open(const std::filesystem::path& folder, std::string_view base,
                         const CheckpointOptions& options = {}) {
    const std::vector<std::string> names = detail::names_in_folder(folder);
    const auto there = [&](const std::string& name) { return std::binary_search(names.begin(), names.end(), name); };
    if (options.variant.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
      throw ArgumentError(cat("variant: must be a plain word such as fp16, got \"", printable(options.variant), "\""));
    const std::string infix = options.variant.empty() ? "" : "." + options.variant;
    const std::string single = cat(base, infix, ".safetensors");
    const std::string index = cat(base, ".safetensors.index", infix, ".json");
    Checkpoint c;
    if (there(single)) {
      c.add_shard(folder / single);
      c.description_ = shown(folder / single);
      for (const std::string& name : c.shards_[0].names()) c.place_.emplace(name, 0u);
      if (there(index))
        c.warnings_.push_back(cat(shown(folder), ": has both ", single, " and ", index, "; the single file is used"));
      return c;
    }
    if (there(index)) {
      c.description_ = shown(folder / index);
      c.read_index(folder, index, names);
      return c;
    }
    refuse_folder(folder, base, single, index, names);
  }
  /// One file with everything.
  static Checkpoint open_file(const std::filesystem::path& file) {
    Checkpoint c;
    c.add_shard(file);
    c.description_ = shown(file);
    for (const std::string& name : c.shards_[0].names()) c.place_.emplace(name, 0u);
    return c;
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    out.reserve(place_.size());
    for (const auto& [name, shard] : place_) out.push_back(name);
    return out;
  }
  bool contains(std::string_view name) const override { return place_.find(name) != place_.end(); }
  Shape shape(std::string_view name) const override { return shard_of(name).shape(name); }
  DType dtype(std::string_view name) const override { return shard_of(name).dtype(name); }
  Tensor<> get(std::string_view name) const override { return shard_of(name).get(name); }
  void forget(std::string_view name) const override { shard_of(name).forget(name); }
  void prefetch(std::string_view name) const override { shard_of(name).prefetch(name); }
  std::string description() const override { return description_; }

  /// The files, in the order of their names.
  const std::vector<Safetensors>& shards() const { return shards_; }
  /// The file that holds a tensor. Throws CheckpointError if none does.
  const Safetensors& shard_of(std::string_view name) const {
    const auto it = place_.find(name);
    if (it == place_.end()) throw CheckpointError(cat(description_, ": has no tensor `", printable(name), "`"));
    return shards_[it->second];
  }
  /// Bytes of all tensors, as stored.
  std::uint64_t tensor_bytes() const {
    std::uint64_t sum = 0;
    for (const Safetensors& s : shards_) sum += s.file().bytes().size() - s.header().data;
    return sum;
  }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  Checkpoint() = default;

  void add_shard(const std::filesystem::path& path) {
    shards_.emplace_back(path);
    tensors_ += shards_.back().header().entries.size();
    if (tensors_ > max_safetensors_tensors)
      throw IoError(cat(shown(path), ": more than ", max_safetensors_tensors, " tensors in one model"));
  }

  void read_index(const std::filesystem::path& folder, const std::string& index,
                  const std::vector<std::string>& names) {
    const Json json = Json::read(folder / index, index_limits);
    const Json map = json.expect(JsonKind::object).at("weight_map").expect(JsonKind::object);
    if (map.size() == 0) map.fail("must name at least one tensor, is empty");
    if (map.size() > max_safetensors_tensors)
      map.fail(cat("names ", map.size(), " tensors, at most ", max_safetensors_tensors, " are read"));
    std::map<std::string, std::size_t> files;  // shard name → its place in shards_
    for (std::size_t i = 0; i < map.size(); ++i) {
      const Json value = map.at(i);
      const std::string& file = value.as_string();
      detail::check_shard_name(value, file);
      files.emplace(file, 0);
      if (files.size() > max_shards) map.fail(cat("names more than ", max_shards, " shards"));
    }
    require_files(folder, index, files, names);
    for (auto& [file, place] : files) {
      place = shards_.size();
      add_shard(folder / file);
    }
    place_tensors(map, files);
    note_oddities(json, index, files, names);
  }

  static void require_files(const std::filesystem::path& folder, const std::string& index,
                            const std::map<std::string, std::size_t>& files, const std::vector<std::string>& names) {
    std::vector<std::string> missing;
    for (const auto& [file, place] : files) {
      if (std::binary_search(names.begin(), names.end(), file)) continue;
      std::string text = file;
      for (const std::string& n : names)
        if (detail::equal_ignoring_case(n, file)) text += cat(" (there is ", n, ")");
      missing.push_back(std::move(text));
    }
    if (!missing.empty())
      throw IoError(
          cat(shown(folder / index), ": ", missing.size(),
              missing.size() == 1 ? " shard is missing: " : " shards are missing: ", detail::first_names(missing)));
  }

  void place_tensors(const Json& map, const std::map<std::string, std::size_t>& files) {
    std::map<std::string, std::size_t, std::less<>> stored;  // tensor → shard, over everything stored
    for (std::size_t s = 0; s < shards_.size(); ++s) {
      for (const SafetensorsEntry& e : shards_[s].header().entries) {
        const auto [it, is_new] = stored.emplace(e.name, s);
        if (!is_new)
          throw CheckpointError(cat(description_, ": tensor `", printable(e.name), "` is stored in two shards: ",
                                    shards_[it->second].description(), " and ", shards_[s].description()));
      }
    }
    std::vector<std::string> absent;
    for (std::size_t i = 0; i < map.size(); ++i) {
      const std::string& name = map.keys()[i];
      const std::string& listed = map.at(i).as_string();
      const auto it = stored.find(name);
      if (it == stored.end()) {
        absent.push_back(name);
        continue;
      }
      if (it->second != files.at(listed))
        throw CheckpointError(cat(description_, ": tensor `", printable(name), "` is listed in ", printable(listed),
                                  ", but stored in ", shards_[it->second].description()));
      place_.emplace(name, it->second);
    }
    if (!absent.empty())
      throw CheckpointError(cat(
          description_, ": ", absent.size(),
          absent.size() == 1 ? " tensor is in no shard: " : " tensors are in no shard: ", detail::first_names(absent)));
    std::vector<std::string> unlisted;
    for (const auto& [name, shard] : stored)
      if (!place_.count(name)) unlisted.push_back(name);
    if (!unlisted.empty())
      warnings_.push_back(cat(description_, ": stored but not listed, ignored: ", detail::first_names(unlisted)));
  }

  void note_oddities(const Json& json, const std::string& index, const std::map<std::string, std::size_t>& files,
                     const std::vector<std::string>& names) {
    const std::string stem = index.substr(0, index.find(".safetensors.index"));
    std::vector<std::string> extra;
    for (const std::string& n : names)
      if (n.starts_with(stem + "-") && n.ends_with(".safetensors") && !files.count(n)) extra.push_back(n);
    if (!extra.empty())
      warnings_.push_back(
          cat(description_, ": shards that the index does not list, ignored: ", detail::first_names(extra)));
    // total_size is wrong in the wild; it decides nothing.
    if (!json.has("metadata") || !json.at("metadata").is_object() || !json.at("metadata").has("total_size")) return;
    const Json size = json.at("metadata").at("total_size");
    if (size.kind() != JsonKind::integer || size.as_number() != static_cast<double>(tensor_bytes()))
      warnings_.push_back(
          cat(size.where(), ": says ",
              size.kind() == JsonKind::integer ? cat(size.as_number()) : std::string(name_of(size.kind())),
              " bytes, the shards have ", tensor_bytes()));
  }

  /// Neither file nor index: says what is there instead.
  [[noreturn]] static void refuse_folder(const std::filesystem::path& folder, std::string_view base,
                                         const std::string& single, const std::string& index,
                                         const std::vector<std::string>& names) {
    std::vector<std::string> variants, shards, pickles, unfinished, others;
    const std::string dot = cat(base, "."), dash = cat(base, "-"), indexed = cat(base, ".safetensors.index.");
    for (const std::string& n : names) {
      if (n.ends_with(".incomplete") || n.ends_with(".part") || n.ends_with(".crdownload") || n.ends_with(".aria2"))
        unfinished.push_back(n);
      else if (n.starts_with(indexed) && n.ends_with(".json")) variants.push_back(n);
      else if (n.starts_with(dot) && n.ends_with(".safetensors")) variants.push_back(n);
      else if (n.starts_with(dash) && n.ends_with(".safetensors")) shards.push_back(n);
      else if (n.ends_with(".bin") || n.ends_with(".pt") || n.ends_with(".pth") || n.ends_with(".ckpt") ||
               n.ends_with(".pkl"))
        pickles.push_back(n);
      else if (n.ends_with(".safetensors")) others.push_back(n);
    }
    const std::string where = cat(shown(folder), ": ");
    if (!variants.empty())
      throw CheckpointError(cat(where, "has no ", single,
                                ", only variants, of which one must be chosen: ", detail::first_names(variants)));
    if (!shards.empty())
      throw CheckpointError(
          cat(where, "has shards (", detail::first_names(shards, 3), "), but not their index ", index));
    if (!unfinished.empty())
      throw IoError(
          cat(where, "has no ", single, "; an unfinished download is there: ", detail::first_names(unfinished)));
    if (!pickles.empty())
      throw IoError(cat(where, "has only pickle weights (", detail::first_names(pickles),
                        "); pickle is never read, convert to safetensors"));
    throw IoError(cat(where, "has neither ", single, " nor ", index,
                      others.empty() ? std::string() : cat("; there is ", detail::first_names(others))));
  }

  std::vector<Safetensors> shards_;
  std::map<std::string, std::size_t, std::less<>> place_;
  std::string description_;
  std::vector<std::string> warnings_;
  std::size_t tensors_ = 0;
};

/// Writes a component's weights as published: one file, or shards with an index where they exceed the limit (greedy in the
/// order of declaration, as save_pretrained does). Holds no tensor; all files appear together in finish().
class CheckpointWriter {
 public:
  static constexpr std::uint64_t default_shard_bytes = 10'000'000'000;  ///< of save_pretrained

  CheckpointWriter(const std::filesystem::path& folder, std::string_view base,
                   const std::vector<TensorDeclaration>& tensors, std::uint64_t max_shard_bytes = default_shard_bytes,
                   const Metadata& metadata = {})
      : folder_(folder), base_(base) {
    std::vector<std::vector<TensorDeclaration>> parts(1);
    std::uint64_t size = 0;
    for (const TensorDeclaration& t : tensors) {
      if (!parts.back().empty() && t.bytes() > max_shard_bytes - std::min(size, max_shard_bytes)) {
        parts.emplace_back();
        size = 0;
      }
      size += t.bytes();
      total_ += t.bytes();
      parts.back().push_back(t);
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      std::string name = cat(base_, ".safetensors");
      if (parts.size() > 1) {
        char number[80];
        std::snprintf(number, sizeof number, "-%05zu-of-%05zu.safetensors", i + 1, parts.size());
        name = base_ + number;
      }
      for (const TensorDeclaration& t : parts[i])
        if (!place_.emplace(t.name, i).second)
          throw ArgumentError(cat("checkpoint: two tensors called `", printable(t.name), "`"));
      names_.push_back(name);
      shards_.push_back(std::make_unique<SafetensorsWriter>(folder_ / name, std::move(parts[i]), metadata));
    }
  }
  /// As SafetensorsWriter::add.
  void add(std::string_view name, const Tensor<>& t) {
    const auto it = place_.find(name);
    if (it == place_.end()) throw ArgumentError(cat("checkpoint: tensor `", printable(name), "` was not declared"));
    shards_[it->second]->add(name, t);
  }
  /// File names of the shards.
  const std::vector<std::string>& shard_names() const { return names_; }
  /// The shards take their names, then the index.
  void finish() {
    for (const auto& s : shards_) s->seal();
    for (const auto& s : shards_) s->finish();
    if (shards_.size() < 2) return;
    JsonWriter json;
    json.begin_object()
        .key("metadata")
        .begin_object()
        .field("total_size", total_)
        .end()
        .key("weight_map")
        .begin_object();
    for (const auto& [name, shard] : place_) json.field(name, names_[shard]);
    json.end().end();
    write_file(folder_ / cat(base_, ".safetensors.index.json"), json.text() + "\n");
  }

 private:
  std::filesystem::path folder_;
  std::string base_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<SafetensorsWriter>> shards_;
  std::map<std::string, std::size_t, std::less<>> place_;
  std::uint64_t total_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI::io
