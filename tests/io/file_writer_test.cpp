// tests/io/file_writer_test.cpp - files read only if regular, and written whole or not at all.
#include "io/scratch_folder.hpp"

#include <kinema/io/file_writer.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>

using namespace kinema;
using kinema::test::bytes_of;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

TEST_CASE("only regular files are read, and the others refused at once") {
  const ScratchFolder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const int s = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ::sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = (folder / "socket").string();
  REQUIRE(name.size() < sizeof address.sun_path);
  name.copy(address.sun_path, name.size());
  REQUIRE(::bind(s, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) == 0);
  const std::pair<std::filesystem::path, const char*> cases[] = {
      {folder / "fifo", "must be a regular file, is a FIFO"},
      {folder / "socket", "is a socket"},
      {"/dev/zero", "is a character device"},
      {"/proc/self/maps", "is a file of the kernel"},
      {folder.path(), "is a folder"},
      {folder / "none", "cannot open: No such file or directory"},
      {"", "a file name is empty"},
      {std::string("a\0b", 3), "must not contain NUL"},
  };
  for (const auto& [path, reason] : cases) {
    INFO(path.native());
    CHECK(contains(message_of<IoError>([&, &path = path] { io::read_file(path, 100); }), reason));
    CHECK(contains(message_of<IoError>([&, &path = path] { io::MappedFile map(path); }), reason));
  }
  ::close(s);
  folder.file("abc", "abc");
  CHECK(io::read_file(folder / "abc", 3) == "abc");
  CHECK(contains(message_of<IoError>([&] { io::read_file(folder / "abc", 2); }), "has 3 bytes, at most 2 are read"));
  CHECK(io::MappedFile(folder.file("empty", "")).bytes().empty());
  std::filesystem::create_symlink("loop", folder / "loop");
  CHECK(contains(message_of<IoError>([&] { io::read_file(folder / "loop", 2); }), "symbolic links"));
  std::filesystem::create_symlink("abc", folder / "link");
  CHECK(io::MappedFile(folder / "link").bytes().size() == 3);
}

TEST_CASE("a file that changes after it was opened is noticed") {
  const ScratchFolder folder;
  const auto path = folder.file("x", std::string(100, 'x'));
  const io::RegularFile file(path);
  std::filesystem::resize_file(path, 40);
  CHECK(contains(message_of<IoError>([&] { file.check_unchanged(); }), "had 100 bytes, now 40"));
  unsigned char buffer[100];
  CHECK(contains(message_of<IoError>([&] { file.read(0, buffer); }), "had 100 bytes, now 40"));
}

TEST_CASE("a file appears whole or not at all") {
  const ScratchFolder folder;
  const auto path = folder.file("x", "old");
  {
    io::FileWriter w(path);
    w.write("new content");
    CHECK(bytes_of(path) == "old");
    CHECK(folder.names().size() == 2);
  }  // not committed
  CHECK(bytes_of(path) == "old");
  CHECK(folder.names() == std::vector<std::string>{"x"});
  io::FileWriter w(path);
  w.write("new content");
  w.write_at(0, "N", 1);
  w.write("!");
  w.commit();
  CHECK(bytes_of(path) == "New content!");
  CHECK(folder.names() == std::vector<std::string>{"x"});
}

TEST_CASE("missing folders are made, and removed again if nothing comes of it") {
  const ScratchFolder folder;
  { io::FileWriter w(folder / "a/b/x"); }
  CHECK(folder.names().empty());
  io::write_file(folder / "a/b/x", "1");
  CHECK(bytes_of(folder / "a/b/x") == "1");
}

TEST_CASE("destinations that cannot be written are refused before the work") {
  const ScratchFolder folder;
  folder.file("file", "1");
  std::filesystem::create_directory(folder / "sub");
  CHECK(contains(message_of<IoError>([&] { io::check_destination(folder / "sub"); }),
                 "an output must be a file name, is a folder"));
  CHECK(contains(message_of<IoError>([&] { io::check_destination(folder / "new/"); }), "is a folder's"));
  CHECK(contains(message_of<IoError>([&] { io::check_destination(folder / "file/x"); }), "Not a directory"));
  CHECK(contains(message_of<IoError>([&] { io::check_destination("/dev/null"); }), "is a character device"));
  CHECK(contains(message_of<IoError>([&] { io::check_destination("/proc/nothing/x"); }), "cannot write"));
  CHECK_NOTHROW(io::check_destination(folder / "file"));
  CHECK_NOTHROW(io::check_destination(folder / "a/b/c"));
  CHECK_NOTHROW(io::check_destination("name-without-folder"));
  CHECK(folder.names() == std::vector<std::string>{"file", "sub"});
}

TEST_CASE("a file-size limit is an error and not a signal") {
  const ScratchFolder folder;
  const auto path = folder.file("x", "old");
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const ::rlimit small{1000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  {
    io::FileWriter w(path);
    const std::string bytes(5000, 'x');
    message = message_of<IoError>([&] { w.write(bytes); });
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(contains(message, path.string() + ": writing at byte 1000: File too large"));
  CHECK(bytes_of(path) == "old");
  CHECK(folder.names() == std::vector<std::string>{"x"});
}

TEST_CASE("a group of files appears together") {
  const ScratchFolder folder;
  {
    io::FileGroup g;
    g.add(folder / "a").write("1");
    g.add(folder / "b").write("2");
  }
  CHECK(folder.names().empty());
  io::FileGroup g;
  g.add(folder / "a").write("1");
  g.add(folder / "b").write("2");
  g.commit();
  CHECK(bytes_of(folder / "b") == "2");
  CHECK(folder.names() == std::vector<std::string>{"a", "b"});

  io::FileGroup blocked;  // the second rename fails: the first new file goes again, old ones stay
  blocked.add(folder / "c").write("3");
  blocked.add(folder / "d").write("4");
  std::filesystem::create_directory(folder / "d");
  CHECK_THROWS_AS(blocked.commit(), IoError);
  CHECK_FALSE(std::filesystem::exists(folder / "c"));
}
