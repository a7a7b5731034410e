// kinema/text/wire_format.hpp - a bounded reader of protobuf's wire format: fields of one message, one after another.
//
// It never recurses, never allocates, and compares lengths by subtraction, so no input can make it read outside its
// bytes. Every error names the file, the field and the byte offset in the file.
#pragma once

#include <kinema/core/error.hpp>

#include <cstdint>
#include <cstring>
#include <string_view>

namespace kinema::inline KINEMA_ABI::text {

/// What is left of one message. Use: while (r.next()) switch (r.field()) { case 1: r.bytes("piece"); … default: r.skip(); }
class WireReader {
 public:
  enum Wire : std::uint32_t { varint_wire = 0, fixed64_wire = 1, bytes_wire = 2, fixed32_wire = 5 };

  /// `bytes` is the message, which begins at byte `origin` of `file`; `message` is its name in error texts.
  WireReader(std::string_view bytes, std::size_t origin, std::string_view file, std::string_view message)
      : bytes_(bytes), origin_(origin), file_(file), message_(message) {}

  /// Reads the next field's number and type; false at the end of the message.
  bool next() {
    if (at_ == bytes_.size()) return false;
    tag_at_ = at_;
    const std::uint64_t tag = read_varint("a field number");
    field_ = static_cast<std::uint32_t>(tag >> 3);
    wire_ = static_cast<std::uint32_t>(tag & 7);
    if (tag > 0xFFFFFFFFu || field_ == 0) fail(tag_at_, cat("field numbers are 1 to 536870911, got ", tag >> 3));
    if (wire_ == 3 || wire_ == 4) fail(tag_at_, cat("field ", field_, ": groups are not allowed"));
    if (wire_ > 5) fail(tag_at_, cat("field ", field_, ": wire types are 0, 1, 2 and 5, got ", wire_));
    return true;
  }
  std::uint32_t field() const { return field_; }
  /// Offset in the file of the value of the last field read by bytes(), else of its tag.
  std::size_t offset() const { return origin_ + value_at_; }

  std::uint64_t varint(std::string_view name) {
    want(varint_wire, name);
    return read_varint(name);
  }
  bool boolean(std::string_view name) { return varint(name) != 0; }
  /// int32 and enums: negative numbers are stored as ten-byte varints.
  std::int32_t int32(std::string_view name) {
    const std::size_t at = at_;
    const auto value = static_cast<std::int64_t>(varint(name));
    if (value < INT32_MIN || value > INT32_MAX) fail(at, cat(name, " must fit in 32 bits, got ", value));
    return static_cast<std::int32_t>(value);
  }
  float float32(std::string_view name) {
    want(fixed32_wire, name);
    float value;
    std::memcpy(&value, take(4, name).data(), sizeof value);  // little endian, as every machine that kinema runs on
    return value;
  }
  std::string_view bytes(std::string_view name) {
    want(bytes_wire, name);
    const std::size_t at = at_;
    const std::uint64_t length = read_varint(name);
    if (length > bytes_.size() - at_)
      fail(at, cat(name, " is ", length, " bytes long, but only ", bytes_.size() - at_, " are left"));
    value_at_ = at_;
    return take(static_cast<std::size_t>(length), name);
  }
  /// Steps over a field that nobody needs.
  void skip() {
    switch (wire_) {
      case varint_wire: read_varint("an unknown field"); break;
      case fixed64_wire: take(8, "an unknown field"); break;
      case bytes_wire: bytes("an unknown field"); break;
      default: take(4, "an unknown field");
    }
  }
  [[noreturn]] void fail(const std::string& what) const { fail(tag_at_, what); }

 private:
  [[noreturn]] void fail(std::size_t at, const std::string& what) const {
    throw IoError(cat(file_, ": byte ", origin_ + at, ", ", message_, ": ", what));
  }
  void want(Wire wire, std::string_view name) const {
    if (wire_ != wire) fail(tag_at_, cat(name, " must have wire type ", static_cast<std::uint32_t>(wire), ", got ", wire_));
  }
  std::string_view take(std::size_t n, std::string_view name) {
    if (n > bytes_.size() - at_) fail(at_, cat(name, " needs ", n, " bytes, but only ", bytes_.size() - at_, " are left"));
    const std::string_view part = bytes_.substr(at_, n);
    at_ += n;
    return part;
  }
  std::uint64_t read_varint(std::string_view name) {
    const std::size_t begin = at_;
    value_at_ = at_;
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == bytes_.size()) fail(begin, cat(name, ": the number is cut off by the end of the message"));
      const auto b = static_cast<unsigned char>(bytes_[at_++]);
      if (shift == 63 && b > 1) break;
      value |= static_cast<std::uint64_t>(b & 0x7F) << shift;
      if ((b & 0x80) == 0) return value;
    }
    fail(begin, cat(name, ": the number does not fit in 64 bits"));
  }

  std::string_view bytes_;
  std::size_t origin_;
  std::string_view file_, message_;
  std::size_t at_ = 0, tag_at_ = 0, value_at_ = 0;
  std::uint32_t field_ = 0, wire_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI::text
