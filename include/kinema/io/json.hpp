// kinema/io/json.hpp - strict JSON with exact types and errors that name file and field; the adapter of nlohmann/json.
//
// Only nlohmann's tokeniser and parser are used, through its event interface: events show what a tree hides (duplicate
// keys, whether a number was written as an integer). What the parser tolerates beyond RFC 8259 is refused before it:
// a byte order mark, NUL and other control bytes, invalid UTF-8.
#pragma once

#include <kinema/io/file_writer.hpp>

#if !defined(KINEMA_WITH_JSON) || !KINEMA_WITH_JSON
#error "kinema: io/json.hpp needs nlohmann-json; compile with KINEMA_WITH_JSON=1 (CMake does if it finds it)"
#endif

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <optional>

namespace kinema::inline KINEMA_ABI::io {
/// What a reader accepts, checked before memory is taken.
struct JsonLimits {
  std::uint64_t bytes = std::uint64_t{1} << 20;         ///< of the whole text; a shard index may have 64 MiB
  std::size_t string_bytes = std::size_t{1} << 20;
  int depth = 64;
};

inline constexpr JsonLimits index_limits{std::uint64_t{64} << 20, std::size_t{1} << 20, 64};  ///< for the index of a sharded checkpoint

/// What kind of value an event or a node is; a number is `integer` only if it was written as one and fits.
enum class JsonKind : std::uint8_t { null, boolean, integer, big_integer, number, string, array, object };
/// With its article, for messages.
inline std::string_view name_of(JsonKind kind) {
  switch (kind) {
    case JsonKind::null: return "null";
    case JsonKind::boolean: return "a boolean";
    case JsonKind::integer: return "an integer";
    case JsonKind::big_integer: return "an integer beyond 64 bits";
    case JsonKind::number: return "a number with fraction or exponent";
    case JsonKind::string: return "a string";
    case JsonKind::array: return "an array";
    case JsonKind::object: return "an object";
  }
  return "?";
}

namespace detail {

/// "line 3, column 7 (byte 41)" of a byte offset.
inline std::string json_place(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n');
  return cat("line ", line, ", column ", start == std::string_view::npos ? offset + 1 : offset - start, " (byte ",
             offset, ")");
}

/// Offset of the first byte that is no well-formed UTF-8, or npos. Overlong forms and surrogates are not well-formed.
inline std::size_t first_invalid_utf8(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  std::size_t i = 0;
  while (i < s.size()) {
    const unsigned char c = byte(i);
    if (c < 0x80) {
      ++i;
      continue;
    }
    const std::size_t n = c >= 0xC2 && c < 0xE0 ? 2 : (c >> 4) == 14 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    if (n == 0 || n > s.size() - i) return i;
    for (std::size_t k = 1; k < n; ++k)
      if ((byte(i + k) & 0xC0) != 0x80) return i;
    const unsigned char d = byte(i + 1);
    if ((c == 0xE0 && d < 0xA0) || (c == 0xED && d >= 0xA0) || (c == 0xF0 && d < 0x90) || (c == 0xF4 && d >= 0x90))
      return i;
    i += n;
  }
  return std::string_view::npos;
}

/// Refuses what nlohmann's parser would let through, and nesting beyond `depth_limit` while its place is known.
template <class E>
void check_json_bytes(std::string_view text, std::string_view where, int depth_limit) {
  if (text.starts_with("\xEF\xBB\xBF"))
    throw E(cat(where, ": invalid JSON: begins with a byte order mark (BOM), expected `{`"));
  const std::size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos) throw E(cat(where, ": invalid UTF-8 at ", json_place(text, bad)));
  bool in_string = false;
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"') in_string = !in_string;
    else if (c == '\\' && in_string && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0x20) ++i;
    else if (!in_string && (c == '[' || c == '{') && ++depth > depth_limit)
      throw E(cat(where, ": nesting limit ", depth_limit, " reached at ", json_place(text, i)));
    else if (!in_string && (c == ']' || c == '}')) --depth;
    if (c >= 0x20 || c == '\t' || c == '\n' || c == '\r') continue;
    throw E(cat(where, ": invalid JSON: control byte ", printable(text.substr(i, 1)), " at ", json_place(text, i)));
  }
}

