// kinema/io/file_writer.hpp - files that appear whole or not at all.
//
// Bytes go to a temporary name in the destination's folder, reach the disk (fsync), and take the destination's name by
// rename; then the folder is synced. Until then an old file stays untouched, and on any failure the temporary file and
// the folders made for it are removed. Every return value is checked: a full disk may show at write, fsync or close.
#pragma once

#include <kinema/io/mapped_file.hpp>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <ctime>

namespace kinema::inline KINEMA_ABI::io {

namespace detail {

/// Writing beyond a file-size limit (ulimit -f) kills the process unless the signal is held back; then write() fails
/// with EFBIG. Only this thread's mask changes, and only for the duration.
class HoldFileSizeSignal {
 public:
  HoldFileSizeSignal() {
    ::sigemptyset(&signal_);
    ::sigaddset(&signal_, SIGXFSZ);
    ::sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGXFSZ) == 1;
    ::pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  HoldFileSizeSignal(const HoldFileSizeSignal&) = delete;
  HoldFileSizeSignal& operator=(const HoldFileSizeSignal&) = delete;
  ~HoldFileSizeSignal() {
    const int error = errno;
    const ::timespec now{0, 0};
    if (!was_pending_) {
      while (::sigtimedwait(&signal_, nullptr, &now) < 0 && errno == EINTR) {}
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }

 private:
  ::sigset_t signal_, before_;
  bool was_pending_ = false;
};

inline std::filesystem::path folder_of(const std::filesystem::path& file) {
  const std::filesystem::path parent = file.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

/// fsync of a folder, so that the names in it survive a power cut.
inline void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw_system_error(folder, "cannot open the folder");
  // Some file systems cannot sync folders; their names are as safe as they get.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
    throw_system_error(folder, "cannot sync the folder");
}

/// Makes missing parent folders; removes those that it made, unless kept.
class FolderMaker {
 public:
  explicit FolderMaker(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> missing;
    std::filesystem::path p = folder;
    struct stat s {};
    while (::stat(p.c_str(), &s) != 0) {
      if (errno != ENOENT) throw_system_error(p, "cannot be the folder of an output");
      missing.push_back(p);
      const std::filesystem::path up = folder_of(p);
      if (up == p) break;
      p = up;
    }
    if (missing.empty() && !S_ISDIR(s.st_mode))
      throw IoError(cat(shown(p), ": must be a folder, is ", S_ISREG(s.st_mode) ? "a file" : kind_of_file(s.st_mode)));
    for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
      if (it->filename().empty() || it->filename() == "." || it->filename() == "..") continue;
      if (::mkdir(it->c_str(), 0777) == 0) made_.push_back(*it);
      else if (errno != EEXIST) {
        const int error = errno;
        remove();
        throw_system_error(*it, "cannot make the folder", error);
      }
    }
  }
  FolderMaker(const FolderMaker&) = delete;
  FolderMaker& operator=(const FolderMaker&) = delete;
  FolderMaker(FolderMaker&&) = default;
  FolderMaker& operator=(FolderMaker&&) = delete;
  ~FolderMaker() { remove(); }
  void keep() { made_.clear(); }

