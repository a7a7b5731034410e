// kinema/io/safetensors.hpp - safetensors files: checked completely before a tensor is handed out, then read without a copy.
//
// The header is read as events, never as a tree: numbers stay the integers that were written, duplicate names are seen,
// memory stays near the header's size. Every size from the file is compared by subtraction or multiplied with an
// overflow check. Format and rules: huggingface/safetensors README.md and safetensors/src/tensor.rs; in addition
// duplicate keys, array entries and ranks above eight are refused.
#pragma once

#include <kinema/io/elements.hpp>
#include <kinema/io/json.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/source.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

namespace kinema::inline KINEMA_ABI::io {

inline constexpr std::uint64_t max_safetensors_header = 100'000'000;  ///< the reference's cap
inline constexpr std::size_t max_safetensors_tensors = 1'000'000;     ///< CogVideoX-5B has about a thousand
inline constexpr std::size_t max_safetensors_name = 4096;             ///< bytes

/// An element type as files spell it. `read` is set for those that become tensors.
struct SafetensorsType {
  std::string_view name;
  unsigned bits;
  std::optional<DType> read;
};
/// All that the format knows.
inline constexpr SafetensorsType safetensors_types[] = {
    {"F64", 64, DType::f64}, {"F32", 32, DType::f32}, {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16},
    {"I64", 64, DType::i64}, {"I32", 32, DType::i32}, {"U8", 8, DType::u8}, {"BOOL", 8, DType::boolean},
    {"I8", 8, DType::i8}, {"I16", 16, {}}, {"U16", 16, {}}, {"U32", 32, {}}, {"U64", 64, {}}, {"C64", 64, {}},
    {"F8_E5M2", 8, {}}, {"F8_E4M3", 8, {}}, {"F8_E8M0", 8, {}}, {"F8_E4M3FNUZ", 8, {}}, {"F8_E5M2FNUZ", 8, {}},
    {"F4", 4, {}}, {"F6_E2M3", 6, {}}, {"F6_E3M2", 6, {}}};
/// As files spell it.
inline std::string_view safetensors_name(DType t) {
  for (const SafetensorsType& s : safetensors_types)
    if (s.read == t) return s.name;
  return "?";
}

/// One tensor of a header. Offsets count from the end of the header.
struct SafetensorsEntry {
  std::string name;
  const SafetensorsType* type = nullptr;
  Shape shape;
  std::uint64_t begin = 0, end = 0;
};

/// A checked header: entries sorted by name; data starts at byte `data`.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
  std::uint64_t data = 0;

  const SafetensorsEntry* find(std::string_view name) const {
    const auto it = std::lower_bound(entries.begin(), entries.end(), name,
                                     [](const SafetensorsEntry& e, std::string_view n) { return e.name < n; });
    return it != entries.end() && it->name == name ? &*it : nullptr;
  }
};

namespace detail {

/// Reads the header's events into entries. One state per open bracket, so unknown fields of any depth are skipped.
class SafetensorsEvents {
 public:
  SafetensorsEvents(SafetensorsHeader& header, std::string_view where) : header_(header), where_(where) {}