/// Sends the events of `text` to `handler`. A handler has on_scalar(kind, …), on_key, on_begin(kind), on_end(kind); it may
/// throw. Throws E for invalid JSON and for nesting beyond the limit; never recurses.
template <class E, class Handler>
class JsonEvents {
 public:
  using number_integer_t = std::int64_t;
  using number_unsigned_t = std::uint64_t;
  using number_float_t = double;
  using string_t = std::string;
  using binary_t = nlohmann::json::binary_t;

  JsonEvents(std::string_view text, std::string_view where, const JsonLimits& limits, Handler& handler)
      : text_(text), where_(where), limits_(limits), handler_(handler) {}

  bool null() { return scalar(JsonKind::null); }
  bool boolean(bool v) { return scalar(JsonKind::boolean, v ? 1u : 0u); }
  bool number_integer(std::int64_t v) {
    return scalar(JsonKind::integer, static_cast<std::uint64_t>(v), true, static_cast<double>(v));
  }
  bool number_unsigned(std::uint64_t v) { return scalar(JsonKind::integer, v, false, static_cast<double>(v)); }
  bool number_float(double v, const std::string& token) {
    const bool integer = token.find_first_of(".eE") == std::string::npos;  // too large for 64 bits
    return scalar(integer ? JsonKind::big_integer : JsonKind::number, 0, token.starts_with('-'), v);
  }
  bool string(std::string& v) {
    check_length(v);
    handler_.on_string(std::move(v));
    return true;
  }
  bool binary(binary_t&) { return false; }
  bool start_object(std::size_t) { return begin(JsonKind::object); }
  bool start_array(std::size_t) { return begin(JsonKind::array); }
  bool key(std::string& v) {
    check_length(v);
    handler_.on_key(std::move(v));
    return true;
  }
  bool end_object() { return end(JsonKind::object); }
  bool end_array() { return end(JsonKind::array); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing …"
    std::string_view what = error.what();
    const std::size_t colon = what.find(": ");
    if (colon != std::string_view::npos) what.remove_prefix(colon + 2);
    if (position > text_.size())
      throw E(
          cat(where_, ": invalid JSON: ends early at ", json_place(text_, text_.size()), ": ", printable(what, 512)));
    throw E(cat(where_, ": invalid JSON at ", json_place(text_, position == 0 ? 0 : position - 1), ": ",
                printable(what, 512)));
  }

 private:
  bool scalar(JsonKind kind, std::uint64_t bits = 0, bool negative = false, double value = 0) {
    handler_.on_scalar(kind, bits, negative, value);
    return true;
  }
  bool begin(JsonKind kind) {
    if (++depth_ > limits_.depth) throw E(cat(where_, ": nesting limit ", limits_.depth, " reached"));
    handler_.on_begin(kind);
    return true;
  }
  bool end(JsonKind kind) {
    --depth_;
    handler_.on_end(kind);
    return true;
  }
  void check_length(const std::string& v) const {
    if (v.size() > limits_.string_bytes)
      throw E(cat(where_, ": a string of ", v.size(), " bytes (", printable(v, 40), "), at most ", limits_.string_bytes,
                  " are read"));
  }

  std::string_view text_, where_;
  const JsonLimits& limits_;
  Handler& handler_;
  int depth_ = 0;
};

/// The whole of `text` as events; see JsonEvents.
template <class E, class Handler>
void parse_json(std::string_view text, std::string_view where, const JsonLimits& limits, Handler& handler) {
  if (text.size() > limits.bytes)
    throw E(cat(where, ": ", text.size(), " bytes of JSON, at most ", limits.bytes, " are read"));
  check_json_bytes<E>(text, where, limits.depth);
  JsonEvents<E, Handler> events(text, where, limits, handler);
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    throw E(cat(where, ": invalid JSON: empty, expected `{`"));
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &events, nlohmann::json::input_format_t::json, true, false))
    throw E(cat(where, ": invalid JSON"));
}

/// A value with everything in it.
struct JsonNode {
  JsonKind kind = JsonKind::null;
  bool negative = false;
  std::uint64_t bits = 0;  // of a boolean or an integer; a negative integer in two's complement
  double value = 0;
  std::string text;
  std::vector<std::string> keys;  // of an object, one for each child
  std::vector<JsonNode> children;

  const JsonNode* find(std::string_view key) const {
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (keys[i] == key) return &children[i];
    return nullptr;
  }
};

