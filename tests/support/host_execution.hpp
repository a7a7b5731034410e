// tests/support/host_execution.hpp - runs device code on the CPU: blocks in sequence, threads as fibers.
//
// Gives the words of kernel/cuda/detail/device.cuh host bodies, so that the .cuh files of the library run in tests,
// also under AddressSanitizer and UBSan. It is stricter than a GPU: shared memory starts as NaNs and ends where the
// launch said, barriers and warp exchanges that not all threads reach are errors with the place where each one waits,
// every warp runs as far ahead of the others as it can, and the order of warps and lanes can be turned around, which
// shows missing barriers.
#pragma once

#include <kinema/core/device.hpp>
#include <kinema/core/dtype.hpp>

#include <boost/context/fiber.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define KINEMA_HOST_EXECUTION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KINEMA_HOST_EXECUTION_ASAN 1
#endif
#endif
#ifndef KINEMA_HOST_EXECUTION_ASAN
#define KINEMA_HOST_EXECUTION_ASAN 0
#endif
#if KINEMA_HOST_EXECUTION_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace host_execution {

/// The order in which warps, and lanes within a warp, get their turn. Results must not depend on it.
enum class Order { ascending, descending, random };
inline Order order = Order::ascending;
inline std::uint64_t launches = 0;  ///< so far, for tests that count them

/// What a kernel did wrong.
struct KernelError : std::runtime_error { using std::runtime_error::runtime_error; };

inline constexpr std::size_t shared_limit = 227 * 1024;  ///< of one block, sm_90
inline constexpr unsigned char shared_pattern = 0xFF;    ///< NaN as f32, f16 and bf16; -1 as an integer

namespace detail {

enum class Wait : unsigned char { nothing, block, warp };

/// Where a thread stands: the kind of its wait and the source line of it.
struct Place {
  Wait kind = Wait::nothing;
  const char* file = "";
  int line = 0;
  bool operator==(const Place& o) const { return kind == o.kind && line == o.line && std::string_view(file) == o.file; }
};

struct Stack { void* top = nullptr; std::size_t size = 0; };

/// Stacks are kept between blocks and launches: a layer norm of 64 rows wants eight thousand.
class StackPool {
 public:
  static constexpr std::size_t bytes = 128 * 1024;
  Stack take() {
    if (free_.empty()) {
      char* base = static_cast<char*>(::operator new(bytes, std::align_val_t{64}));
      all_.emplace_back(base);
      return {base + bytes, bytes};
    }
    const Stack s = free_.back();
    free_.pop_back();
#if KINEMA_HOST_EXECUTION_ASAN
    __asan_unpoison_memory_region(static_cast<char*>(s.top) - s.size, s.size);  // what the last owner's frames left behind
#endif
    return s;
  }
  void give(Stack s) { free_.push_back(s); }

