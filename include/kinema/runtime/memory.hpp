// kinema/runtime/memory.hpp - host memory: a pool that keeps its pages, scratch with stack discipline, statistics.
//
// A page that the process touches for the first time costs more than the arithmetic on it (measured: 1.8 GB/s against
// 26 GB/s for reused pages), so blocks are cut from large regions, merged again when freed, and never given back while
// the pool lives. The best fitting free block is taken, and regions are asked to use huge pages.
#pragma once

#include <kinema/tensor/storage.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace kinema::inline KINEMA_ABI {

inline constexpr std::size_t memory_alignment = 64;  ///< one cache line, one AVX-512 vector

/// Bytes of a pool: in tensors now, at most so far, and held from the system.
struct MemoryStatistics {
  std::size_t live = 0, peak = 0, reserved = 0;
};

/// Thread-safe pool of host memory. Throws MemoryError when the system or the limit refuses.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  MemoryPool() = default;
  /// A pool that counts what is asked of it and hands out addresses that share one reserved region, so that a run can be
  /// rehearsed in no memory. Small blocks are real, because shapes and indices in them are read.
  static std::shared_ptr<MemoryPool> counting() {
    auto pool = std::make_shared<MemoryPool>();
    pool->counting_ = true;
    return pool;
  }
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool() {
    for (const Region& r : regions_) ::munmap(r.data, r.bytes);
  }

  /// `bytes` at 64-byte alignment, uninitialised; never null, also for 0 bytes. The owner keeps the pool alive.
  Storage allocate(std::size_t bytes) {
    const std::size_t need = round_up(std::max<std::size_t>(bytes, 1), memory_alignment);
    if (need < bytes) throw MemoryError(cat("memory: ", bytes, " bytes asked for"));
    if (counting_) return count(need, bytes);
    char* data = take(need);
    auto self = shared_from_this();
    return {data, bytes, Device::cpu(), std::shared_ptr<void>(data, [self, need](void* p) { self->give(static_cast<char*>(p), need); })};
  }

  /// Refuses to hold more than `bytes` from the system; 0 lifts the limit.
  void set_limit(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    limit_ = bytes;
  }
  MemoryStatistics statistics() const {
    const std::scoped_lock lock(mutex_);
    return statistics_;
  }
  void reset_peak() {
    const std::scoped_lock lock(mutex_);
    statistics_.peak = statistics_.live;
  }
  /// Gives regions without a live block back to the system: between stages of very different sizes.
  void trim() {
    const std::scoped_lock lock(mutex_);
    std::erase_if(regions_, [&](const Region& r) {
      const auto it = free_by_address_.find(r.data);
      if (it == free_by_address_.end() || it->second != r.bytes) return false;
      forget_free(it);
      ::munmap(r.data, r.bytes);
      statistics_.reserved -= r.bytes;
      return true;
    });
  }

 private:
  struct Region { char* data; std::size_t bytes; };
  static constexpr std::size_t region_bytes = std::size_t{32} << 20;
  static constexpr std::size_t huge_page = std::size_t{2} << 20;
  static std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

  Storage count(std::size_t need, std::size_t bytes) {
    constexpr std::size_t real_bytes = std::size_t{256} << 10;
    auto self = shared_from_this();
    const std::scoped_lock lock(mutex_);
    char* data = nullptr;
    if (need <= real_bytes) {
      data = static_cast<char*>(std::aligned_alloc(memory_alignment, need));
      if (!data) throw MemoryError(cat("memory: the system refused ", need, " bytes"));
      __builtin_memset(data, 0, need);
    } else {
      if (regions_.empty() || regions_.back().bytes < need) reserve(std::max(need, std::size_t{1} << 30));
      data = regions_.back().data;
    }
    statistics_.live += need;
    statistics_.peak = std::max(statistics_.peak, statistics_.live);
    return {data, bytes, Device::cpu(), std::shared_ptr<void>(data, [self, need, real = need <= real_bytes](void* p) {
              if (real) std::free(p);
              const std::scoped_lock guard(self->mutex_);
              self->statistics_.live -= need;
            })};
  }
  /// Address space without memory behind it.
  void reserve(std::size_t bytes) {
    void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw MemoryError(cat("memory: the system refused ", bytes, " bytes of address space"));
    regions_.push_back({static_cast<char*>(p), bytes});
  }

  char* take(std::size_t need) {
    const std::scoped_lock lock(mutex_);
    auto fit = free_by_size_.lower_bound({need, nullptr});
    if (fit == free_by_size_.end()) {
      add_region(need);
      fit = free_by_size_.lower_bound({need, nullptr});
    }
    char* data = fit->second;
    const std::size_t bytes = fit->first;
    forget_free(free_by_address_.find(data));
    if (bytes > need) remember_free(data + need, bytes - need);
    statistics_.live += need;
    statistics_.peak = std::max(statistics_.peak, statistics_.live);
    return data;
  }

  void give(char* data, std::size_t bytes) noexcept {
    const std::scoped_lock lock(mutex_);
    statistics_.live -= bytes;
    auto next = free_by_address_.lower_bound(data);
    if (next != free_by_address_.end() && next->first == data + bytes && !starts_region(next->first)) {
      bytes += next->second;
      next = forget_free(next);
    }
    if (next != free_by_address_.begin() && !starts_region(data)) {
      const auto before = std::prev(next);
      if (before->first + before->second == data) {
        data = before->first;
        bytes += before->second;
        forget_free(before);
      }
    }
    remember_free(data, bytes);
  }

  void add_region(std::size_t need) {
    const std::size_t bytes = round_up(std::max(need, region_bytes), huge_page);
    if (bytes < need || (limit_ != 0 && bytes > limit_ - std::min(limit_, statistics_.reserved)))
      throw MemoryError(cat("memory: ", need, " more bytes would exceed the limit of ", limit_, " bytes (", statistics_.reserved, " held)"));
    void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw MemoryError(cat("memory: the system refused ", bytes, " bytes (", statistics_.reserved, " held)"));
    ::madvise(p, bytes, MADV_HUGEPAGE);  // advice: failure costs speed only
    regions_.push_back({static_cast<char*>(p), bytes});
    statistics_.reserved += bytes;
    remember_free(static_cast<char*>(p), bytes);
  }

  bool starts_region(const char* p) const {
    return std::any_of(regions_.begin(), regions_.end(), [p](const Region& r) { return r.data == p; });
  }
  void remember_free(char* data, std::size_t bytes) {
    free_by_address_.emplace(data, bytes);
    free_by_size_.emplace(bytes, data);
  }
  std::map<char*, std::size_t>::iterator forget_free(std::map<char*, std::size_t>::iterator it) {
    free_by_size_.erase({it->second, it->first});
    return free_by_address_.erase(it);
  }

  mutable std::mutex mutex_;
  std::vector<Region> regions_;
  std::map<char*, std::size_t> free_by_address_;
  std::set<std::pair<std::size_t, char*>> free_by_size_;
  MemoryStatistics statistics_;
  std::size_t limit_ = 0;
  bool counting_ = false;
};