/// Builds the tree, without recursion.
template <class E>
class JsonTreeBuilder {
 public:
  JsonTreeBuilder(JsonNode& root, std::string_view where) : where_(where), root_(root) {}
  void on_scalar(JsonKind kind, std::uint64_t bits, bool negative, double value) {
    JsonNode& n = add();
    n.kind = kind;
    n.bits = bits;
    n.negative = negative;
    n.value = value;
  }
  void on_string(std::string&& text) {
    JsonNode& n = add();
    n.kind = JsonKind::string;
    n.text = std::move(text);
  }
  void on_begin(JsonKind kind) {
    JsonNode& n = add();
    n.kind = kind;
    open_.push_back(&n);  // stays valid: only the innermost open node gets children
  }
  void on_key(std::string&& key) { open_.back()->keys.push_back(std::move(key)); }
  void on_end(JsonKind kind) {
    if (kind == JsonKind::object) refuse_duplicates(*open_.back());
    open_.pop_back();
  }

 private:
  JsonNode& add() {
    if (open_.empty()) return root_;
    open_.back()->children.emplace_back();
    return open_.back()->children.back();
  }
  void refuse_duplicates(const JsonNode& n) const {
    std::vector<std::string_view> sorted(n.keys.begin(), n.keys.end());
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) throw E(cat(where_, ": duplicate key \"", printable(*twice), "\""));
  }
  std::string_view where_;
  JsonNode& root_;
  std::vector<JsonNode*> open_;
};

}  // namespace detail

/// A JSON value that knows its file and its place in it. Copying shares. Every read throws ConfigError, naming file,
/// place, what was found and what is allowed. Types are exact: "2", true and 2.5 are no integers, "true" is no boolean;
/// null is allowed only where the default is null.
class Json {
 public:
  /// `name` is what errors call the text.
  static Json parse(std::string_view text, std::string_view name, const JsonLimits& limits = {}) {
    const std::string where = printable(name, 1024);
    auto root = std::make_shared<detail::JsonNode>();
    detail::JsonTreeBuilder<ConfigError> builder(*root, where);
    detail::parse_json<ConfigError>(text, where, limits, builder);
    const detail::JsonNode* node = root.get();
    return Json(std::move(root), node, where, "");
  }
  /// Reads a file; IoError if it cannot be read.
  static Json read(const std::filesystem::path& path, const JsonLimits& limits = {}) {
    return parse(read_file(path, limits.bytes), path.native(), limits);
  }

  JsonKind kind() const { return node_->kind; }
  bool is_null() const { return kind() == JsonKind::null; }
  bool is_object() const { return kind() == JsonKind::object; }
  bool is_array() const { return kind() == JsonKind::array; }
  /// "file: /a/b", as errors name this value.
  std::string where() const { return pointer_.empty() ? file_ : cat(file_, ": ", printable(pointer_, 512)); }
  const std::string& file() const { return file_; }

  /// Number of elements of an array or fields of an object.
  std::size_t size() const { return node_->children.size(); }
  /// Names of an object's fields, in the order of the file.
  const std::vector<std::string>& keys() const { return expect(JsonKind::object).node_->keys; }
  /// True if the field is there, be it null.
  bool has(std::string_view key) const { return is_object() && node_->find(key) != nullptr; }
  /// A field that must be there.
  Json at(std::string_view key) const {
    const detail::JsonNode* child = expect(JsonKind::object).node_->find(key);
    if (child == nullptr) fail(cat("field \"", printable(key), "\" is missing"));
    return Json(root_, child, file_, cat(pointer_, "/", escaped(key)));
  }
  Json at(std::size_t i) const {
    if (node_->kind != JsonKind::array && node_->kind != JsonKind::object) expect(JsonKind::array);
    if (i >= size()) fail(cat("element ", i, " is missing, there are ", size()));
    return Json(root_, &node_->children[i], file_, cat(pointer_, "/", is_object() ? escaped(node_->keys[i]) : cat(i)));
  }
  const Json& expect(JsonKind kind) const {
    if (node_->kind != kind) fail(cat("must be ", name_of(kind), ", got ", found()));
    return *this;
  }