  void on_scalar(JsonKind kind, std::uint64_t bits, bool negative, double) {
    switch (state()) {
      case State::start: fail_top(kind);
      case State::top: top_value(kind); break;
      case State::metadata: metadata_key_fail(kind);
      case State::entry: entry_scalar(kind); break;
      case State::shape: dimension(kind, bits, negative); break;
      case State::offsets: offset(kind, bits, negative); break;
      case State::skip: break;
    }
  }
  void on_string(std::string&& v) {
    switch (state()) {
      case State::start: fail_top(JsonKind::string);
      case State::top: top_value(JsonKind::string); break;
      case State::metadata: add_metadata(std::move(v)); break;
      case State::entry: entry_string(v); break;
      case State::shape:
        fail_entry(cat("dim ", dims_, " is not an integer, got the string \"", printable(v, 40), "\""));
      case State::offsets:
        fail_entry(
            cat("data_offsets entry ", offsets_, " is not an integer, got the string \"", printable(v, 40), "\""));
      case State::skip: break;
    }
  }
  void on_key(std::string&& k) {
    if (k.size() > max_safetensors_name && state() != State::metadata)
      throw IoError(cat(where_, ": a name of ", k.size(), " bytes (", printable(k, 40), "), at most ",
                        max_safetensors_name, " are read"));
    key_ = std::move(k);
  }
  void on_begin(JsonKind kind) {
    switch (state()) {
      case State::start:
        if (kind != JsonKind::object) fail_top(kind);
        states_.push_back(State::top);
        return;
      case State::top: begin_entry(kind); return;
      case State::metadata: metadata_key_fail(kind);
      case State::entry: begin_field(kind); return;
      case State::shape: fail_entry(cat("dim ", dims_, " is not an integer, got ", name_of(kind)));
      case State::offsets: fail_entry(cat("data_offsets entry ", offsets_, " is not an integer, got ", name_of(kind)));
      case State::skip: states_.push_back(State::skip); return;
    }
  }
  void on_end(JsonKind) {
    const State s = state();
    states_.pop_back();
    if (s == State::offsets && offsets_ != 2)
      fail_entry(cat("data_offsets has ", offsets_, offsets_ == 1 ? " entry" : " entries", ", needs 2"));
    if (s == State::entry) end_entry();
  }

 private:
  enum class State : std::uint8_t { start, top, metadata, entry, shape, offsets, skip };
  enum Field : unsigned { dtype_field = 1, shape_field = 2, offsets_field = 4 };

  State state() const { return states_.empty() ? State::start : states_.back(); }
  [[noreturn]] void fail_top(JsonKind kind) const {
    throw IoError(cat(where_, ": header must be a JSON object, found ", name_of(kind)));
  }
  [[noreturn]] void fail_entry(std::string_view what) const {
    throw IoError(cat(where_, ": tensor `", printable(entry_.name), "`: ", what));
  }
  [[noreturn]] void metadata_key_fail(JsonKind kind) const {
    throw IoError(
        cat(where_, ": metadata value `__metadata__.", printable(key_), "` must be a string, found ", name_of(kind)));
  }

  /// A scalar or string where an entry's object belongs.
  void top_value(JsonKind kind) {
    if (key_ == "__metadata__") {
      if (metadata_seen_) throw IoError(cat(where_, ": duplicate `__metadata__`"));
      metadata_seen_ = true;
      if (kind == JsonKind::null) return;  // none
      throw IoError(cat(where_, ": `__metadata__` must be an object, found ", name_of(kind)));
    }
    entry_.name = key_;
    fail_entry(cat("entry must be an object, found ", name_of(kind)));
  }
  void begin_entry(JsonKind kind) {
    if (key_ == "__metadata__") {
      if (metadata_seen_) throw IoError(cat(where_, ": duplicate `__metadata__`"));
      metadata_seen_ = true;
      if (kind != JsonKind::object)
        throw IoError(cat(where_, ": `__metadata__` must be an object, found ", name_of(kind)));
      states_.push_back(State::metadata);
      return;
    }
    entry_ = {};
    entry_.name = std::move(key_);
    seen_ = 0;
    if (kind != JsonKind::object) fail_entry(cat("entry must be an object, found ", name_of(kind)));
    if (header_.entries.size() == max_safetensors_tensors)
      throw IoError(cat(where_, ": more than ", max_safetensors_tensors, " tensors"));
    states_.push_back(State::entry);
  }
  void add_metadata(std::string&& v) {
    if (!header_.metadata.emplace(key_, std::move(v)).second)
      throw IoError(cat(where_, ": duplicate metadata key `__metadata__.", printable(key_), "`"));
  }

