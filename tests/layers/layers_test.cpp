// tests/layers/layers_test.cpp - the include graph obeys the layers, third parties have one includer each, device syntax
// stays in .cuh files, and the umbrella headers are complete.
//
// The rules are applied to the tree, which must pass, and to spoiled copies of it in memory, which must not.
// KINEMA_UPDATE=1 in the environment rewrites the generated umbrella headers.
#include "support/catch.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Tree = std::map<std::string, std::string>;  // path below include/ → text
using Strings = std::vector<std::string>;

const fs::path include_folder = KINEMA_INCLUDE_FOLDER;

bool starts_with(const std::string& s, const std::string& start) { return s.rfind(start, 0) == 0; }
bool ends_with(const std::string& s, const std::string& end) { return s.size() >= end.size() && s.compare(s.size() - end.size(), end.size(), end) == 0; }
bool contains(const std::string& s, const std::string& part) { return s.find(part) != std::string::npos; }
std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

Tree read_tree() {
  Tree tree;
  for (const auto& entry : fs::recursive_directory_iterator(include_folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    tree[fs::relative(entry.path(), include_folder).generic_string()] = text.str();
  }
  return tree;
}

/// What stands between <> in the #include lines, in order.
Strings includes(const std::string& text) {
  Strings found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t word = line.find_first_not_of(" \t#");
    if (line.find('#') > word || word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
    const std::size_t from = line.find('<'), to = line.find('>');
    if (from != std::string::npos && to != std::string::npos) found.push_back(line.substr(from + 1, to - from - 1));
  }
  return found;
}

/// The part of a path that has a layer: "core", "kernel/cpu", "model" …
std::string part_of(const std::string& path) {
  for (const char* backend : {"kinema/kernel/cpu/", "kinema/kernel/cuda/"})
    if (starts_with(path, backend)) return std::string(backend).substr(7, std::string(backend).size() - 8);
  const std::string rest = path.substr(7);
  const std::size_t slash = rest.find('/');
  if (slash != std::string::npos) return rest.substr(0, slash);
  return rest == "kinema.hpp" ? "umbrella" : "core";  // fwd.hpp, version.hpp
}

const std::map<std::string, int> layer = {
    {"core", 0}, {"tensor", 1},    {"runtime", 1}, {"kernel", 2}, {"kernel/cpu", 3}, {"kernel/cuda", 3}, {"autograd", 3}, {"comm", 3},  {"io", 3},
    {"text", 3}, {"op", 4},        {"nn", 5},      {"diffusion", 6}, {"optim", 6},   {"data", 6},        {"model", 7},    {"train", 8}, {"umbrella", 9}};

/// tensor and runtime are one layer of two folders that need each other; elsewhere neighbours do not know each other.
bool allowed(const std::string& from, const std::string& to) {
  const std::string a = part_of(from), b = part_of(to);
  if (a == b) return true;
  if (b == "kernel/cpu" || b == "kernel/cuda") return false;  // definitions; the callers above see contracts only
  if (layer.at(a) == 1 && layer.at(b) == 1) return true;
  return layer.at(b) < layer.at(a);
}

/// kinema headers that `path` reaches. `through_kernels`: also through op/x.hpp → kernel/cpu/x.hpp.
std::set<std::string> reach(const Tree& tree, const std::string& path, bool through_kernels) {
  std::set<std::string> seen;
  Strings open{path};
  while (!open.empty()) {
    const std::string at = open.back();
    open.pop_back();
    if (!seen.insert(at).second || !tree.count(at)) continue;
    for (const std::string& next : includes(tree.at(at))) {
      if (!starts_with(next, "kinema/")) continue;
      if (!through_kernels && part_of(next) == "kernel/cpu" && part_of(at) != "kernel/cpu") continue;
      open.push_back(next);
    }
  }
  return seen;
}

/// Neither ours, nor standard, nor of the operating system, nor the compiler's.
bool third_party(const std::string& header) {
  if (starts_with(header, "kinema/") || starts_with(header, "sys/")) return false;
  if (!contains(header, ".")) return false;
  static const std::set<std::string> system = {"unistd.h", "fcntl.h", "signal.h", "pthread.h", "dirent.h", "dlfcn.h", "poll.h", "immintrin.h", "emmintrin.h", "arm_neon.h"};
  return system.count(header) == 0;
}

Strings direct_third_parties(const std::string& text) {
  Strings found;
  for (const std::string& header : includes(text))
    if (third_party(header)) found.push_back(header);
  return found;
}

/// Blanks out comments and string literals, so that words in them do not count.
std::string code_of(const std::string& text) {
  std::string out = text;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out.compare(i, 2, "//") == 0)
      while (i < out.size() && out[i] != '\n') out[i++] = ' ';
    else if (out[i] == '"' && (i == 0 || out[i - 1] != '\''))
      for (++i; i < out.size() && out[i] != '"' && out[i] != '\n'; ++i) out[i] = ' ';
  }
  return out;
}

