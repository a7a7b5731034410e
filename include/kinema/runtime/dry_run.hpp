// kinema/runtime/dry_run.hpp - a rehearsal of computations: all allocations are counted, no arithmetic is done.
//
// The same modules, ops and kernels run as in earnest, against a pool that only counts and a parallel_for that hands out
// nothing. So what a run will need is read off the code itself and cannot drift from it.
#pragma once

#include <kinema/runtime/context.hpp>

namespace kinema::inline KINEMA_ABI {

/// While it lives, ops of the calling thread are rehearsed. Values of tensors are meaningless; shapes and types are right.
class DryRun {
 public:
  /// threads: as many as in earnest, because kernels take working memory for each.
  explicit DryRun(int threads) : context_(threads, MemoryPool::counting()), scope_(context_), before_(rehearsing()) {
    context_.observer = &work_;
    rehearsing() = true;
  }
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;
  ~DryRun() { rehearsing() = before_; }

  std::size_t live() const { return context_.pool->statistics().live; }   ///< bytes, scratch among them
  std::size_t peak() const { return context_.pool->statistics().peak; }   ///< bytes, scratch among them
  std::size_t scratch() const { return context_.arena.held(); }           ///< bytes
  double flops() const { return work_.flops; }

 private:
  struct Work : Observer {
    double flops = 0;
    void begin(std::string_view, Device, double n) override { flops += n; }
    void end(std::string_view, Device) override {}
  };
  Work work_;
  CpuContext context_;
  CpuScope scope_;
  bool before_;
};

}  // namespace kinema::inline KINEMA_ABI
