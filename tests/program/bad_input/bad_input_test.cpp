// tests/program/bad_input/bad_input_test.cpp - runs every case and checks what a failed command promises.
//
// bad_input_test KINEMA [WORDS]: all cases, or those whose names contain the words. For a refused one: an allowed exit code, no
// signal, exactly one line that begins with "error:", the expected words, at most 8,000 characters, valid UTF-8 without control
// characters, an empty stdout, and nothing created, changed or removed, the model included; within seconds.
#include "case.hpp"
#include "bytes.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bad_input {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// The shared models are never written through a folder of a case.
bool is_shared(const fs::path& path) { return fs::is_symlink(path); }

}  // namespace

void Folder::file(const std::string& name, const std::string& bytes) const {
  const fs::path path = path_ / name;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string Folder::read(const std::string& name) const {
  if (!fs::exists(path_ / name)) throw std::runtime_error("the test has no " + name);
  return bytes_of(path_ / name);
}
void Folder::own_model(const std::string& name) const {
  if (!is_shared(path_ / name)) return;
  fs::remove(path_ / name);
  fs::copy(shared_ / name, path_ / name, fs::copy_options::recursive);
}
void Folder::replace(const std::string& name, const std::string& bytes) const {
  own_model(name.substr(0, name.find('/')));
  fs::remove(path_ / name);
  file(name, bytes);
}
void Folder::remove(const std::string& name) const {
  const std::size_t slash = name.find('/');
  if (slash != std::string::npos) own_model(name.substr(0, slash));
  fs::remove_all(path_ / name);
}
void Folder::edit(const std::string& name, const std::string& from, const std::string& to) const {
  own_model(name.substr(0, name.find('/')));
  const std::string text = read(name);
  if (text.find(from) == std::string::npos) throw std::runtime_error("the test finds no " + from + " in " + name);
  replace(name, replaced(text, from, to));
}

namespace {

/// Every path below a folder with what would change if somebody touched it.
std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> all;
  std::error_code error;
  for (fs::recursive_directory_iterator i(folder, fs::directory_options::skip_permission_denied, error), end; i != end; i.increment(error)) {
    struct stat s {};
    ::lstat(i->path().c_str(), &s);
    std::ostringstream text;
    text << std::oct << s.st_mode << std::dec << ' ' << s.st_ino;
    if (!S_ISDIR(s.st_mode)) text << ' ' << s.st_size << ' ' << s.st_mtim.tv_sec << '.' << s.st_mtim.tv_nsec;
    if (S_ISLNK(s.st_mode)) text << ' ' << fs::read_symlink(i->path(), error).native();
    all[i->path().lexically_relative(folder).native()] = text.str();
  }
  return all;
}

std::string difference(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& after, const Words& keeps) {
  std::string out;
  for (const auto& [path, state] : before)
    if (!after.count(path)) out += " removed " + path;
    else if (after.at(path) != state) out += " changed " + path;
  for (const auto& [path, state] : after)
    if (!before.count(path) && std::find(keeps.begin(), keeps.end(), path) == keeps.end()) out += " created " + path;
  return out;
}

struct Result {
  int code = 0, signal = 0;
  bool hung = false;
  double seconds = 0;
  std::string out, error;
};

constexpr double patience = 60;  // seconds; slow instruments run these tests too

Result run(const std::string& kinema, const Case& c, const fs::path& folder, const fs::path& logs) {
  const std::string out = logs / "out", error = logs / "err";
  std::vector<std::string> environment;
  if (!c.around.empty_environment)
    for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  for (const auto& [name, value] : c.around.environment) environment.push_back(name + "=" + value);
  std::vector<char*> words{const_cast<char*>(kinema.c_str())}, variables;
  for (const std::string& w : c.arguments) words.push_back(const_cast<char*>(w.c_str()));
  for (const std::string& e : environment) variables.push_back(const_cast<char*>(e.c_str()));
  words.push_back(nullptr);
  variables.push_back(nullptr);
  const int out_file = ::open(c.around.standard_output == Output::full ? "/dev/full" : out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  const int error_file = ::open(error.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const bool drop = c.around.unprivileged && ::geteuid() == 0;
  const auto begin = std::chrono::steady_clock::now();
  const ::pid_t child = ::fork();
  if (child == 0) {  // only calls that are safe after a fork of several threads
    if (::chdir(folder.c_str()) != 0) ::_exit(125);
    ::dup2(null, 0);
    ::dup2(out_file, 1);
    ::dup2(error_file, 2);
    if (c.around.closed_input) ::close(0);
    if (c.around.standard_output == Output::closed) ::close(1);
    if (drop && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(125);
    for (const auto& [what, value] : c.around.limits) {
      const ::rlimit limit{value, value};
      ::setrlimit(static_cast<__rlimit_resource>(what), &limit);
    }
    ::execve(kinema.c_str(), words.data(), variables.data());
    ::_exit(126);
  }
  Result r;
  int status = 0;
  for (;;) {
    const ::pid_t done = ::waitpid(child, &status, WNOHANG);
    r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (done == child) break;
    if (r.seconds > patience) {
      r.hung = true;
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  for (const int fd : {out_file, error_file, null}) ::close(fd);
  if (WIFSIGNALED(status)) r.signal = WTERMSIG(status);
  else r.code = WEXITSTATUS(status);
  if (c.around.standard_output == Output::captured) r.out = bytes_of(out);
  r.error = bytes_of(error);
  return r;
}

bool is_shown_safely(const std::string& text) {  // UTF-8; of the control characters only the newline
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\n') || c == 0x7F) return false;
    const std::size_t n = c < 0x80 ? 1 : (c >> 5) == 6 ? 2 : (c >> 4) == 14 ? 3 : (c >> 3) == 30 ? 4 : 0;
    if (n == 0 || n > text.size() - i || (c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0)) return false;
    for (std::size_t k = 1; k < n; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    i += n;
  }
  return true;
}

/// What is wrong with an answer; empty if nothing is.
std::string complaint(const Case& c, const Result& r) {
  std::ostringstream out;
  if (r.hung) return "did not end";
  if (r.signal != 0) out << "signal " << r.signal << "; ";
  else if (std::find(c.codes.begin(), c.codes.end(), r.code) == c.codes.end()) out << "exit " << r.code << "; ";
  std::istringstream lines(r.error);
  int errors = 0;
  for (std::string line; std::getline(lines, line);) errors += line.rfind("error:", 0) == 0;
  const bool accepted = r.code == 0 && c.accepted();
  if (errors != (accepted ? 0 : 1)) out << errors << " lines begin with error:; ";
  if (!accepted && !r.out.empty()) out << "stdout is not empty; ";
  if (r.error.size() > 8000) out << r.error.size() << " characters on stderr; ";
  if (!is_shown_safely(r.error)) out << "control characters or no UTF-8 on stderr; ";
  for (const std::string& word : c.words)
    if (r.error.find(word) == std::string::npos && (!accepted || r.out.find(word) == std::string::npos)) out << "no \"" << word << "\"; ";
  if (accepted && c.arguments.size() > 0 && c.arguments[0] == "tokenize" && c.around.standard_output == Output::captured && c.arguments.size() > 2) {
    std::istringstream ids(r.out);
    int n = 0;
    for (long id; ids >> id;) ++n;
    if (n != 32 || std::count(r.out.begin(), r.out.end(), '\n') != 1) out << "not 32 ids on one line; ";
  }
  return out.str();
}

/// A file system of 64 KiB, where the test may make one.
class SmallDisk {
 public:
  explicit SmallDisk(const fs::path& where) : where_(where) {
    fs::create_directories(where_);
    mounted_ = ::mount("tmpfs", where_.c_str(), "tmpfs", 0, "size=64k,mode=0777") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount(where_.c_str());
  }
  bool there() const { return mounted_; }

 private:
  fs::path where_;
  bool mounted_;
};

/// Models, a clip in every format, latents and a picture, made once by the program itself.
bool make_fixtures(const std::string& kinema, const fs::path& shared) {
  fs::create_directories(shared / "made");
  const auto must = [&](const Words& words) {
    const Case c{"fixture", {0}, {}, words};
    const Result r = run(kinema, c, shared, shared / "made");
    if (r.code != 0 || r.signal != 0) std::printf("FAILED: fixture %s: %s\n", words[0].c_str(), r.error.c_str());
    return r.code == 0 && r.signal == 0;
  };
  const auto make = [&](const std::string& output, const Words& more = {}) {
    Words words = {"generate", "--model", "model", "--prompt", "a", "--steps", "2", "--quiet", "--no-contact-sheet", "--output", output};
    words.insert(words.end(), more.begin(), more.end());
    return must(words);
  };
  return must({"init", "--preset", "tiny", "--seed", "3", "--output", "model", "--quiet"}) && must({"init", "--preset", "tiny-i2v", "--seed", "3", "--output", "i2v", "--quiet"}) &&
         make("made/v.npy", {"--save-latents", "made/l.safetensors"}) && make("made/v.mp4") && make("made/v.gif") && make("made/v.avi") && make("made/v.webm") && make("made/v.apng") &&
         make("made/still.png", {"--num-frames", "1"}) && make("made/frames/f_%03d.png");
}

int run_all(const std::string& kinema, const std::string& words) {
  Cases cases;
  add_safetensors(cases);
  add_files(cases);
  add_model_folders(cases);
  add_configs(cases);
  add_tokenizers(cases);
  add_prompts(cases);
  add_media(cases);
  add_arguments(cases);
  add_machine(cases);
  std::string name = (fs::temp_directory_path() / "kinema-bad-input-XXXXXX").native();
  if (::mkdtemp(name.data()) == nullptr) return std::perror("mkdtemp"), 1;
  const fs::path root = name, shared = root / "shared";
  ::chmod(root.c_str(), 0755);
  if (!make_fixtures(kinema, shared)) return 1;
  const bool has_comma_locale = std::setlocale(LC_NUMERIC, "de_DE.UTF-8") != nullptr;
  std::setlocale(LC_NUMERIC, "C");

  std::atomic<std::size_t> next{0}, done{0}, left_out{0}, refused{0};
  std::mutex printing;
  int failed = 0;
  const auto before_shared = snapshot(shared);
  const auto work = [&](unsigned worker) {
    for (std::size_t i = next++; i < cases.size(); i = next++) {
      const Case& c = cases[i];
      if (c.name.find(words) == std::string::npos) continue;
      const fs::path folder = root / ("case-" + std::to_string(i)), logs = root / ("logs-" + std::to_string(worker));
      fs::create_directories(folder);
      fs::create_directories(logs);
      std::string problem;
      Result r;
      {
        const std::unique_ptr<SmallDisk> disk = c.around.needs_small_disk ? std::make_unique<SmallDisk>(folder / "disk") : nullptr;
        if ((disk && !disk->there()) || (c.around.needs_locale && !has_comma_locale)) {
          ++left_out;
        } else {
          try {
            for (const char* part : {"model", "i2v", "made"}) fs::create_symlink(shared / part, folder / part);
            if (c.prepare) c.prepare(Folder(folder, shared));
            if (c.around.unprivileged) ::chmod(folder.c_str(), 0777);
            const auto before = snapshot(folder);
            r = run(kinema, c, folder, logs);
            problem = complaint(c, r);
            const std::string changes = difference(before, snapshot(folder), c.keeps);
            if (!c.may_write && !changes.empty()) problem += "files:" + changes + "; ";
          } catch (const std::exception& e) {
            problem = e.what();
          }
          ++done;
          refused += c.accepted() ? 0 : 1;
        }
      }
      if (!problem.empty()) {
        const std::lock_guard<std::mutex> lock(printing);
        ++failed;
        std::printf("FAILED: %s: %s\n  %s", c.name.substr(0, 200).c_str(), problem.c_str(), r.error.substr(0, 1000).c_str());
        if (r.error.empty() || r.error.back() != '\n') std::printf("\n");
      }
      ::chmod((folder / "d").c_str(), 0755);
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  };
  std::vector<std::thread> workers;
  for (unsigned w = 0; w < std::clamp(std::thread::hardware_concurrency(), 1u, 8u); ++w) workers.emplace_back(work, w);
  for (std::thread& w : workers) w.join();
  const std::string changes = difference(before_shared, snapshot(shared), {});
  if (!changes.empty()) std::printf("FAILED: shared files:%s\n", changes.c_str()), ++failed;
  std::set<std::string> names;
  for (const Case& c : cases)
    if (!names.insert(c.name + '\n' + [&] { std::string all; for (const std::string& w : c.arguments) all += w + '\n'; return all; }()).second)
      std::printf("FAILED: two cases called %s\n", c.name.c_str()), ++failed;
  std::error_code ignored;
  fs::remove_all(root, ignored);
  std::printf("%zu cases, %zu of them refusals, %zu left out on this machine, %d failed\n", done.load(), refused.load(), left_out.load(), failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace bad_input

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: bad_input_test KINEMA [WORDS]\n"), 2;
  return bad_input::run_all(std::filesystem::absolute(argv[1]).native(), argc > 2 ? argv[2] : "");
}