Strings broken_rules(const Tree& tree) {
  Strings problems;
  const auto problem = [&](const std::string& where, const std::string& what) { problems.push_back(where + ": " + what); };
  std::map<std::string, std::set<std::string>> includers;

  for (const auto& [path, text] : tree) {
    if (!layer.count(part_of(path))) { problem(path, "is in a folder without a layer"); continue; }
    if (!starts_with(text, "// " + path + " - ")) problem(path, "does not start with its own path and a sentence");
    if (!contains(text, "\n#pragma once\n")) problem(path, "has no #pragma once");

    for (const std::string& next : includes(text)) {
      if (third_party(next)) includers[next].insert(path);
      if (!starts_with(next, "kinema/")) continue;
      if (!tree.count(next)) { problem(path, "includes " + next + ", which does not exist"); continue; }
      const bool kernels_inline = (part_of(path) == "op" || part_of(path) == "autograd") && part_of(next) == "kernel/cpu" && contains(text, "KINEMA_KERNELS_APART");
      if (!kernels_inline && !allowed(path, next)) problem(path, "includes " + next + " of a higher or neighbouring layer");
      if (part_of(path) == "kernel/cpu" && folder_of(next) == "kinema/kernel/cpu" && path != "kinema/kernel/cpu/all.hpp")
        problem(path, "includes the other family " + next + "; what families share is in kernel/cpu/detail");
      const std::size_t detail = next.find("/detail/");
      if (detail != std::string::npos && !starts_with(path, next.substr(0, detail + 1))) problem(path, "includes the private header " + next);
    }

    const std::string code = code_of(text);
    if (!ends_with(path, ".cuh") && path != "kinema/core/config.hpp")  // config.hpp defines KINEMA_HD
      for (const char* word : {"__global__", "__device__", "__shared__", "<<<", "threadIdx", "blockIdx"})
        if (contains(code, word)) problem(path, std::string("has device syntax (") + word + ") outside a .cuh file");
    if (ends_with(path, ".cuh") && !starts_with(path, "kinema/kernel/cuda/")) problem(path, "is device code outside kernel/cuda");
    static const std::set<std::string> light = {"core", "tensor", "runtime", "kernel", "autograd", "op", "nn"};
    if (light.count(part_of(path)))
      for (const std::string& next : includes(text))
        for (const char* slow : {"iostream", "regex", "filesystem", "chrono"})
          if (next == slow) problem(path, "includes the slow <" + next + ">");
    if (contains(code, "using namespace") && !contains(code, "namespace std::literals")) problem(path, "has a using-directive");
  }

  for (const auto& [header, files] : includers)
    if (files.size() > 1) {
      std::string names;
      for (const std::string& f : files) names += " " + f;
      problem("<" + header + ">", "has more than one includer:" + names);
    }

  // Folders that never open a third party, on whatever way, and modules, which fill themselves from a TensorSource.
  static const std::set<std::string> pure = {"core", "tensor", "runtime", "kernel", "autograd", "op", "nn", "diffusion", "optim", "umbrella"};
  for (const auto& [path, text] : tree) {
    const bool module = part_of(path) == "model" && contains(code_of(text), "void visit(");
    if (!pure.count(part_of(path)) && !module) continue;
    for (const std::string& reached : reach(tree, path, false))
      for (const std::string& header : tree.count(reached) ? direct_third_parties(tree.at(reached)) : Strings{})
        if (header != "omp.h") problem(path, "reaches <" + header + "> through " + reached);  // the compiler's own library
  }
  return problems;
}

/// Public headers that open no optional third party: what kinema.hpp lists.
std::string umbrella(const Tree& tree) {
  std::string out =
      "// kinema/kinema.hpp - everything that needs no optional third party. Generated: KINEMA_UPDATE=1 test_layers rewrites it.\n#pragma once\n\n";
  for (const auto& [path, text] : tree) {
    const std::string part = part_of(path);
    if (part == "umbrella" || part == "kernel/cpu" || part == "kernel/cuda" || contains(path, "/detail/") || !ends_with(path, ".hpp")) continue;
    bool free = true;
    for (const std::string& reached : reach(tree, path, false))
      for (const std::string& header : direct_third_parties(tree.at(reached))) free = free && header == "omp.h";
    if (free) out += "#include <" + path + ">\n";
  }
  return out;
}

/// Every family of a backend, for builds without CMake: one unit that includes this file.
std::string all_of(const Tree& tree, const std::string& folder, const std::string& name, const std::string& sentence) {
  std::string out = "// " + folder + name + " - " + sentence + " Generated: KINEMA_UPDATE=1 test_layers rewrites it.\n#pragma once\n\n";
  const std::string extension = name.substr(name.find('.'));
  for (const auto& [path, text] : tree)
    if (folder_of(path) + "/" == folder && ends_with(path, extension) && path != folder + name) out += "#include <" + path + ">\n";
  return out;
}

