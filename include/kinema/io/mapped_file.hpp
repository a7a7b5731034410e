// kinema/io/mapped_file.hpp - regular files read as a whole: into memory, or as a read-only memory map.
//
// Anything but a regular file is refused by name and at once: opening never waits for a FIFO's other end, and files of
// /proc and /sys (regular by their type, endless or empty in truth) are recognised by their file system. A map costs no
// second copy of the weights; whoever shortens a mapped file kills the process (SIGBUS), so check_unchanged() is called
// before tensors are handed out, and read_file() is used for everything small.
#pragma once

#include <kinema/core/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::io {

/// A file's name as messages show it.
inline std::string shown(const std::filesystem::path& path) { return printable(path.native(), 1024); }

/// "file: what: the system's words".
[[noreturn]] inline void throw_system_error(const std::filesystem::path& path, std::string_view what,
                                            int error = errno) {
  throw IoError(cat(shown(path), ": ", what, ": ", std::generic_category().message(error)));
}

/// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& o) noexcept {
    if (this != &o) {
      close();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { close(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Gives the descriptor away; the caller closes it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

namespace detail {

inline constexpr std::size_t io_chunk = std::size_t{1} << 30;  ///< the system moves less than 2 GiB in one call

inline std::string_view kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "not a regular file";
}

/// /proc and /sys, whose files claim to be regular.
inline bool is_kernel_file_system(const struct statfs& s) { return s.f_type == 0x9fa0 || s.f_type == 0x62656572; }

/// What a file is by its first bytes, if it is a format that is often found in the place of another; empty if unknown.
inline std::string_view other_format(std::string_view head) {
  const auto begins = [&](std::string_view s) { return head.starts_with(s); };
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5)
    return "a pickle file (never loaded: it can run code); convert it to safetensors";
  if (begins("PK\3\4"))
    return "a zip archive, such as a PyTorch pickle checkpoint (never loaded: it can run code); convert it to "
           "safetensors";
  if (begins("\x1f\x8b")) return "gzip data; unpack it first";
  if (begins("version https://git-lfs"))
    return "a Git LFS pointer file, not the data; fetch the real file (git lfs pull)";
  if (begins("\x93NUMPY")) return "a numpy file";
  if (begins("GGUF")) return "a GGUF file";
  if (begins("\x89HDF")) return "an HDF5 file";
  const std::size_t text = head.find_first_not_of(" \t\r\n");
  if (text != std::string_view::npos && head[text] == '<')
    return "an HTML or XML page, perhaps an error page saved instead of the file";
  if (text != std::string_view::npos && head[text] == '{') return "plain JSON text";
  return {};
}

/// ASCII letters compare without their case.
inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return low(x) == low(y); });
}

inline void refuse_nul(const std::filesystem::path& path) {
  if (path.empty()) throw IoError("a file name is empty");
  if (path.native().find('\0') != std::string::npos)
    throw IoError(cat(shown(path), ": a file name must not contain NUL"));
}

}  // namespace detail

