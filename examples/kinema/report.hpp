// examples/kinema/report.hpp - kinema generate --report: what ran, for how long, how much it computed, and with which weights.
#pragma once

#include "production.hpp"

#include <kinema/io/file_writer.hpp>

#include <map>
#include <string>
#include <vector>

namespace program {

/// Gathers the report of a command and writes it, atomically, when everything else is done.
class Report {
 public:
  /// Refuses a path that cannot work: exit 2 for the name, 3 for the place.
  static void check(const std::string& path);
  /// Reads all weights of the model for their digests, which takes seconds for each gigabyte.
  Report(const std::string& path, const kinema::cogvideox::ModelFolder& model, const kinema::Stop& stop, Progress& progress);
  void write(const std::vector<Job>& jobs, const Progress& progress, int threads);
  const std::string& path() const { return path_; }

 private:
  struct Weights {
    std::string path, sha256;
    std::uint64_t bytes;
  };
  std::string path_;
  std::vector<Weights> weights_;
};

}  // namespace program