void require_generated(const Tree& tree, const std::string& path, const std::string& expected) {
  if (std::getenv("KINEMA_UPDATE")) std::ofstream(include_folder / path, std::ios::binary) << expected;
  INFO(path << " should be:\n" << expected);
  CHECK((std::getenv("KINEMA_UPDATE") || (tree.count(path) && tree.at(path) == expected)));
}

/// The ops X of all lines "<start>X<end>" in the headers of a folder, each as often as it stands there.
std::multiset<std::string> ops_between(const Tree& tree, const std::string& folder, const std::string& start, const std::string& end) {
  std::multiset<std::string> found;
  for (const auto& [path, text] : tree) {
    if (folder_of(path) != folder) continue;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t to = line.find(end);
      if (starts_with(line, start) && to != std::string::npos) found.insert(line.substr(start.size(), to - start.size()));
    }
  }
  return found;
}

/// The tree with `line` put behind the #pragma once of `path` breaks a rule, and the message has `word`.
void check_spoiled(Tree tree, const std::string& path, const std::string& line, const std::string& word) {
  INFO(path << " with " << line);
  REQUIRE(tree.count(path));
  const std::string mark = "#pragma once\n";
  tree[path].insert(tree[path].find(mark) + mark.size(), line + "\n");
  bool found = false;
  for (const std::string& p : broken_rules(tree)) found = found || (contains(p, word) && contains(p, path));
  CHECK(found);
}

}  // namespace

TEST_CASE("the tree obeys the rules") {
  for (const std::string& problem : broken_rules(read_tree())) FAIL_CHECK(problem);
}

TEST_CASE("umbrella headers are complete and current") {
  const Tree tree = read_tree();
  require_generated(tree, "kinema/kinema.hpp", umbrella(tree));
  require_generated(tree, "kinema/kernel/cpu/all.hpp",
                    all_of(tree, "kinema/kernel/cpu/", "all.hpp", "every CPU kernel, for one kernel unit in builds without CMake."));
  require_generated(tree, "kinema/kernel/cuda/all.cuh",
                    all_of(tree, "kinema/kernel/cuda/", "all.cuh", "every CUDA kernel, for one kernel unit in builds without CMake."));
  require_generated(tree, "kinema/kernel/cuda/all.hpp",
                    all_of(tree, "kinema/kernel/cuda/", "all.hpp", "every CUDA library call, for one host-compiled unit in builds without CMake."));
}

TEST_CASE("what a contract declares for CUDA is defined once, so a missing kernel is Unsupported and not a link error") {
  const Tree tree = read_tree();
  const auto declared = ops_between(tree, "kinema/kernel", "void run(CudaContext&, const ", "&);");
  const auto defined = ops_between(tree, "kinema/kernel/cuda", "void run(CudaContext& ctx, const ", "& op) {");
  CHECK(declared.size() >= 13);
  CHECK(declared == defined);
}

TEST_CASE("every rule can fail") {
  const Tree tree = read_tree();
  check_spoiled(tree, "kinema/core/shape.hpp", "#include <kinema/tensor/tensor.hpp>", "higher or neighbouring");
  check_spoiled(tree, "kinema/nn/linear.hpp", "#include <kinema/model/t5/encoder.hpp>", "higher or neighbouring");
  check_spoiled(tree, "kinema/io/npy.hpp", "#include <kinema/text/tokenizer.hpp>", "higher or neighbouring");
  check_spoiled(tree, "kinema/nn/linear.hpp", "#include <kinema/kernel/cpu/matmul.hpp>", "higher or neighbouring");
  check_spoiled(tree, "kinema/op/matmul.hpp", "#include <kinema/kernel/cpu/detail/simd.hpp>", "private header");
  check_spoiled(tree, "kinema/kernel/cpu/conv.hpp", "#include <kinema/kernel/cpu/matmul.hpp>", "other family");
  check_spoiled(tree, "kinema/kernel/cpu/detail/gemm.hpp", "#include <kinema/kernel/cpu/matmul.hpp>", "other family");
  check_spoiled(tree, "kinema/core/shape.hpp", "#include <kinema/core/forgotten.hpp>", "does not exist");
  check_spoiled(tree, "kinema/io/npy.hpp", "#include <nlohmann/json.hpp>", "kinema/io/json.hpp");
  check_spoiled(tree, "kinema/nn/linear.hpp", "#include <new_library/api.hpp>", "reaches");
  check_spoiled(tree, "kinema/model/cogvideox/transformer.hpp", "#include <kinema/io/json.hpp>", "reaches");
  check_spoiled(tree, "kinema/nn/linear.hpp", "#include <filesystem>", "slow <filesystem>");
  check_spoiled(tree, "kinema/nn/linear.hpp", "__device__ int x();", "device syntax");
  check_spoiled(tree, "kinema/nn/linear.hpp", "using namespace std;", "using-directive");
  Tree renamed = tree;
  renamed["kinema/misc/thing.hpp"] = "// kinema/misc/thing.hpp - x\n#pragma once\n";
  bool found = false;
  for (const std::string& p : broken_rules(renamed)) found = found || contains(p, "folder without a layer");
  CHECK(found);
}