 private:
  struct Free { void operator()(char* p) const { ::operator delete(p, std::align_val_t{64}); } };
  std::vector<std::unique_ptr<char, Free>> all_;
  std::vector<Stack> free_;
};

struct StackAllocator {
  StackPool* pool;
  Stack* used;
  boost::context::stack_context allocate() {
    *used = pool->take();
    boost::context::stack_context c;
    c.size = used->size;
    c.sp = used->top;
    return c;
  }
  void deallocate(boost::context::stack_context& c) noexcept { pool->give({c.sp, c.size}); }
};

struct Cancelled {};  ///< unwinds the threads of a block in which another thread failed

struct Thread {
  boost::context::fiber fiber;
  Stack stack;
  Place place;
  unsigned x = 0, y = 0, z = 0;
  bool done = false, ready = true;
  alignas(16) unsigned char slot[16] = {};  ///< what this thread offers to its warp
  void* fake_stack = nullptr;               ///< AddressSanitizer's
};

using Three = std::array<unsigned, 3>;

struct Block {
  Block(const Three& grid_extent, const Three& block_extent, const Three& block_index)
      : grid(grid_extent), extent(block_extent), index(block_index), threads(std::size_t{extent[0]} * extent[1] * extent[2]) {}
  Three grid, extent, index;
  std::vector<Thread> threads;
  unsigned char* shared = nullptr;
  std::size_t shared_bytes = 0;
  int current = 0;
  boost::context::fiber scheduler;
  bool cancelled = false;
  std::exception_ptr error;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
};

inline thread_local Block* running = nullptr;
inline StackPool& stacks() {
  static thread_local StackPool pool;
  return pool;
}

inline void enter_thread([[maybe_unused]] Block& b, [[maybe_unused]] Thread& t) {
#if KINEMA_HOST_EXECUTION_ASAN
  __sanitizer_finish_switch_fiber(t.fake_stack, &b.scheduler_stack, &b.scheduler_stack_bytes);
#endif
}
inline void leave_thread([[maybe_unused]] Block& b, [[maybe_unused]] Thread& t, [[maybe_unused]] bool for_good) {
#if KINEMA_HOST_EXECUTION_ASAN
  __sanitizer_start_switch_fiber(for_good ? nullptr : &t.fake_stack, b.scheduler_stack, b.scheduler_stack_bytes);
#endif
}

/// Lets the other threads run until this one may go on.
inline void wait(Place where) {
  Block& b = *running;
  Thread& t = b.threads[static_cast<std::size_t>(b.current)];
  t.place = where;
  t.ready = false;
  leave_thread(b, t, false);
  b.scheduler = std::move(b.scheduler).resume();
  enter_thread(b, t);
  if (b.cancelled) throw Cancelled{};
}

inline void resume(Block& b, std::size_t i) {
  Thread& t = b.threads[i];
  b.current = static_cast<int>(i);
#if KINEMA_HOST_EXECUTION_ASAN
  __sanitizer_start_switch_fiber(&b.scheduler_fake_stack, static_cast<char*>(t.stack.top) - t.stack.size, t.stack.size);
#endif
  t.fiber = std::move(t.fiber).resume();
#if KINEMA_HOST_EXECUTION_ASAN
  __sanitizer_finish_switch_fiber(b.scheduler_fake_stack, nullptr, nullptr);
#endif
}

inline std::string describe(const Block& b, const Thread& t) {
  std::string where = t.done ? "has ended" : "";
  if (!t.done) {
    where = t.place.kind == Wait::block ? "waits in sync_block at " : "waits for its warp at ";
    where += std::string(t.place.file) + ":" + std::to_string(t.place.line);
  }
  return "thread (" + std::to_string(t.x) + ", " + std::to_string(t.y) + ", " + std::to_string(t.z) + ") of block (" +
         std::to_string(b.index[0]) + ", " + std::to_string(b.index[1]) + ", " + std::to_string(b.index[2]) + ") " + where;
}

/// Lets threads [begin, end) go on if one of them stands at a wait of this kind; false if none does.
/// Throws if they never will meet, because others ended or wait elsewhere.
inline bool release(Block& b, std::size_t begin, std::size_t end, Wait kind) {
  const Thread* first = nullptr;
  for (std::size_t i = begin; i < end; ++i)
    if (!b.threads[i].done && b.threads[i].place.kind == kind) { first = &b.threads[i]; break; }
  if (!first) return false;
  for (std::size_t i = begin; i < end; ++i) {
    const Thread& t = b.threads[i];
    if (t.done || !(t.place == first->place))
      throw KernelError("divergent " + std::string(kind == Wait::block ? "barrier" : "warp exchange") + ": " + describe(b, *first) +
                        ", " + describe(b, t));
  }
  for (std::size_t i = begin; i < end; ++i) b.threads[i].ready = true;
  return true;
}

inline std::vector<std::size_t> turns(std::size_t n) {
  std::vector<std::size_t> order_of(n);
  for (std::size_t i = 0; i < n; ++i) order_of[i] = order == Order::descending ? n - 1 - i : i;
  if (order == Order::random) {
    static std::mt19937 engine(20240806);
    std::shuffle(order_of.begin(), order_of.end(), engine);
  }
  return order_of;
}

/// Runs the threads of one warp as far as they get without the others. False if a thread failed.
inline bool run_warp(Block& b, std::size_t begin, std::size_t end) {
  do {
    for (const std::size_t i : turns(end - begin)) {
      Thread& t = b.threads[begin + i];
      if (t.done || !t.ready) continue;
      t.place = {};
      resume(b, begin + i);
      if (b.error) return false;
    }
  } while (release(b, begin, end, Wait::warp));
  return true;
}

/// Runs all threads of one block to their end; throws what the first failing thread or the referee threw.
/// A warp runs ahead of the others until only they can let it go on: the worst case for data that warps share.
inline void run_threads(Block& b) {
  constexpr std::size_t warp = 32;
  const std::size_t n = b.threads.size();
  try {
    do {
      for (const std::size_t w : turns((n + warp - 1) / warp))
        if (!run_warp(b, w * warp, std::min((w + 1) * warp, n))) break;
    } while (!b.error && release(b, 0, n, Wait::block));
  } catch (...) {
    b.error = std::current_exception();
  }
  if (!b.error) return;
  b.cancelled = true;
  for (std::size_t i = 0; i < n; ++i)
    if (!b.threads[i].done) resume(b, i);
  std::rethrow_exception(b.error);
}

template <class F>
void run_block(Block& b, std::size_t shared_bytes, const F& body) {
  struct Free { void operator()(unsigned char* p) const { ::operator delete(p, std::align_val_t{128}); } };
  const std::unique_ptr<unsigned char, Free> shared(static_cast<unsigned char*>(::operator new(shared_bytes, std::align_val_t{128})));
  std::memset(shared.get(), shared_pattern, shared_bytes);
  b.shared = shared.get();
  b.shared_bytes = shared_bytes;
  struct Restore { Block* before = running; ~Restore() { running = before; } } restore;
  running = &b;
  for (std::size_t i = 0; i < b.threads.size(); ++i) {
    Thread& t = b.threads[i];
    t.x = static_cast<unsigned>(i) % b.extent[0];
    t.y = static_cast<unsigned>(i) / b.extent[0] % b.extent[1];
    t.z = static_cast<unsigned>(i) / b.extent[0] / b.extent[1];
    t.fiber = boost::context::fiber(std::allocator_arg, StackAllocator{&stacks(), &t.stack}, [&b, &t, &body](boost::context::fiber&& from) {
      b.scheduler = std::move(from);
      enter_thread(b, t);
      try {
        if (!b.cancelled) body();
      } catch (const Cancelled&) {
      } catch (...) {
        if (!b.error) b.error = std::current_exception();
      }
      t.done = true;
      leave_thread(b, t, true);
      return std::move(b.scheduler);
    });
  }
  run_threads(b);
}

}  // namespace detail
}  // namespace host_execution