  // This value as a C++ value.
  std::int64_t as_integer() const {
    if (node_->kind == JsonKind::big_integer ||
        (node_->kind == JsonKind::integer && !node_->negative && node_->bits > INT64_MAX))
      fail("must be an integer within 64 bits with sign, got a larger one");
    expect(JsonKind::integer);
    return static_cast<std::int64_t>(node_->bits);
  }
  double as_number() const {
    if (node_->kind != JsonKind::integer && node_->kind != JsonKind::big_integer && node_->kind != JsonKind::number)
      fail(cat("must be a number, got ", found()));
    return node_->value;
  }
  bool as_boolean() const { return expect(JsonKind::boolean).node_->bits != 0; }
  const std::string& as_string() const { return expect(JsonKind::string).node_->text; }

  // Fields: absent ones take the default; without a default they must be there.
  std::int64_t integer(std::string_view key) const { return at(key).as_integer(); }
  std::int64_t integer(std::string_view key, std::int64_t absent) const {
    return has(key) ? at(key).as_integer() : absent;
  }
  double number(std::string_view key) const { return at(key).as_number(); }
  double number(std::string_view key, double absent) const { return has(key) ? at(key).as_number() : absent; }
  bool boolean(std::string_view key) const { return at(key).as_boolean(); }
  bool boolean(std::string_view key, bool absent) const { return has(key) ? at(key).as_boolean() : absent; }
  std::string string(std::string_view key) const { return at(key).as_string(); }
  std::string string(std::string_view key, std::string_view absent) const {
    return has(key) ? at(key).as_string() : std::string(absent);
  }
  std::vector<std::int64_t> integers(std::string_view key) const {
    return list<std::int64_t>(key, [](const Json& j) { return j.as_integer(); });
  }
  std::vector<std::int64_t> integers(std::string_view key, std::vector<std::int64_t> absent) const {
    return has(key) ? integers(key) : absent;
  }
  std::vector<double> numbers(std::string_view key) const {
    return list<double>(key, [](const Json& j) { return j.as_number(); });
  }
  std::vector<double> numbers(std::string_view key, std::vector<double> absent) const {
    return has(key) ? numbers(key) : absent;
  }
  std::vector<std::string> strings(std::string_view key) const {
    return list<std::string>(key, [](const Json& j) { return j.as_string(); });
  }
  std::vector<std::string> strings(std::string_view key, std::vector<std::string> absent) const {
    return has(key) ? strings(key) : absent;
  }

  // Fields whose default is null: absent and null mean "none".
  std::optional<std::int64_t> optional_integer(std::string_view key) const {
    return given(key) ? std::optional(at(key).as_integer()) : std::nullopt;
  }
  std::optional<double> optional_number(std::string_view key) const {
    return given(key) ? std::optional(at(key).as_number()) : std::nullopt;
  }
  std::optional<bool> optional_boolean(std::string_view key) const {
    return given(key) ? std::optional(at(key).as_boolean()) : std::nullopt;
  }
  std::optional<std::string> optional_string(std::string_view key) const {
    return given(key) ? std::optional(at(key).as_string()) : std::nullopt;
  }
  std::optional<std::vector<double>> optional_numbers(std::string_view key) const {
    return given(key) ? std::optional(numbers(key)) : std::nullopt;
  }
  std::optional<std::vector<std::int64_t>> optional_integers(std::string_view key) const {
    return given(key) ? std::optional(integers(key)) : std::nullopt;
  }

  /// Throws ConfigError about this value: "file: /place: message".
  [[noreturn]] void fail(std::string_view message) const { throw ConfigError(cat(where(), ": ", message)); }

 private:
  Json(std::shared_ptr<const detail::JsonNode> root, const detail::JsonNode* node, std::string file,
       std::string pointer)
      : root_(std::move(root)), node_(node), file_(std::move(file)), pointer_(std::move(pointer)) {}

  bool given(std::string_view key) const { return has(key) && !at(key).is_null(); }
  template <class T, class Read>
  std::vector<T> list(std::string_view key, const Read& read) const {
    const Json field = at(key);
    field.expect(JsonKind::array);
    std::vector<T> out;
    out.reserve(field.size());
    for (std::size_t i = 0; i < field.size(); ++i) out.push_back(read(field.at(i)));
    return out;
  }
  /// The value as errors quote it.
  std::string found() const {
    switch (node_->kind) {
      case JsonKind::boolean: return node_->bits != 0 ? "true" : "false";
      case JsonKind::integer:
        return cat("the integer ", node_->negative ? cat(static_cast<std::int64_t>(node_->bits)) : cat(node_->bits));
      case JsonKind::number: return cat("the number ", node_->value, " (written with fraction or exponent)");
      case JsonKind::string: return cat("the string \"", printable(node_->text, 80), "\"");
      default: return std::string(name_of(node_->kind));
    }
  }
  static std::string escaped(std::string_view key) {  // RFC 6901
    std::string out;
    for (const char c : key) {
      if (c == '~') out += "~0";
      else if (c == '/') out += "~1";
      else out += c;
    }
    return out;
  }

