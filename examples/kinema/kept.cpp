// examples/kinema/kept.cpp - unfinished runs and latents beside the output.
#include "kept.hpp"

#include "failure.hpp"
#include "media.hpp"

#include <kinema/model/cogvideox/run_file.hpp>
#include <kinema/text/utf8.hpp>

#include <algorithm>
#include <filesystem>

namespace program {

using namespace kinema;

std::string free_name(const std::string& output, const std::string& kind) {
  const std::filesystem::path path(output), beside = path.parent_path() / path.stem();
  for (int i = 1;; ++i) {
    const std::string name = cat(beside.native(), ".", kind, i == 1 ? "" : cat("-", i), ".safetensors");
    std::error_code error;
    if (std::filesystem::symlink_status(name, error).type() == std::filesystem::file_type::not_found || i == 10'000) return name;
  }
}

std::string shell_text(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("_@%+=:,./-").find(c) != std::string_view::npos; };
    const bool text = text::first_malformed_utf8(word) == word.size();
    const auto is_odd = [&](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || (!text && static_cast<unsigned char>(c) >= 0x80); };
    std::string quoted = word;
    if (word.empty() || !std::all_of(word.begin(), word.end(), is_plain)) {
      // What a terminal would not show as it is, $'…' writes as escapes.
      const bool escaped = std::any_of(word.begin(), word.end(), is_odd);
      quoted = escaped ? "$'" : "'";
      for (const char c : word) {
        if (c == '\'') quoted += escaped ? "\\'" : "'\\''";
        else if (escaped && c == '\\') quoted += "\\\\";
        else if (is_odd(c)) (quoted += '\\') += {static_cast<char>('0' + (c >> 6 & 3)), static_cast<char>('0' + (c >> 3 & 7)), static_cast<char>('0' + (c & 7))};
        else quoted += c;
      }
      quoted += '\'';
    }
    out += (out.empty() ? "" : " ") + quoted;
  }
  return out;
}

bool Kept::write_run(const cogvideox::Denoising& state, std::int64_t surplus, const std::string& document) {
  if (steps_in_run() == state.done) return true;
  const std::string path = run_.empty() ? free_name(output_, "run") : run_;
  try {
    cogvideox::write_run(path, state, surplus, document);
  } catch (const IoError& e) {
    warn(cat("the unfinished run could not be kept: ", e.what()));
    return false;
  }
  run_ = path;
  steps_ = state.done;
  return true;
}

void Kept::keep_run(const cogvideox::Denoising& state, std::int64_t surplus, const std::string& document) { write_run(state, surplus, document); }

void Kept::keep_latents(const cogvideox::Denoising& state, std::int64_t surplus, const Documents& documents, const std::string& path) {
  asked_for_ = !path.empty();
  if (!run_.empty() && write_run(state, surplus, documents.run)) latents_ = run_;
  const auto write = [&](const std::string& name) {
    write_latents(name, state.latents, "pipeline", surplus, documents.latents);
    latents_ = name;
  };
  if (asked_for_) {
    try {
      write(path);
    } catch (const IoError&) {
      if (latents_.empty()) keep_latents(state, surplus, documents, "");
      throw;
    }
  } else if (latents_.empty()) {
    try {
      write(free_name(output_, "latents"));
    } catch (const IoError& e) {
      warn(cat("the latents could not be kept while the video is decoded: ", e.what()));
    }
  }
}

void Kept::discard() {
  std::error_code ignored;
  if (!run_.empty()) std::filesystem::remove(run_, ignored);
  if (!asked_for_ && !latents_.empty()) std::filesystem::remove(latents_, ignored);
}

void Kept::keep_latents_only() {
  std::error_code ignored;
  if (!run_.empty() && run_ != latents_) std::filesystem::remove(run_, ignored);
}

}  // namespace program