namespace kinema::inline KINEMA_ABI {

/// The face of kernel/cuda/detail/context.hpp's CudaContext that kernels see; its memory is the host's.
class CudaContext {
 public:
  class Scratch {
   public:
    explicit Scratch(std::size_t bytes) : bytes_(new unsigned char[bytes]) { std::memset(bytes_.get(), host_execution::shared_pattern, bytes); }
    template <class T> T* as() const { return reinterpret_cast<T*>(bytes_.get()); }

   private:
    std::unique_ptr<unsigned char[]> bytes_;
  };
  Scratch scratch(std::size_t bytes) { return Scratch(bytes); }
  void set(void* to, int byte, std::size_t bytes) { std::memset(to, byte, bytes); }
};

namespace kernel::cuda::device {

template <class T> T* shared() { return reinterpret_cast<T*>(host_execution::detail::running->shared); }

inline Extent thread() {
  const auto& b = *host_execution::detail::running;
  const auto& t = b.threads[static_cast<std::size_t>(b.current)];
  return {t.x, t.y, t.z};
}
inline Extent block() { const auto& i = host_execution::detail::running->index; return {i[0], i[1], i[2]}; }
inline Extent block_extent() { const auto& e = host_execution::detail::running->extent; return {e[0], e[1], e[2]}; }
inline Extent grid_extent() { const auto& e = host_execution::detail::running->grid; return {e[0], e[1], e[2]}; }

inline void sync_block(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  host_execution::detail::wait({host_execution::detail::Wait::block, file, line});
}
inline void sync_warp(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  host_execution::detail::wait({host_execution::detail::Wait::warp, file, line});
}
template <class T>
T shuffle(T v, int lane, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  auto& b = *host_execution::detail::running;
  const std::size_t me = static_cast<std::size_t>(b.current), from = (me & ~std::size_t{31}) | (static_cast<std::size_t>(lane) & 31);
  std::memcpy(b.threads[me].slot, &v, sizeof v);
  host_execution::detail::wait({host_execution::detail::Wait::warp, file, line});  // everybody has offered
  if (from >= b.threads.size()) throw host_execution::KernelError("warp exchange with lane " + std::to_string(lane) + ", which the block does not have");
  T got;
  std::memcpy(&got, b.threads[from].slot, sizeof got);
  host_execution::detail::wait({host_execution::detail::Wait::warp, file, line});  // everybody has taken
  return got;
}
template <class T>
T shuffle_xor(T v, int mask, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return shuffle(v, (host_execution::detail::running->current & 31) ^ mask, file, line);
}
inline void atomic_add(float* to, float v) { *to += v; }

/// A float whose rounding to a 16-bit type is that of v: inexact results are made odd, so that no tie appears.
inline float narrow_once(double v) {
  const float f = static_cast<float>(v);
  if (static_cast<double>(f) == v || v != v || f - f != 0) return f;
  auto bits = __builtin_bit_cast(std::uint32_t, f);
  if ((static_cast<double>(f) > v) == (v > 0)) bits -= 1;  // towards zero
  return __builtin_bit_cast(float, bits | 1u);
}

/// One rounding, to nearest even.
template <class T, class V>
T narrow(V v) {
  if constexpr (std::is_same_v<V, double> && sizeof(T) == 2) return T(narrow_once(v));
  else return static_cast<T>(v);
}
template <class T> compute_t<T> widen(T v) { return static_cast<compute_t<T>>(v); }

/// As on a device, but finished on return. Throws BackendError for launches that a device would refuse.
template <class... P, class... A>
void launch(CudaContext&, std::string_view op, const Launch& how, void (*kernel)(P...), const A&... arguments) {
  const unsigned long long threads = 1ull * how.block.x * how.block.y * how.block.z;
  const bool valid = how.grid.x >= 1 && how.grid.y >= 1 && how.grid.z >= 1 && how.grid.x <= 0x7fffffffu && how.grid.y <= 65535u &&
                     how.grid.z <= 65535u && threads >= 1 && threads <= 1024 && how.block.z <= 64 && how.shared_bytes <= host_execution::shared_limit;
  if (!valid)
    throw BackendError(cat("cuda: launch of ", op, ": invalid configuration: grid ", how.grid.x, " x ", how.grid.y, " x ", how.grid.z,
                           ", block ", how.block.x, " x ", how.block.y, " x ", how.block.z, ", ", how.shared_bytes, " bytes shared"));
  ++host_execution::launches;
  for (unsigned z = 0; z < how.grid.z; ++z)
    for (unsigned y = 0; y < how.grid.y; ++y)
      for (unsigned x = 0; x < how.grid.x; ++x) {
        host_execution::detail::Block b({how.grid.x, how.grid.y, how.grid.z}, {how.block.x, how.block.y, how.block.z}, {x, y, z});
        host_execution::detail::run_block(b, how.shared_bytes, [&] { kernel(P(arguments)...); });
      }
}

}  // namespace kernel::cuda::device
}  // namespace kinema::inline KINEMA_ABI
