// kinema/nn/stream.hpp - weights that stay in the file: read when a block runs, given back to the system after it.
//
// A model runs in less memory than its weights take: the memory map reads a page when an op touches it, the block that
// has run lets its pages go, and the system is told which come next. Values and results are those of resident weights.
#pragma once

#include <kinema/tensor/source.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::nn {

/// The weights of a sequence of blocks, named PREFIX.{i}.… in `file` (borrowed).
class BlockStream {
 public:
  BlockStream(const TensorSource& file, std::string_view prefix) : file_(file) {
    for (const std::string& name : file.names()) {
      if (name.size() <= prefix.size() + 1 || name.compare(0, prefix.size(), prefix) != 0 || name[prefix.size()] != '.') continue;
      const std::size_t index = std::stoul(name.substr(prefix.size() + 1));
      if (index >= blocks_.size()) blocks_.resize(index + 1);
      blocks_[index].push_back(name);
    }
  }
  /// Block i has run: its pages may go, and those of the block after the next one are read ahead (in the next round's
  /// beginning, behind the last ones).
  void after(std::int64_t i) const {
    for (const std::string& name : blocks_[static_cast<std::size_t>(i)]) file_.forget(name);
    constexpr std::size_t ahead = 2;
    for (const std::string& name : blocks_[(static_cast<std::size_t>(i) + ahead) % blocks_.size()]) file_.prefetch(name);
  }

 private:
  const TensorSource& file_;
  std::vector<std::vector<std::string>> blocks_;
};

}  // namespace kinema::inline KINEMA_ABI::nn
