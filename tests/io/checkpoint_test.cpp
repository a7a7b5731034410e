// tests/io/checkpoint_test.cpp - one component's weights in one file or many, and every odd folder by name.
#include "io/scratch_folder.hpp"

#include <kinema/io/checkpoint.hpp>

using namespace kinema;
using io::Checkpoint;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

const std::string base = "model";

void put(const ScratchFolder& folder, const std::string& file, const std::vector<std::string>& names, float value = 1) {
  std::map<std::string, Tensor<>> tensors;
  for (const std::string& n : names) tensors[n] = full({2}, value, DType::f32);
  io::write_safetensors(folder / file, tensors);
}
void put_index(const ScratchFolder& folder, const std::string& weight_map, const std::string& rest = "") {
  folder.file("model.safetensors.index.json", "{" + rest + "\"weight_map\":{" + weight_map + "}}");
}
Checkpoint open(const ScratchFolder& folder, const io::CheckpointOptions& options = {}) {
  return Checkpoint::open(folder.path(), base, options);
}
template <class E>
std::string refusal(const ScratchFolder& folder) {
  return message_of<E>([&] { open(folder); });
}
const std::string s1 = "model-00001-of-00002.safetensors", s2 = "model-00002-of-00002.safetensors";
std::string quoted(const std::string& key, const std::string& value) { return "\"" + key + "\":\"" + value + "\""; }

}  // namespace