  /// Which of the three fields key_ is; 0 for unknown ones, which are accepted and ignored.
  unsigned field() {
    const unsigned f = key_ == "dtype"          ? dtype_field
                       : key_ == "shape"        ? shape_field
                       : key_ == "data_offsets" ? offsets_field
                                                : 0u;
    if (f != 0 && (seen_ & f) != 0) fail_entry(cat("duplicate field `", key_, "`"));
    seen_ |= f;
    return f;
  }
  void entry_scalar(JsonKind kind) {
    const unsigned f = field();
    if (f == dtype_field) fail_entry(cat("dtype must be a string, found ", name_of(kind)));
    if (f != 0)
      fail_entry(cat(f == shape_field ? "shape" : "data_offsets", " must be an array, found ", name_of(kind)));
  }
  void entry_string(const std::string& v) {
    const unsigned f = field();
    if (f == shape_field || f == offsets_field) entry_string_misplaced(f);
    if (f != dtype_field) return;
    std::string known, hint;
    for (const SafetensorsType& t : safetensors_types) {
      if (t.name == v) {
        entry_.type = &t;
        return;
      }
      known += cat(known.empty() ? "" : ", ", t.name);
      if (std::equal(v.begin(), v.end(), t.name.begin(), t.name.end(),
                     [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 32 : a) == b; }))
        hint = cat("; did you mean ", t.name, "?");
    }
    fail_entry(cat("unknown dtype \"", printable(v, 40), "\", known are ", known, hint));
  }
  [[noreturn]] void entry_string_misplaced(unsigned f) const {
    fail_entry(cat(f == shape_field ? "shape" : "data_offsets", " must be an array, found a string"));
  }
  void begin_field(JsonKind kind) {
    const unsigned f = field();
    if (f == dtype_field) fail_entry(cat("dtype must be a string, found ", name_of(kind)));
    if (f != 0 && kind != JsonKind::array)
      fail_entry(cat(f == shape_field ? "shape" : "data_offsets", " must be an array, found ", name_of(kind)));
    if (f == shape_field) dims_ = 0;
    if (f == offsets_field) offsets_ = 0;
    states_.push_back(f == shape_field ? State::shape : f == offsets_field ? State::offsets : State::skip);
  }
  void dimension(JsonKind kind, std::uint64_t bits, bool negative) {
    if (kind == JsonKind::big_integer)
      fail_entry(cat("dim ", dims_, negative ? " is negative" : " does not fit in 64 bits"));
    if (kind != JsonKind::integer)
      fail_entry(cat("dim ", dims_, kind == JsonKind::number ? " is not an integer literal" : " is not an integer",
                     ", found ", name_of(kind)));
    if (negative) fail_entry(cat("dim ", dims_, " is negative: ", static_cast<std::int64_t>(bits)));
    if (bits > INT64_MAX) fail_entry(cat("dim ", dims_, " is ", bits, ", at most ", INT64_MAX));
    if (dims_ == max_rank) fail_entry(cat("shape has more than ", max_rank, " dims"));
    entry_.shape.push_back(static_cast<std::int64_t>(bits));
    ++dims_;
  }
  void offset(JsonKind kind, std::uint64_t bits, bool negative) {
    const std::string_view which = offsets_ == 0 ? "begin" : offsets_ == 1 ? "end" : "an extra offset";
    if (kind == JsonKind::integer && negative)
      fail_entry(cat(which, " is negative: ", static_cast<std::int64_t>(bits)));
    if (kind == JsonKind::big_integer) fail_entry(cat(which, negative ? " is negative" : " does not fit in 64 bits"));
    if (kind != JsonKind::integer) fail_entry(cat(which, " is not an integer, found ", name_of(kind)));
    if (offsets_ == 0) entry_.begin = bits;
    if (offsets_ == 1) entry_.end = bits;
    ++offsets_;
  }
  void end_entry() {
    if ((seen_ & dtype_field) == 0) fail_entry("missing `dtype`");
    if ((seen_ & shape_field) == 0) fail_entry("missing `shape`");
    if ((seen_ & offsets_field) == 0) fail_entry("missing `data_offsets`");
    header_.entries.push_back(std::move(entry_));
    entry_ = {};
  }

  SafetensorsHeader& header_;
  std::string_view where_;
  std::vector<State> states_;
  std::string key_;
  SafetensorsEntry entry_;
  unsigned seen_ = 0;
  int dims_ = 0, offsets_ = 0;
  bool metadata_seen_ = false;
};