  std::shared_ptr<const detail::JsonNode> root_;
  const detail::JsonNode* node_ = nullptr;
  std::string file_, pointer_;
};

/// Writes JSON text field by field, indented by two spaces (or on one line). Throws ArgumentError for text that is no
/// UTF-8 and for numbers that are not finite; the caller balances begin and end.
class JsonWriter {
 public:
  explicit JsonWriter(bool indent = true) : indent_(indent) {}
  JsonWriter& begin_object() { return begin('{', '}'); }
  JsonWriter& begin_array() { return begin('[', ']'); }
  JsonWriter& key(std::string_view name) {
    separate();
    quote(name);
    out_ += indent_ ? ": " : ":";
    after_key_ = true;
    return *this;
  }
  JsonWriter& end() {
    const Level level = levels_.back();
    levels_.pop_back();
    if (level.filled) new_line();
    out_ += level.close;
    return *this;
  }
  JsonWriter& null() { return raw("null"); }
  JsonWriter& value(bool v) { return raw(v ? "true" : "false"); }
  template <class I>
    requires(std::is_integral_v<I> && !std::is_same_v<I, bool>)
  JsonWriter& value(I v) { return raw(std::to_string(v)); }
  JsonWriter& value(double v) {
    if (!std::isfinite(v)) throw ArgumentError("json: a number must be finite to be written");
    char text[40];
    const std::to_chars_result r = std::to_chars(text, text + sizeof text, v);  // the shortest that reads back equal
    return raw(std::string_view(text, static_cast<std::size_t>(r.ptr - text)));
  }
  JsonWriter& value(std::string_view v) {
    separate();
    quote(v);
    return *this;
  }
  JsonWriter& value(const char* v) { return value(std::string_view(v)); }
  JsonWriter& value(const std::string& v) { return value(std::string_view(v)); }
  template <class T>
  JsonWriter& value(const std::vector<T>& list) {
    begin_array();
    for (const T& v : list) value(v);
    return end();
  }
  template <class T>
  JsonWriter& value(const std::optional<T>& v) { return v ? value(*v) : null(); }
  /// key and value.
  template <class T>
  JsonWriter& field(std::string_view name, const T& v) { return key(name).value(v); }

  const std::string& text() const { return out_; }

 private:
  struct Level { char close; bool filled; };
  JsonWriter& begin(char open, char close) {
    separate();
    out_ += open;
    levels_.push_back({close, false});
    return *this;
  }
  JsonWriter& raw(std::string_view text) {
    separate();
    out_ += text;
    return *this;
  }
  void separate() {
    if (std::exchange(after_key_, false) || levels_.empty()) return;
    if (levels_.back().filled) out_ += ',';
    levels_.back().filled = true;
    new_line();
  }
  void new_line() {
    if (!indent_) return;
    out_ += '\n';
    out_.append(2 * levels_.size(), ' ');
  }
  void quote(std::string_view s) {
    if (detail::first_invalid_utf8(s) != std::string_view::npos)
      throw ArgumentError(cat("json: text must be UTF-8 to be written, got \"", printable(s, 80), "\""));
    constexpr char hex[] = "0123456789abcdef";
    out_ += '"';
    for (const char c : s) {
      if (c == '"' || c == '\\') (out_ += '\\') += c;
      else if (c == '\n') out_ += "\\n";
      else if (c == '\t') out_ += "\\t";
      else if (static_cast<unsigned char>(c) < 0x20) ((out_ += "\\u00") += hex[c >> 4]) += hex[c & 15];
      else out_ += c;
    }
    out_ += '"';
  }

  bool indent_;
  bool after_key_ = false;
  std::vector<Level> levels_;
  std::string out_;
};

}  // namespace kinema::inline KINEMA_ABI::io