TEST_CASE("shards through their index") {
  const ScratchFolder folder;
  put(folder, s1, {"a", "b"}, 1);
  put(folder, s2, {"c"}, 2);
  put_index(folder, quoted("a", s1) + "," + quoted("b", s1) + "," + quoted("c", s2),
            "\"metadata\":{\"total_size\":24},");
  const Checkpoint c = open(folder);
  CHECK(c.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(c.get("c").data<float>()[1] == 2.0f);
  CHECK(c.shape("a") == Shape{2});
  CHECK(c.dtype("a") == DType::f32);
  CHECK(c.tensor_bytes() == 24);
  CHECK(c.warnings().empty());
  CHECK(c.shards().size() == 2);
  CHECK(contains(c.shard_of("c").description(), s2));
  CHECK(contains(message_of<CheckpointError>([&] { c.get("d"); }), "index.json: has no tensor `d`"));
}

TEST_CASE("a single file wins over an index") {
  const ScratchFolder folder;
  put(folder, "model.safetensors", {"a"}, 5);
  put_index(folder, quoted("a", "gone.safetensors"));
  const Checkpoint c = open(folder);
  CHECK(c.get("a").data<float>()[0] == 5.0f);
  REQUIRE(c.warnings().size() == 1);
  CHECK(contains(c.warnings()[0], "the single file is used"));
  CHECK(contains(c.description(), "model.safetensors"));
  CHECK(Checkpoint::open_file(folder / "model.safetensors").contains("a"));
}

TEST_CASE("a bad index is refused with file and place") {
  const ScratchFolder folder;
  put(folder, s1, {"a"});
  const auto says = [&](const std::string& json, const char* reason) {
    folder.file("model.safetensors.index.json", json);
    return contains(refusal<ConfigError>(folder), reason);
  };
  CHECK(says("{}", "index.json: field \"weight_map\" is missing"));
  CHECK(says("[]", "must be an object, got an array"));
  CHECK(says("{\"weight_map\":[]}", "/weight_map: must be an object, got an array"));
  CHECK(says("{\"weight_map\":{}}", "/weight_map: must name at least one tensor, is empty"));
  CHECK(says("{\"weight_map\":{\"a\":1}}", "/weight_map/a: must be a string, got the integer 1"));
  CHECK(says("{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}", "duplicate key \"a\""));
  CHECK(says("{\"weight_map\":{\"a\":\"x.bin\"}}", "must be a .safetensors file"));
  for (const char* name : {"../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..", ".", "",
                           "a\\\\b.safetensors", "C:x.safetensors", "a\\u0000.safetensors"}) {
    INFO(name);
    CHECK(says("{\"weight_map\":{\"a\":\"" + std::string(name) + "\"}}",
               "/weight_map/a: a shard must be a plain file name"));
  }
  std::string many;
  for (int i = 0; i < 10'001; ++i)
    many += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"" + std::to_string(i) + ".safetensors\"";
  CHECK(says("{\"weight_map\":{" + many + "}}", "names more than 10000 shards"));
}

TEST_CASE("shards and index that disagree are refused with both") {
  const ScratchFolder folder;
  put(folder, s1, {"a", "b"});
  SECTION("shards missing: all are named") {
    folder.file("MODEL-3.safetensors", "");
    put_index(folder,
              quoted("a", s1) + "," + quoted("c", "model-2.safetensors") + "," + quoted("d", "model-3.safetensors"));
    const std::string m = refusal<IoError>(folder);
    CHECK(contains(m, "2 shards are missing: model-2.safetensors, model-3.safetensors (there is MODEL-3.safetensors)"));
  }
  SECTION("listed in one, stored in another") {
    put(folder, s2, {"c"});
    put_index(folder, quoted("a", s2) + "," + quoted("b", s1));
    const std::string m = refusal<CheckpointError>(folder);
    CHECK(contains(m, "tensor `a` is listed in " + s2 + ", but stored in "));
    CHECK(contains(m, s1));
  }
  SECTION("stored twice") {
    put(folder, s2, {"a"});
    put_index(folder, quoted("a", s1) + "," + quoted("b", s2));
    CHECK(contains(refusal<CheckpointError>(folder), "tensor `a` is stored in two shards: "));
  }
  SECTION("in no shard: twenty names and the count") {
    std::string map = quoted("a", s1);
    for (int i = 0; i < 30; ++i) map += "," + quoted("t" + std::to_string(i), s1);
    put_index(folder, map);
    const std::string m = refusal<CheckpointError>(folder);
    CHECK(contains(m, "30 tensors are in no shard: t0, t1, "));
    CHECK(contains(m, "t19 and 10 more"));
  }
  SECTION("a shard that is an LFS pointer") {
    folder.file(s2, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n");
    put_index(folder, quoted("a", s1) + "," + quoted("c", s2));
    CHECK(contains(refusal<IoError>(folder), s2 + ": not safetensors: a Git LFS pointer"));
  }
  SECTION("an empty shard") {
    folder.file(s2, "");
    put_index(folder, quoted("a", s1) + "," + quoted("c", s2));
    CHECK(contains(refusal<IoError>(folder), s2 + ": file is 0 bytes"));
  }
  SECTION("a dangling link") {
    std::filesystem::create_symlink("nowhere", folder / s2);
    put_index(folder, quoted("a", s1) + "," + quoted("c", s2));
    CHECK(contains(refusal<IoError>(folder), s2 + ": cannot open: No such file"));
  }
}

TEST_CASE("oddities are accepted with a warning") {
  const ScratchFolder folder;
  put(folder, s1, {"a", "b"});
  put(folder, "model-00009-of-00009.safetensors", {"x"});
  put_index(folder, quoted("a", s1), "\"metadata\":{\"total_size\":7},");
  const Checkpoint c = open(folder);
  CHECK(c.names() == std::vector<std::string>{"a"});
  REQUIRE(c.warnings().size() == 3);
  CHECK(contains(c.warnings()[0], "stored but not listed, ignored: b"));
  CHECK(contains(c.warnings()[1], "model-00009-of-00009.safetensors"));
  CHECK(contains(c.warnings()[2], "says 7 bytes, the shards have 16"));
}

TEST_CASE("shards behind symbolic links are followed") {
  const ScratchFolder folder, blobs;
  put(blobs, "blob.safetensors", {"a"});
  std::filesystem::create_symlink(blobs / "blob.safetensors", folder / s1);
  put_index(folder, quoted("a", s1));
  CHECK(open(folder).contains("a"));
}

TEST_CASE("variants are never chosen silently") {
  const ScratchFolder folder;
  put(folder, "model.fp16.safetensors", {"a"}, 3);
  CHECK(
      contains(refusal<CheckpointError>(folder), "only variants, of which one must be chosen: model.fp16.safetensors"));
  CHECK(open(folder, {"fp16"}).get("a").data<float>()[0] == 3.0f);
  put(folder, "model.safetensors", {"a"}, 4);
  CHECK(open(folder).get("a").data<float>()[0] == 4.0f);
  CHECK_THROWS_AS(open(folder, {"../x"}), ArgumentError);
}

TEST_CASE("folders without weights say what is there instead") {
  const ScratchFolder folder;
  CHECK(contains(refusal<IoError>(folder), "has neither model.safetensors nor model.safetensors.index.json"));
  folder.file("other.safetensors", "");
  CHECK(contains(refusal<IoError>(folder), "; there is other.safetensors"));
  folder.file("pytorch_model.bin", "x");
  CHECK(contains(refusal<IoError>(folder),
                 "has only pickle weights (pytorch_model.bin); pickle is never read, convert to safetensors"));
  folder.file("model.safetensors.incomplete", "x");
  CHECK(contains(refusal<IoError>(folder), "an unfinished download is there: model.safetensors.incomplete"));
  put(folder, s1, {"a"});
  CHECK(contains(refusal<CheckpointError>(folder), "has shards (" + s1 + "), but not their index"));
  CHECK(contains(message_of<IoError>([&] { Checkpoint::open(folder / "none", base); }),
                 "cannot open the folder: No such file"));
  CHECK(contains(message_of<IoError>([&] { Checkpoint::open(folder / "pytorch_model.bin", base); }),
                 "must be a folder, is a file"));
}

TEST_CASE("written checkpoints are sharded greedily and read back") {
  const ScratchFolder folder;
  const std::vector<io::TensorDeclaration> tensors = {
      {"z", DType::f32, {2}}, {"y", DType::f32, {3}}, {"x", DType::f32, {10}}, {"w", DType::f32, {1}}};
  const auto write = [&](std::uint64_t limit) {
    io::CheckpointWriter w(folder.path(), base, tensors, limit);
    for (const auto& t : tensors) w.add(t.name, full(t.shape, static_cast<double>(t.bytes()), t.dtype));
    CHECK(std::none_of(w.shard_names().begin(), w.shard_names().end(),
                       [&](const std::string& n) { return std::filesystem::exists(folder / n); }));
    w.finish();
  };
  SECTION("one file") {
    write(1000);
    CHECK(folder.names() == std::vector<std::string>{"model.safetensors"});
  }
  SECTION("shards") {
    write(20);
    CHECK(folder.names() ==
          std::vector<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                   "model-00003-of-00003.safetensors", "model.safetensors.index.json"});
  }
  const Checkpoint c = open(folder);
  CHECK(c.warnings().empty());
  for (const auto& t : tensors) CHECK(c.get(t.name).data<float>()[0] == static_cast<float>(t.bytes()));
}