/// Working memory of kernels: blocks are freed in reverse order, and a warm arena allocates nothing.
class ScratchArena {
 public:
  /// Releases its bytes on destruction. Alignment 64.
  class Block {
   public:
    Block(ScratchArena& arena, std::size_t bytes) : arena_(arena), chunk_(arena.chunk_), used_(arena.used_) {
      data_ = arena.push(bytes);
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() {
      arena_.chunk_ = chunk_;
      arena_.used_ = used_;
    }
    template <class T> T* as() const { return reinterpret_cast<T*>(data_); }
    char* data() const { return data_; }

   private:
    ScratchArena& arena_;
    char* data_;
    std::size_t chunk_, used_;
  };

  explicit ScratchArena(std::shared_ptr<MemoryPool> pool) : pool_(std::move(pool)) {}
  Block scratch(std::size_t bytes) { return Block(*this, bytes); }
  /// Bytes that the arena holds.
  std::size_t held() const {
    std::size_t n = 0;
    for (const Storage& c : chunks_) n += c.bytes;
    return n;
  }
  /// Gives everything back to the pool; no block may be alive.
  void clear() { chunks_.clear(); chunk_ = used_ = 0; }

 private:
  char* push(std::size_t bytes) {
    const std::size_t need = (bytes + memory_alignment - 1) / memory_alignment * memory_alignment;
    while (chunk_ < chunks_.size() && used_ + need > chunks_[chunk_].bytes) ++chunk_, used_ = 0;
    if (chunk_ == chunks_.size()) {
      chunks_.push_back(pool_->allocate(std::max(need, std::size_t{1} << 20)));
      used_ = 0;
    }
    char* p = static_cast<char*>(chunks_[chunk_].data) + used_;
    used_ += need;
    return p;
  }
  std::shared_ptr<MemoryPool> pool_;
  std::vector<Storage> chunks_;
  std::size_t chunk_ = 0, used_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI
