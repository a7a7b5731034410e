// kinema/io/npy.hpp - numpy's .npy files: one array, checked sizes, exact length.
//
// The header is a Python dictionary literal; only the three keys of the format are understood and each exactly once.
// Format: numpy/lib/format.py, versions 1 to 3.
#pragma once

#include <kinema/io/elements.hpp>
#include <kinema/tensor/create.hpp>

namespace kinema::inline KINEMA_ABI::io {

inline constexpr std::uint64_t max_npy_header = std::uint64_t{1} << 20;  ///< bytes

namespace detail {

/// Reads the header's dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class NpyHeader {
 public:
  NpyHeader(std::string_view text, std::string_view where) : text_(text), where_(where) {
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") once(descr_seen_, key), descr_ = description();
      else if (key == "fortran_order") once(order_seen_, key), fortran_ = boolean();
      else if (key == "shape") once(shape_seen_, key), read_shape();
      else fail(cat("unknown key '", printable(key, 40), "'"));
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("unexpected text after the dictionary");
    if (!descr_seen_ || !order_seen_ || !shape_seen_) fail("must have 'descr', 'fortran_order' and 'shape'");
  }
  const std::string& descr() const { return descr_; }
  bool fortran() const { return fortran_; }
  const Shape& shape() const { return shape_; }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw IoError(cat(where_, ": numpy header: ", what, " (byte ", at_, " of the header)"));
  }
  void once(bool& seen, std::string_view key) const {
    if (seen) fail(cat("duplicate key '", key, "'"));
    seen = true;
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(cat("expected `", c, "`"));
  }
  std::string quoted() {
    skip_space();
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail("expected a quoted string");
    const char quote = text_[at_++];
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a string does not end");
    const std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }
  std::string description() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[') fail("records are not supported, 'descr' must be a simple type");
    return quoted();
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("'fortran_order' must be True or False");
  }
  void read_shape() {
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t n = 0;
      const std::size_t start = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
        if (__builtin_mul_overflow(n, std::int64_t{10}, &n) ||
            __builtin_add_overflow(n, std::int64_t{text_[at_] - '0'}, &n))
          fail("a size does not fit in 63 bits");
        ++at_;
      }
      if (at_ == start) fail("a size must be a non-negative integer");
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2
      if (shape_.rank() == max_rank) fail(cat("more than ", max_rank, " axes"));
      shape_.push_back(n);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
  }

  std::string_view text_, where_;
  std::size_t at_ = 0;
  std::string descr_;
  bool fortran_ = false, descr_seen_ = false, order_seen_ = false, shape_seen_ = false;
  Shape shape_;
};

inline DType npy_dtype(const std::string& descr, std::string_view where) {
  constexpr std::pair<std::string_view, DType> known[] = {
      {"<f4", DType::f32}, {"<f8", DType::f64}, {"<f2", DType::f16},    {"|u1", DType::u8},
      {"<i8", DType::i64}, {"<i4", DType::i32}, {"|i1", DType::i8}, {"|b1", DType::boolean}};
  for (const auto& [name, type] : known)
    if (descr == name) return type;
  const std::string_view hint = descr.starts_with('>')    ? " (big-endian data is not supported)"
                                : descr.starts_with("|O") ? " (objects are pickles and never loaded)"
                                                          : "";
  throw IoError(cat(where, ": numpy type '", printable(descr, 40), "' is not supported", hint,
                    "; supported are <f4, <f8, <f2, |u1, <i8, <i4, |i1, |b1"));
}

}  // namespace detail

/// An array from the bytes of a .npy file. Throws IoError.
inline Tensor<> parse_npy(std::span<const unsigned char> file, std::string_view name) {
  const std::string where = printable(name, 1024);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with("\x93NUMPY")) {
    const std::string_view other = detail::other_format(text.substr(0, 512));
    throw IoError(cat(where, ": not a numpy file",
                      text.empty()    ? ": it is empty"
                      : other.empty() ? " (it must begin with \\x93NUMPY)"
                                      : ": ",
                      other));
  }
  if (file.size() < 10) throw IoError(cat(where, ": numpy file ends in its header, after ", file.size(), " bytes"));
  const unsigned version = file[6];
  if (version < 1 || version > 3 || file[7] != 0)
    throw IoError(cat(where, ": numpy format version ", version, ".", static_cast<unsigned>(file[7]),
                      " is not supported, 1.0 to 3.0 are"));
  const std::size_t start = version == 1 ? 10 : 12;
  if (file.size() < start) throw IoError(cat(where, ": numpy file ends in its header, after ", file.size(), " bytes"));
  std::uint64_t length = 0;
  for (std::size_t i = start; i-- > 8;) length = length << 8 | file[i];
  if (length > max_npy_header)
    throw IoError(cat(where, ": numpy header of ", length, " bytes, at most ", max_npy_header, " are read"));
  if (length > file.size() - start)
    throw IoError(cat(where, ": numpy header of ", length, " bytes, but the file has only ", file.size() - start,
                      " after its length"));

  const detail::NpyHeader header(text.substr(start, length), where);
  const DType type = detail::npy_dtype(header.descr(), where);
  if (header.fortran() && header.shape().rank() > 1)
    throw IoError(cat(where, ": Fortran order is not supported; save numpy.ascontiguousarray(x)"));
  std::uint64_t need = size_of(type);
  for (const std::int64_t d : header.shape())
    if (__builtin_mul_overflow(need, static_cast<std::uint64_t>(d), &need))
      throw IoError(cat(where, ": numpy shape ", header.shape(), " overflows 64 bits of bytes"));
  const std::span<const unsigned char> data = file.subspan(start + length);
  if (need != data.size())
    throw IoError(cat(where, ": numpy shape ", header.shape(), " of ", type, " needs ", need, " bytes, the file has ",
                      data.size(), need > data.size() ? " (incomplete?)" : ""));
  if (type == DType::boolean) {
    const auto bad = std::find_if(data.begin(), data.end(), [](unsigned char b) { return b > 1; });
    if (bad != data.end())
      throw IoError(cat(where, ": element ", bad - data.begin(), " is byte ", static_cast<int>(*bad),
                        ", a boolean must be 0 or 1"));
  }
  Tensor<> out = empty(header.shape(), type);
  if (!data.empty()) std::memcpy(out.ref().data, data.data(), data.size());
  return out;
}
/// The array in a file, as parse_npy(). Throws IoError.
inline Tensor<> read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  Tensor<> out = parse_npy(file.bytes(), path.native());
  file.check_unchanged();
  return out;
}

/// Writes an array whose first axis grows: items of `item` shape are appended, and the length is known at the end.
class NpyWriter {
 public:
  NpyWriter(const std::filesystem::path& path, DType dtype, const Shape& item)
      : file_(path), dtype_(dtype), item_(item) {
    file_.write(std::string(header_bytes, ' '));
  }
  /// One item, or any number of them along a leading axis.
  void add(const Tensor<>& t) {
    const bool one = t.shape() == item_;
    if (t.dtype() != dtype_ || (!one && (t.rank() != item_.rank() + 1 || !(t.shape().with(0, 1) == grown(1)))))
      throw ArgumentError(cat(shown(file_.path()), ": items are ", dtype_, item_, ", got ", to_string(t)));
    detail::write_elements(file_, file_.position(), t);
    file_.seek(file_.position() + t.bytes());
    count_ += one ? 1 : t.shape()[0];
  }
  void finish() {
    const std::string header = npy_header(dtype_, grown(count_));
    file_.write_at(0, header.data(), header.size());
    file_.commit();
  }

  static std::string npy_header(DType dtype, const Shape& shape) {
    std::string_view descr;
    switch (dtype) {
      case DType::f64: descr = "<f8"; break;
      case DType::f32: descr = "<f4"; break;
      case DType::f16: descr = "<f2"; break;
      case DType::u8: descr = "|u1"; break;
      case DType::i8: descr = "|i1"; break;
      case DType::i64: descr = "<i8"; break;
      case DType::i32: descr = "<i4"; break;
      case DType::boolean: descr = "|b1"; break;
      case DType::bf16: throw ArgumentError("npy: numpy has no bf16; cast to f32");
    }
    std::string sizes;
    for (const std::int64_t d : shape) sizes += cat(d, ", ");
    if (shape.rank() > 1) sizes.resize(sizes.size() - 2);
    if (shape.rank() == 1) sizes.resize(sizes.size() - 1);
    std::string text = cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", sizes, "), }");
    text.resize(header_bytes - 11, ' ');  // at most 8 sizes of 19 digits: always fits
    const std::size_t length = header_bytes - 10;
    return cat(std::string_view("\x93NUMPY\x01\x00", 8), static_cast<char>(length & 255),
               static_cast<char>(length >> 8), text, '\n');
  }

 private:
  static constexpr std::size_t header_bytes = 320;  // a multiple of 64, as numpy aligns data

  Shape grown(std::int64_t count) const {
    Shape s{count};
    for (const std::int64_t d : item_) s.push_back(d);
    return s;
  }
  FileWriter file_;
  DType dtype_;
  Shape item_;
  std::int64_t count_ = 0;
};

/// Writes one array, atomically. Any strides; bf16 has no numpy type and is refused.
inline void write_npy(const std::filesystem::path& path, const Tensor<>& t) {
  const std::string header = NpyWriter::npy_header(t.dtype(), t.shape());
  FileWriter file(path);
  file.write(header);
  detail::write_elements(file, header.size(), t);
  file.commit();
}

}  // namespace kinema::inline KINEMA_ABI::io
