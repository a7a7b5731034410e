// tests/program/bad_input/cases_files.cpp - what is not a regular readable file, wherever a command reads one.
#include "bytes.hpp"
#include "case.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace bad_input {
namespace {

struct Place { const char* name; std::function<Words(const std::string&)> command; };

/// Where a command reads a file; the name of the file is filled in.
std::vector<Place> places() {
  return {
      {"--latents", [](const std::string& x) { return Words{"decode", "--model", "model", "--latents", x, "--output", "v.npy"}; }},
      {"--input", [](const std::string& x) { return Words{"encode", "--model", "model", "--input", x, "--output", "l.safetensors"}; }},
      {"--init-video", [](const std::string& x) { return generate({"--init-video", x}); }},
      {"--init-image", [](const std::string& x) { return Words{"generate", "--model", "i2v", "--prompt", "a", "--steps", "2", "--output", "v.npy", "--init-image", x}; }},
      {"--resume", [](const std::string& x) { return Words{"generate", "--resume", x, "--output", "v.npy"}; }},
      {"--config", [](const std::string& x) { return Words{"generate", "--config", x, "--output", "v.npy"}; }},
      {"--prompt-embeds", [](const std::string& x) { return Words{"generate", "--model", "model", "--prompt-embeds", x, "--output", "v.npy"}; }},
      {"inspect", [](const std::string& x) { return Words{"inspect", x}; }},
      {"metadata", [](const std::string& x) { return Words{"metadata", x}; }},
      {"--reference", [](const std::string& x) { return Words{"verify", "--model", "model", "--reference", x}; }},
  };
}

void make_socket(const Folder& f) {
  const int s = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ::sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // A socket's name is short: it is made beside and moved.
  const std::string brief = "/tmp/kinema-bad-" + std::to_string(::getpid()) + "-" + std::to_string(s);
  brief.copy(address.sun_path, sizeof address.sun_path - 1);
  ::bind(s, reinterpret_cast<::sockaddr*>(&address), sizeof address);
  ::close(s);
  std::filesystem::rename(brief, f / "x.sock");
}

}  // namespace

void add_files(Cases& cases) {
  for (const Place& p : places()) {
    const auto add = [&](const std::string& what, const std::string& file, Words words, std::function<void(const Folder&)> prepare, bool unprivileged = false) {
      words.push_back(file);
      cases.push_back({std::string("file for ") + p.name + ": " + what, {3}, words, p.command(file), std::move(prepare)});
      cases.back().around.unprivileged = unprivileged;
    };
    add("missing", "none.safetensors", {"No such file"}, {});
    add("below a file", "x/y.safetensors", {"Not a directory"}, [](const Folder& f) { f.file("x", "x"); });
    add("empty", "x.safetensors", {}, [](const Folder& f) { f.file("x.safetensors", ""); });
    add("a FIFO", "x.fifo", {"FIFO"}, [](const Folder& f) { ::mkfifo((f / "x.fifo").c_str(), 0600); });
    add("a socket", "x.sock", {"socket"}, make_socket);
    add("/dev/zero", "/dev/zero", {"character device"}, {});
    add("/dev/null", "/dev/null", {"character device"}, {});
    add("/proc", "/proc/self/status", {"kernel"}, {});
    add("a link to itself", "x.loop", {"symbolic links"}, [](const Folder& f) { f.link("x.loop", "x.loop"); });
    add("a dangling link", "x.link", {"No such file"}, [](const Folder& f) { f.link("nowhere", "x.link"); });
    add("not readable", "x.safetensors", {"Permission denied"}, [](const Folder& f) {
      f.file("x.safetensors", safetensors("{}"));
      ::chmod((f / "x.safetensors").c_str(), 0);
    }, true);
    add("a name of 300 bytes", std::string(300, 'n'), {"too long"}, {});
    if (std::string(p.name) != "--input" && std::string(p.name) != "--init-video" && std::string(p.name) != "--init-image" && std::string(p.name) != "inspect")
      add("a folder", "x.dir", {}, [](const Folder& f) { f.folder("x.dir"); });
    cases.push_back({std::string("file for ") + p.name + ": an empty name", {2, 3}, {}, p.command("")});
  }
  for (const char* what : {"--input", "--init-video"})
    for (const Place& p : places())
      if (std::string(p.name) == what)
        cases.push_back({std::string("file for ") + p.name + ": an empty folder", {3}, {"x.dir", "no frames"}, p.command("x.dir"), [](const Folder& f) { f.folder("x.dir"); }});

  // The model's own path.
  const auto model = [&](const std::string& what, const std::string& path, Words words, std::function<void(const Folder&)> prepare) {
    words.push_back(path.empty() ? "model" : path);
    cases.push_back({"model folder: " + what, {3}, words, {"tokenize", "--model", path, "--prompt", "x"}, std::move(prepare)});
    cases.push_back({"model folder for plan: " + what, {3}, words, {"plan", "--model", path}, cases.back().prepare});
  };
  model("missing", "nowhere", {}, {});
  model("a file", "x", {}, [](const Folder& f) { f.file("x", "x"); });
  model("a FIFO", "x", {}, [](const Folder& f) { ::mkfifo((f / "x").c_str(), 0600); });
  model("empty", "x", {"model_index.json"}, [](const Folder& f) { f.folder("x"); });
  model("a dangling link", "x", {}, [](const Folder& f) { f.link("nowhere", "x"); });
  model("a link to itself", "x", {}, [](const Folder& f) { f.link("x", "x"); });
  model("/proc/self", "/proc/self", {}, {});
  model("a name of 300 bytes", std::string(300, 'n'), {}, {});
  cases.push_back({"model folder: an empty name", {2, 3}, {}, {"tokenize", "--model", "", "--prompt", "x"}});
  cases.push_back({"inspect: neither folder nor file", {3}, {"nowhere"}, {"inspect", "nowhere"}});
  cases.push_back({"inspect: no path", {2}, {}, {"inspect"}});
}

}  // namespace bad_input