 private:
  void remove() {
    for (auto it = made_.rbegin(); it != made_.rend(); ++it)
      ::rmdir(it->c_str());  // fails if somebody filled it meanwhile
    made_.clear();
  }
  std::vector<std::filesystem::path> made_;
};

}  // namespace detail

/// Checks, without creating anything, that `path` can be written: its nearest existing folder is one and is writable,
/// and what is there now is absent or a regular file. Throws IoError.
inline void check_destination(const std::filesystem::path& path) {
  detail::refuse_nul(path);
  struct stat s {};
  if (::stat(path.c_str(), &s) == 0) {
    if (!S_ISREG(s.st_mode))
      throw IoError(cat(shown(path), ": an output must be a file name, is ", detail::kind_of_file(s.st_mode)));
  } else if (errno != ENOENT) {
    throw_system_error(path, "cannot be written");
  }
  if (path.filename().empty() || path.filename() == "." || path.filename() == "..")
    throw IoError(cat(shown(path), ": an output must be a file name, is a folder's"));
  std::filesystem::path folder = detail::folder_of(path);
  while (::stat(folder.c_str(), &s) != 0) {
    if (errno != ENOENT) throw_system_error(folder, "cannot be the folder of an output");
    const std::filesystem::path up = detail::folder_of(folder);
    if (up == folder) break;
    folder = up;
  }
  if (!S_ISDIR(s.st_mode))
    throw IoError(cat(shown(folder), ": must be a folder to write ", shown(path), ", is a file"));
  struct statfs where {};
  if (::statfs(folder.c_str(), &where) == 0 && detail::is_kernel_file_system(where))
    throw IoError(cat(shown(folder), ": cannot write ", shown(path), " there: a folder of the kernel"));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw_system_error(folder, cat("cannot write ", shown(path), " there"));
}

/// Writes one file. Nothing is visible under the destination's name before commit().
class FileWriter {
 public:
  explicit FileWriter(const std::filesystem::path& destination)
      : path_((check_destination(destination), destination)), folders_(detail::folder_of(destination)) {
    static std::atomic<unsigned> counter{0};
    // The name carries nothing of the destination's, which may be as long as names can be.
    for (int attempt = 0; attempt < 100; ++attempt) {
      temporary_ = detail::folder_of(path_) /
                   cat(".kinema-", static_cast<long long>(::getpid()), "-", counter++, ".part");
      file_ = FileDescriptor(::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (file_ || errno != EEXIST) break;  // left over from a killed process with our number: try the next
    }
    if (!file_) {
      const int error = errno;
      temporary_.clear();
      throw_system_error(path_, "cannot create", error);
    }
  }
  FileWriter(FileWriter&& o) noexcept
      : path_(std::move(o.path_)), folders_(std::move(o.folders_)), temporary_(std::exchange(o.temporary_, {})),
        file_(std::move(o.file_)), position_(o.position_) {}
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter() { discard(); }

  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& temporary() const { return temporary_; }

  void write(const void* data, std::size_t bytes) {
    write_at(position_, data, bytes);
    position_ += bytes;
  }
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Writes elsewhere without moving the position of write().
  void write_at(std::uint64_t offset, const void* data, std::size_t bytes) {
    const detail::HoldFileSizeSignal hold;
    std::size_t done = 0;
    while (done < bytes) {
      const std::size_t some = std::min(bytes - done, detail::io_chunk);
      const ::ssize_t n = ::pwrite(file_.get(), static_cast<const char*>(data) + done, some,
                                   static_cast<::off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw_system_error(path_, cat("writing at byte ", offset + done), n == 0 ? ENOSPC : errno);
      done += static_cast<std::size_t>(n);
    }
  }
  void seek(std::uint64_t position) { position_ = position; }
  std::uint64_t position() const { return position_; }
  std::uint64_t size() const {
    struct stat s {};
    if (::fstat(file_.get(), &s) != 0) throw_system_error(path_, "cannot read its size");
    return static_cast<std::uint64_t>(s.st_size);
  }

  /// Everything is on the disk, still under the temporary name; the descriptor is closed.
  void seal() {
    if (!file_) return;
    if (::fsync(file_.get()) != 0 && errno != EINVAL) throw_system_error(path_, "cannot sync");
    if (::close(file_.release()) != 0 && errno != EINTR) throw_system_error(path_, "cannot close");
  }
  /// Takes the destination's name (or `path`, in the same folder), replacing what was there.
  void publish() {
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw_system_error(path_, "cannot take its name");
    temporary_.clear();
    folders_.keep();
  }
  void publish_as(const std::filesystem::path& path) {
    path_ = path;
    publish();
  }
  /// seal, publish, and the folder synced.
  void commit() {
    seal();
    publish();
    detail::sync_folder(detail::folder_of(path_));
  }

 private:
  void discard() noexcept {
    file_.close();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  std::filesystem::path path_;
  detail::FolderMaker folders_;  // destroyed after the temporary file is gone
  std::filesystem::path temporary_;
  FileDescriptor file_;
  std::uint64_t position_ = 0;
};

/// Files that appear together: all are on the disk before the first takes its name. If a rename fails, those that
/// replaced nothing are removed again.
class FileGroup {
 public:
  FileGroup() = default;
  FileGroup(const FileGroup&) = delete;
  FileGroup& operator=(const FileGroup&) = delete;
  ~FileGroup() {
    while (!files_.empty()) files_.pop_back();  // the first made the folders, so it goes last
  }
  /// A new file of the group; written by the caller, then sealed.
  FileWriter& add(const std::filesystem::path& destination) {
    if (!files_.empty()) files_.back().seal();
    files_.emplace_back(destination);
    return files_.back();
  }
  std::size_t size() const { return files_.size(); }
  FileWriter& operator[](std::size_t i) { return files_[i]; }

  /// Each file under its destination's name, or under `names[i]` if names are given.
  void commit(std::span<const std::filesystem::path> names = {}) {
    for (FileWriter& f : files_) f.seal();
    std::vector<std::filesystem::path> created;
    try {
      for (std::size_t i = 0; i < files_.size(); ++i) {
        const std::filesystem::path name = names.empty() ? files_[i].path() : names[i];
        struct stat s {};
        const bool is_new = ::lstat(name.c_str(), &s) != 0;
        if (!is_new && S_ISDIR(s.st_mode))
          throw IoError(cat(shown(name), ": an output must be a file name, is a folder"));
        files_[i].publish_as(name);
        if (is_new) created.push_back(name);
      }
    } catch (...) {
      for (const std::filesystem::path& p : created) ::unlink(p.c_str());
      throw;
    }
    if (!files_.empty()) detail::sync_folder(detail::folder_of(files_.back().path()));
    files_.clear();
  }

 private:
  std::vector<FileWriter> files_;
};

/// Writes a whole file at once.
inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  FileWriter file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace kinema::inline KINEMA_ABI::io