/// Bytes that a tensor's shape and dtype need. Throws IoError if they are no whole number or do not fit in 63 bits.
inline std::uint64_t bytes_needed(const SafetensorsEntry& e, std::string_view where) {
  const auto fail = [&](std::string_view what) {
    throw IoError(cat(where, ": tensor `", printable(e.name), "`: ", what));
  };
  std::uint64_t elements = 1, bits = 0;
  for (const std::int64_t d : e.shape)  // in order, as the reference: a later 0 does not excuse an overflow
    if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(d), &elements))
      fail(cat("element count of shape ", e.shape, " overflows 64 bits"));
  if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(e.type->bits), &bits))
    fail(cat("byte size of ", elements, " elements of ", e.type->name, " overflows 64 bits"));
  if (bits % 8 != 0) fail(cat(bits, " bits of ", e.type->name, " is not a whole number of bytes"));
  return bits / 8;
}

/// Ranges against shapes and file: every data byte belongs to exactly one tensor.
inline void check_ranges(const SafetensorsHeader& h, std::uint64_t available, std::string_view where) {
  std::vector<const SafetensorsEntry*> order;
  order.reserve(h.entries.size());
  for (const SafetensorsEntry& e : h.entries) {
    const auto fail = [&](std::string_view what) {
      throw IoError(cat(where, ": tensor `", printable(e.name), "`: ", what));
    };
    const std::uint64_t need = bytes_needed(e, where);
    if (e.begin > e.end) fail(cat("begin ", e.begin, " is after end ", e.end));
    if (e.end - e.begin != need)
      fail(cat("shape ", e.shape, " of ", e.type->name, " needs ", need, " bytes, its range [", e.begin, ", ", e.end,
               "] has ", e.end - e.begin,
               e.end > available ? cat(" and ends beyond the file's ", available, " bytes of data") : std::string()));
    if (e.end > available)
      fail(cat("ends at byte ", e.end, " of the data, the file ends at ", available, " (", e.end - available,
               e.end - available == 1 ? " byte" : " bytes", " short; incomplete download?)"));
    order.push_back(&e);
  }
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return std::tie(a->begin, a->end) < std::tie(b->begin, b->end); });
  std::uint64_t at = 0;
  const SafetensorsEntry* before = nullptr;
  for (const SafetensorsEntry* e : order) {
    if (e->begin < at)
      throw IoError(cat(where, ": tensors `", printable(before->name), "` and `", printable(e->name),
                        "` overlap at byte ", e->begin, " of the data"));
    if (e->begin > at) throw IoError(cat(where, ": bytes ", at, "..", e->begin, " of the data belong to no tensor"));
    at = e->end;
    before = e;
  }
  if (at < available)
    throw IoError(cat(where, ": ", available - at, available - at == 1 ? " byte" : " bytes", " after the last tensor"));
}

}  // namespace detail