/// A regular file, open for reading. Remembers what it was when opened. Throws IoError.
class RegularFile {
 public:
  explicit RegularFile(const std::filesystem::path& path) : path_(path) {
    detail::refuse_nul(path);
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) throw_system_error(path, "cannot open");
    refuse_special(s);  // before open: opening a device may have effects
    file_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!file_) throw_system_error(path, "cannot open");
    if (::fstat(file_.get(), &opened_) != 0) throw_system_error(path, "cannot read its size");
    refuse_special(opened_);
    struct statfs where {};
    if (::fstatfs(file_.get(), &where) == 0 && detail::is_kernel_file_system(where))
      throw IoError(cat(shown(path_), ": must be a regular file, is a file of the kernel"));
    if (static_cast<std::uintmax_t>(opened_.st_size) > SIZE_MAX / 2)
      throw IoError(cat(shown(path_), ": ", opened_.st_size, " bytes do not fit into this program's address space"));
  }

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return file_.get(); }
  std::size_t size() const { return static_cast<std::size_t>(opened_.st_size); }

  /// Throws IoError if the file became longer or shorter or was written to since it was opened.
  void check_unchanged() const {
    struct stat now {};
    if (::fstat(file_.get(), &now) != 0) throw_system_error(path_, "cannot read its size");
    if (now.st_size != opened_.st_size)
      throw IoError(
          cat(shown(path_), ": changed while being read: had ", opened_.st_size, " bytes, now ", now.st_size));
    if (now.st_mtim.tv_sec != opened_.st_mtim.tv_sec || now.st_mtim.tv_nsec != opened_.st_mtim.tv_nsec)
      throw IoError(cat(shown(path_), ": was written to while being read"));
  }

  /// Fills `to` from byte `offset` on. Throws IoError if the file ends before.
  void read(std::uint64_t offset, std::span<unsigned char> to) const {
    std::size_t done = 0;
    while (done < to.size()) {
      const std::size_t want = std::min(to.size() - done, detail::io_chunk);
      const ::ssize_t got = ::pread(file_.get(), to.data() + done, want, static_cast<::off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw_system_error(path_, cat("reading at byte ", offset + done));
      if (got == 0)
        throw IoError(cat(shown(path_), ": changed while being read: had ", size(), " bytes, now ", offset + done));
      done += static_cast<std::size_t>(got);
    }
  }

 private:
  void refuse_special(const struct stat& s) const {
    if (!S_ISREG(s.st_mode))
      throw IoError(cat(shown(path_), ": must be a regular file, is ", detail::kind_of_file(s.st_mode)));
  }

  std::filesystem::path path_;
  FileDescriptor file_;
  struct stat opened_ {};
};

/// The whole file. Throws IoError, also if it has more than `limit` bytes.
inline std::string read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const RegularFile file(path);
  if (file.size() > limit)
    throw IoError(cat(shown(path), ": has ", file.size(), " bytes, at most ", limit, " are read"));
  std::string bytes(file.size(), '\0');
  file.read(0, {reinterpret_cast<unsigned char*>(bytes.data()), bytes.size()});
  file.check_unchanged();
  return bytes;
}

/// The bytes of a file without a copy; where the file system cannot map, an ordinary copy. Shared by the tensors in it.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) : file_(path) {
    const std::size_t size = file_.size();
    if (size == 0) return;
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file_.descriptor(), 0);
    if (data != MAP_FAILED) {
      data_ = static_cast<const unsigned char*>(data);
      mapped_ = true;
      try {
        file_.check_unchanged();
      } catch (...) {
        ::munmap(data, size);
        throw;
      }
      return;
    }
    if (errno == ENOMEM) throw MemoryError(cat(shown(path), ": the system refused a map of ", size, " bytes"));
    copy_.resize(size);
    file_.read(0, copy_);
    file_.check_unchanged();
    data_ = copy_.data();
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (mapped_) ::munmap(const_cast<unsigned char*>(data_), file_.size());
  }

  std::span<const unsigned char> bytes() const { return {data_, file_.size()}; }
  const std::filesystem::path& path() const { return file_.path(); }
  /// Throws IoError if the file is no longer what it was when opened; call before touching the bytes.
  void check_unchanged() const { file_.check_unchanged(); }
  /// Tells the system that bytes [begin, end) are not needed for now; they are read again on the next touch.
  void forget(std::size_t begin, std::size_t end) const { advise(begin, end, MADV_DONTNEED); }
  /// Tells the system that bytes [begin, end) will be needed soon.
  void prefetch(std::size_t begin, std::size_t end) const { advise(begin, end, MADV_WILLNEED); }

 private:
  void advise(std::size_t begin, std::size_t end, int advice) const {
    constexpr std::size_t page = 4096;
    if (!mapped_ || begin >= end) return;
    const std::size_t first = begin / page * page;
    ::madvise(const_cast<unsigned char*>(data_) + first, std::min(end, file_.size()) - first, advice);  // failure costs memory or time only
  }
  RegularFile file_;
  const unsigned char* data_ = nullptr;
  bool mapped_ = false;
  std::vector<unsigned char> copy_;
};

}  // namespace kinema::inline KINEMA_ABI::io
