// tests/program/bad_input/bytes.hpp - files of the formats that kinema reads, byte by byte, valid and not.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace bad_input {

inline std::string little_endian(std::uint64_t v, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(v >> (8 * i) & 255);
  return out;
}
inline std::string big_endian(std::uint64_t v, int bytes) {
  std::string out;
  for (int i = bytes; i-- > 0;) out += static_cast<char>(v >> (8 * i) & 255);
  return out;
}
/// `text` with every | as NUL.
inline std::string with_nul(std::string text) {
  for (char& c : text)
    if (c == '|') c = '\0';
  return text;
}
inline std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return out;
}
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// A safetensors file.
inline std::string safetensors(const std::string& header, const std::string& data = {}) { return little_endian(header.size(), 8) + header + data; }
/// One tensor called `name`, of zeros.
inline std::string one_tensor(const std::string& name, const std::string& dtype, const std::string& shape, std::size_t bytes) {
  return safetensors("{\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[0," + std::to_string(bytes) + "]}}",
                     std::string(bytes, '\0'));
}

inline std::string floats(const std::vector<float>& values) {
  std::string out(values.size() * 4, '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

inline std::string npy(int version, const std::string& dictionary, const std::string& data) {
  const std::string text = dictionary + "\n";
  return std::string("\x93NUMPY") + static_cast<char>(version) + '\0' + little_endian(text.size(), version == 1 ? 2 : 4) + text + data;
}
inline std::string npy_dictionary(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
}
/// [frames, 64, 64, 3] of one grey, u8 or f32.
inline std::string grey_clip(int frames, bool bytes, float value = 0.5f, int version = 1) {
  const std::size_t n = static_cast<std::size_t>(frames) * 64 * 64 * 3;
  return npy(version, npy_dictionary(bytes ? "|u1" : "<f4", "(" + std::to_string(frames) + ", 64, 64, 3)"),
             bytes ? std::string(n, static_cast<char>(value * 255)) : floats(std::vector<float>(n, value)));
}

inline std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t c = 0xffffffffu;
  for (const char b : bytes) {
    c ^= static_cast<unsigned char>(b);
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xedb88320u ^ (c >> 1) : c >> 1;
  }
  return ~c;
}
inline std::string png_chunk(const std::string& kind, const std::string& body) { return big_endian(body.size(), 4) + kind + body + big_endian(crc32(kind + body), 4); }
/// zlib without compression.
inline std::string stored(const std::string& bytes) {
  std::string out = "\x78\x01";
  for (std::size_t at = 0; at < bytes.size() || at == 0; at += 65535) {
    const std::string part = bytes.substr(at, 65535);
    out += static_cast<char>(at + 65535 >= bytes.size());
    out += little_endian(part.size(), 2) + little_endian(~part.size(), 2) + part;
  }
  std::uint32_t a = 1, b = 0;
  for (const char c : bytes) a = (a + static_cast<unsigned char>(c)) % 65521, b = (b + a) % 65521;
  return out + big_endian(b << 16 | a, 4);
}
/// A grey-valued PNG of any colour type (0 grey, 2 RGB, 3 palette, 4 grey+alpha, 6 RGBA) and depth; rows are not filtered.
inline std::string png(std::uint32_t width, std::uint32_t height, int colour = 2, int depth = 8, const std::string& more_chunks = {}) {
  const int samples = colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
  const std::size_t row = (static_cast<std::size_t>(width) * static_cast<std::size_t>(samples * depth) + 7) / 8;
  std::string rows;
  for (std::uint32_t y = 0; y < height; ++y) rows += '\0' + std::string(row, colour == 3 ? '\1' : '\x55');
  std::string out = "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big_endian(width, 4) + big_endian(height, 4) + static_cast<char>(depth) + static_cast<char>(colour) + std::string(3, '\0'));
  if (colour == 3) out += png_chunk("PLTE", std::string("\x0a\x14\x1e\x28\x32\x3c", 6));
  return out + more_chunks + png_chunk("IDAT", stored(rows)) + png_chunk("IEND", "");
}

/// Fields of a protobuf message.
inline std::string varint(std::uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  return out + static_cast<char>(v);
}
inline std::string field_varint(unsigned field, std::uint64_t v) { return varint(field << 3) + varint(v); }
inline std::string field_bytes(unsigned field, const std::string& v) { return varint(field << 3 | 2) + varint(v.size()) + v; }
inline std::string field_float(unsigned field, float v) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &v, 4);
  return varint(field << 3 | 5) + out;
}
enum PieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
inline std::string piece(const std::string& text, float score, int type) {
  return field_bytes(1, field_bytes(1, text) + field_float(2, score) + field_varint(3, static_cast<std::uint64_t>(type)));
}
inline std::string special_pieces() { return piece("<pad>", 0, control) + piece("</s>", 0, control) + piece("<unk>", 0, unknown); }
inline std::string trainer(const std::string& fields = {}) {
  return field_bytes(2, field_varint(3, 1) + field_varint(40, 2) + field_varint(41, ~0ull) + field_varint(42, 1) + field_varint(43, 0) + field_bytes(48, "<pad>") + fields);
}
/// A small vocabulary; `more` are pieces or fields.
inline std::string spiece(const std::string& more = {}, const std::string& trainer_fields = {}) {
  return special_pieces() + piece("\xE2\x96\x81", -2, normal) + piece("a", -3, normal) + piece("b", -4, normal) + more + trainer(trainer_fields);
}

}  // namespace bad_input
