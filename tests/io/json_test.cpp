// tests/io/json_test.cpp - strict parsing, exact types, messages with file and place, and what is written reads back.
#include "io/scratch_folder.hpp"

#include <kinema/io/json.hpp>

#include <clocale>

using namespace kinema;
using io::Json;
using kinema::test::contains;
using kinema::test::message_of;

namespace {
Json parse(const std::string& text) { return Json::parse(text, "c.json"); }
std::string refusal(const std::string& text) { return message_of<ConfigError>([&] { parse(text); }); }
}  // namespace

TEST_CASE("JSON that is not strict is refused with line and column") {
  const std::pair<std::string, const char*> cases[] = {
      {"", "c.json: invalid JSON: empty"},
      {" \n", "empty"},
      {"\xEF\xBB\xBF{}", "byte order mark"},
      {"{\n  // c\n}", "line 2, column 3"},
      {"{/**/}", "line 1, column 2"},
      {"{\"a\": NaN}", "line 1, column 7"},
      {"{\"a\": Infinity}", "invalid JSON"},
      {"{\"a\": -Infinity}", "invalid JSON"},
      {"{\"a\": 1,}", "line 1, column 9"},
      {"[1,]", "invalid JSON"},
      {"{\"a\":1,\"a\":1}", "duplicate key \"a\""},
      {"{\"a\":1,\"\\u0061\":1}", "duplicate key \"a\""},
      {"{\"x\":{\"b\":1,\"c\":2,\"b\":3}}", "duplicate key \"b\""},
      {"{\"a\":01}", "invalid JSON"},
      {"{\"a\":+1}", "invalid JSON"},
      {"{\"a\":.5}", "invalid JSON"},
      {"{\"a\":1.}", "invalid JSON"},
      {"{\"a\":0x10}", "invalid JSON"},
      {"{\"a\":1e999}", "invalid JSON"},
      {"{'a':1}", "invalid JSON"},
      {"{a:1}", "invalid JSON"},
      {"{\"a\":\"\xC3\x28\"}", "invalid UTF-8 at line 1, column 7"},
      {"{\"a\":\"\\ud800x\"}", "surrogate"},
      {"{\"a\":\"\\x\"}", "invalid JSON"},
      {"{\"a\":\"\t\"}", "control character"},
      {std::string("{}\0", 3), "control byte \\x00 at line 1, column 3"},
      {std::string("\0", 1), "control byte"},
      {"{}{}", "line 1, column 3"},
      {"{} x", "line 1, column 4"},
      {"{\"a\":1", "ends early"},
      {"{\"a\"", "ends early"},
      {std::string(65, '[') + std::string(65, ']'), "nesting limit 64"},
      {std::string(200'000, '['), "nesting limit 64"},
  };
  for (const auto& [text, reason] : cases) {
    INFO(text.substr(0, 60));
    CHECK(contains(refusal(text), reason));
  }
  CHECK_NOTHROW(parse(std::string(64, '[') + std::string(64, ']')));
  CHECK_NOTHROW(
      parse("{\"a\":\"" + std::string(100, '[') + "\\\"" + std::string(100, '{') + "\"}"));  // brackets in a string
  CHECK(contains(refusal("[\"" + std::string((1 << 20) - 10, 'x') + "\",0,0,0,0,0]"), "at most 1048576 are read"));
  CHECK(contains(message_of<ConfigError>(
                     [] { Json::parse("[\"" + std::string((1 << 20) + 1, 'x') + "\"]", "i", io::index_limits); }),
                 "a string of 1048577 bytes"));
}

TEST_CASE("typed reads are exact and name file, place, what was found and what is allowed") {
  const Json j = parse(
      R"({"i": 7, "neg": -3, "big": 9223372036854775808, "huge": 1e3, "vast": 123456789012345678901234567890,
                           "f": 2.5, "s": "2", "t": true, "n": null, "list": [1, 2], "mixed": [1, "x"], "o": {"a/b~c": {"d": []}}})");
  CHECK(j.integer("i") == 7);
  CHECK(j.integer("neg") == -3);
  CHECK(j.integer("absent", 5) == 5);
  CHECK(j.number("i") == 7.0);
  CHECK(j.number("f") == 2.5);
  CHECK(j.number("huge") == 1000.0);
  CHECK(j.number("absent", 0.5) == 0.5);
  CHECK(j.boolean("t"));
  CHECK(j.boolean("absent", true));
  CHECK(j.string("s") == "2");
  CHECK(j.string("absent", "x") == "x");
  CHECK(j.integers("list") == std::vector<std::int64_t>{1, 2});
  CHECK(j.numbers("list") == std::vector<double>{1, 2});
  CHECK(j.strings("absent", {"q"}) == std::vector<std::string>{"q"});
  CHECK_FALSE(j.optional_integer("n").has_value());
  CHECK_FALSE(j.optional_integer("absent").has_value());
  CHECK(j.optional_integer("i") == 7);
  CHECK(j.has("n"));
  CHECK(j.keys().size() == 12);

  const auto says = [](const auto& read, const char* reason) {
    return contains(message_of<ConfigError>(read), reason);
  };
  CHECK(says([&] { j.integer("s"); }, "c.json: /s: must be an integer, got the string \"2\""));
  CHECK(says([&] { j.integer("t"); }, "c.json: /t: must be an integer, got true"));
  CHECK(says([&] { j.integer("f"); }, "c.json: /f: must be an integer, got the number 2.5"));
  CHECK(says([&] { j.integer("huge"); }, "must be an integer, got the number 1000"));
  CHECK(says([&] { j.integer("big"); }, "c.json: /big: must be an integer within 64 bits"));
  CHECK(says([&] { j.integer("vast"); }, "must be an integer within 64 bits"));
  CHECK(says([&] { j.integer("n", 3); }, "c.json: /n: must be an integer, got null"));
  CHECK(says([&] { j.number("s"); }, "must be a number, got the string"));
  CHECK(says([&] { j.number("t"); }, "must be a number, got true"));
  CHECK(says([&] { j.boolean("i"); }, "c.json: /i: must be a boolean, got the integer 7"));
  CHECK(says([&] { j.boolean("s", false); }, "must be a boolean, got the string"));
  CHECK(says([&] { j.string("n", "x"); }, "must be a string, got null"));
  CHECK(says([&] { j.integers("mixed"); }, "c.json: /mixed/1: must be an integer, got the string \"x\""));
  CHECK(says([&] { j.integers("i"); }, "must be an array"));
  CHECK(says([&] { j.integer("gone"); }, "c.json: field \"gone\" is missing"));
  CHECK(says([&] { j.at("o").at("a/b~c").integer("d"); }, "c.json: /o/a~1b~0c/d: must be an integer, got an array"));
  CHECK(says([&] { j.at("list").integer("x"); }, "c.json: /list: must be an object, got an array"));
  CHECK(says([&] { j.at("list").at(2); }, "element 2 is missing"));
}

TEST_CASE("text from a file is escaped in messages") {
  const std::string message = message_of<ConfigError>(
      [] { Json::parse("{\"a\":\"\\u001b[31m\\u0000\"}", "n\x1b.json").integer("a"); });
  CHECK(contains(message, "n\\x1b.json: /a: must be an integer, got the string \"\\x1b[31m\\x00\""));
}

TEST_CASE("numbers do not depend on the locale") {
  const char* const before = std::setlocale(LC_NUMERIC, "de_DE.UTF-8");
  CHECK(parse("{\"x\": 0.25}").number("x") == 0.25);
  if (before != nullptr) std::setlocale(LC_NUMERIC, "C");
}

TEST_CASE("JSON that is written reads back equal") {
  const std::string nasty = "q\" \\ \n \t \x01 \x7f \xC3\xBC \xF0\x9F\x98\x80";
  io::JsonWriter w;
  w.begin_object()
      .field("s", nasty)
      .field("i", std::int64_t{-5})
      .field("u", ~std::uint64_t{0})
      .field("d", 0.1)
      .field("t", true);
  w.field("list", std::vector<std::int64_t>{1, 2}).key("none").null().key("empty").begin_array().end();
  w.field("maybe", std::optional<double>{}).key("o").begin_object().field(nasty, "v").end().end();
  const Json j = parse(w.text());
  CHECK(j.string("s") == nasty);
  CHECK(j.integer("i") == -5);
  CHECK(j.at("u").kind() == io::JsonKind::integer);
  CHECK(j.number("d") == 0.1);
  CHECK(j.boolean("t"));
  CHECK(j.integers("list") == std::vector<std::int64_t>{1, 2});
  CHECK(j.at("none").is_null());
  CHECK(j.at("empty").size() == 0);
  CHECK(j.at("maybe").is_null());
  CHECK(j.at("o").string(nasty) == "v");
  CHECK(io::JsonWriter(false).begin_object().field("a", 1).end().text() == "{\"a\":1}");
  CHECK(io::JsonWriter().begin_object().field("a", 1).end().text() == "{\n  \"a\": 1\n}");
  CHECK_THROWS_AS(io::JsonWriter().value(std::string("\xFF")), ArgumentError);
  CHECK_THROWS_AS(io::JsonWriter().value(1.0 / 0.0), ArgumentError);
}