/// Reads and checks the header of a whole file. Throws IoError; never reads outside `file`. `name` is for messages.
inline SafetensorsHeader parse_safetensors(std::span<const unsigned char> file, std::string_view name) {
  const std::string where = printable(name, 1024);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  // Only where the length is impossible: the first bytes of a valid length can look like anything.
  const auto refuse = [&](const std::string& what) {
    const std::string_view other = detail::other_format(text.substr(0, 512));
    throw IoError(other.empty() ? cat(where, ": ", what) : cat(where, ": not safetensors: ", other));
  };
  if (file.size() < 8)
    refuse(cat("file is ", file.size(), file.size() == 1 ? " byte" : " bytes", "; a safetensors file has at least 10"));
  std::uint64_t n = 0, swapped = 0;
  for (unsigned i = 0; i < 8; ++i) {
    n |= std::uint64_t{file[i]} << (8 * i);
    swapped = swapped << 8 | file[i];
  }
  const std::uint64_t rest = file.size() - 8;
  if (n > max_safetensors_header)
    refuse(cat("header length ", n, " is above the cap of ", max_safetensors_header, " bytes",
               swapped <= rest ? "; written big-endian (byte order?)" : ""));
  if (n > rest)
    refuse(cat("header length ", n, ", but the file has ", file.size(), " bytes, ", rest,
               " of them after the length (incomplete download?)"));
  if (n == 0) throw IoError(cat(where, ": header is empty; expected `{`"));

  SafetensorsHeader header;
  header.data = 8 + n;
  detail::SafetensorsEvents events(header, where);
  const std::string in_header = where + ": header";
  detail::parse_json<IoError>(text.substr(8, n), in_header, {max_safetensors_header, std::size_t{1} << 20, 64}, events);
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(header.entries.begin(), header.entries.end(),
                                        [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != header.entries.end()) throw IoError(cat(where, ": duplicate tensor `", printable(twice->name), "`"));
  detail::check_ranges(header, rest - n, where);
  return header;
}

/// A safetensors file as a source of tensors, memory-mapped. The tensors keep the map alive.
class Safetensors : public TensorSource {
 public:
  /// Throws IoError if the file cannot be read or is not valid in every part.
  explicit Safetensors(const std::filesystem::path& path)
      : file_(std::make_shared<MappedFile>(path)), header_(parse_safetensors(file_->bytes(), path.native())) {}

  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    out.reserve(header_.entries.size());
    for (const SafetensorsEntry& e : header_.entries) out.push_back(e.name);
    return out;
  }
  bool contains(std::string_view name) const override { return header_.find(name) != nullptr; }
  Shape shape(std::string_view name) const override { return entry(name).shape; }
  DType dtype(std::string_view name) const override {
    const SafetensorsEntry& e = entry(name);
    if (!e.type->read)
      throw CheckpointError(
          cat(description(), ": tensor `", printable(e.name), "`: dtype ", e.type->name, " is not supported"));
    return *e.type->read;
  }
  /// A window on the map where the data is aligned for its type, else a copy. Throws also IoError: the file changed, or a
  /// BOOL is neither 0 nor 1.
  Tensor<> get(std::string_view name) const override {
    const SafetensorsEntry& e = entry(name);
    const DType type = dtype(name);
    file_->check_unchanged();
    const std::span<const unsigned char> bytes = file_->bytes().subspan(header_.data + e.begin, e.end - e.begin);
    if (type == DType::boolean) {
      const auto bad = std::find_if(bytes.begin(), bytes.end(), [](unsigned char b) { return b > 1; });
      if (bad != bytes.end())
        throw IoError(cat(description(), ": tensor `", printable(e.name), "`: element ", bad - bytes.begin(),
                          " of BOOL is byte ", static_cast<int>(*bad), ", must be 0 or 1"));
    }
    const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(type) == 0;
    // The map is read-only; nothing writes to a tensor that somebody else holds.
    if (aligned && !bytes.empty())
      return from_blob(const_cast<unsigned char*>(bytes.data()), e.shape, type,
                       std::const_pointer_cast<MappedFile>(file_));
    Tensor<> copy = empty(e.shape, type);
    if (!bytes.empty()) std::memcpy(copy.ref().data, bytes.data(), bytes.size());
    return copy;
  }
  void forget(std::string_view name) const override { file_->forget(header_.data + entry(name).begin, header_.data + entry(name).end); }
  void prefetch(std::string_view name) const override { file_->prefetch(header_.data + entry(name).begin, header_.data + entry(name).end); }
  std::string description() const override { return shown(file_->path()); }

  const SafetensorsHeader& header() const { return header_; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  /// The entry of a tensor, with its dtype as the file spells it. Throws CheckpointError if there is none.
  const SafetensorsEntry& entry(std::string_view name) const {
    const SafetensorsEntry* e = header_.find(name);
    if (e == nullptr) throw CheckpointError(cat(description(), ": has no tensor `", printable(name), "`"));
    return *e;
  }
  const MappedFile& file() const { return *file_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
};

/// What a writer needs to know about a tensor before its data.
struct TensorDeclaration {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t bytes() const {
    std::int64_t n = 0;
    if (__builtin_mul_overflow(shape.numel(), static_cast<std::int64_t>(size_of(dtype)), &n))
      throw ShapeError(cat("tensor `", printable(name), "`: ", dtype, shape, " does not fit in 63 bits of bytes"));
    return static_cast<std::uint64_t>(n);
  }
};
/// Texts by name, from the header.
using Metadata = std::map<std::string, std::string>;

/// Writes a safetensors file tensor by tensor, in any order, holding none of them: for checkpoints larger than memory.
/// Layout as the reference writes it: sorted by alignment of the dtype (descending), then by name; header padded to 8.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorDeclaration> tensors, Metadata metadata = {})
      : file_(path) {
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
      const std::size_t x = size_of(a.dtype), y = size_of(b.dtype);
      return x != y ? x > y : std::tie(a.dtype, a.name) < std::tie(b.dtype, b.name);
    });
    metadata.emplace("format", "pt");  // transformers refuses files without it
    JsonWriter json(false);
    json.begin_object().key("__metadata__").begin_object();
    for (const auto& [k, v] : metadata) json.field(k, v);
    json.end();
    std::uint64_t at = 0;
    for (TensorDeclaration& t : tensors) {
      if (t.name == "__metadata__" || t.name.size() > max_safetensors_name)
        throw ArgumentError(cat("safetensors: a tensor cannot be called `", printable(t.name), "`"));
      const std::uint64_t begin = at;
      if (__builtin_add_overflow(at, t.bytes(), &at))
        throw ArgumentError("safetensors: the tensors do not fit in 64 bits of bytes");
      json.key(t.name).begin_object().field("dtype", safetensors_name(t.dtype)).key("shape").begin_array();
      for (const std::int64_t d : t.shape) json.value(d);
      json.end().key("data_offsets").begin_array().value(begin).value(at).end().end();
      if (!slots_.emplace(t.name, Slot{t.dtype, t.shape, begin, false}).second)
        throw ArgumentError(cat("safetensors: two tensors called `", printable(t.name), "`"));
    }
    std::string header = json.end().text();
    header.append((8 - header.size() % 8) % 8, ' ');
    if (header.size() > max_safetensors_header)
      throw ArgumentError(
          cat("safetensors: a header of ", header.size(), " bytes, at most ", max_safetensors_header, " are allowed"));
    unsigned char length[8];
    for (unsigned i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>(std::uint64_t{header.size()} >> (8 * i));
    file_.write(length, sizeof length);
    file_.write(header);
    data_ = file_.position();
  }

  /// Writes a declared tensor: once each, same dtype and shape, on the host, any strides.
  void add(std::string_view name, const Tensor<>& t) {
    const auto it = slots_.find(name);
    if (it == slots_.end()) throw ArgumentError(cat("safetensors: tensor `", printable(name), "` was not declared"));
    Slot& s = it->second;
    if (s.written) throw ArgumentError(cat("safetensors: tensor `", printable(name), "` written twice"));
    if (t.dtype() != s.dtype || !(t.shape() == s.shape))
      throw ArgumentError(cat("safetensors: tensor `", printable(name), "` was declared as ", s.dtype, s.shape,
                              ", got ", to_string(t)));
    detail::write_elements(file_, data_ + s.begin, t);
    s.written = true;
  }
  /// The file appears under its name. Throws ArgumentError if a declared tensor was not written.
  void finish() {
    seal();
    file_.commit();
  }
  /// Complete and on the disk, not yet under its name.
  void seal() {
    for (const auto& [name, s] : slots_)
      if (!s.written)
        throw ArgumentError(cat("safetensors: tensor `", printable(name), "` was declared and not written"));
    file_.seal();
  }
  FileWriter& file() { return file_; }

 private:
  struct Slot {
    DType dtype;
    Shape shape;
    std::uint64_t begin;
    bool written;
  };
  FileWriter file_;
  std::map<std::string, Slot, std::less<>> slots_;
  std::uint64_t data_ = 0;
};

/// Writes all tensors; atomic. Throws IoError.
inline void write_safetensors(const std::filesystem::path& path, const std::map<std::string, Tensor<>>& tensors,
                              const Metadata& metadata = {}) {
  std::vector<TensorDeclaration> declared;
  for (const auto& [name, t] : tensors) declared.push_back({name, t.dtype(), t.shape()});
  SafetensorsWriter file(path, std::move(declared), metadata);
  for (const auto& [name, t] : tensors) file.add(name, t);
  file.finish();
}

}  // namespace kinema::inline KINEMA_ABI::io
