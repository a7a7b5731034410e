// kinema/core/error.hpp - the errors that kinema throws, and cat(), which builds their messages.
//
// Grammar of a message: "where: what must hold, what was got". The library never prints, exits or aborts.
#pragma once

#include <kinema/core/config.hpp>

#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace kinema::inline KINEMA_ABI {

struct Error : std::runtime_error { using std::runtime_error::runtime_error; };
struct ShapeError : Error { using Error::Error; };        ///< sizes of tensors do not fit together
struct DTypeError : Error { using Error::Error; };        ///< element types do not fit
struct DeviceError : Error { using Error::Error; };       ///< device missing, or tensors on different devices
struct ArgumentError : Error { using Error::Error; };     ///< an argument of a call is out of range
struct Unsupported : Error { using Error::Error; };       ///< valid, but not in this build or not implemented
struct CheckpointError : Error { using Error::Error; };   ///< weights against configuration
struct ConfigError : Error { using Error::Error; };       ///< a configuration file
struct IoError : Error { using Error::Error; };           ///< a file could not be read or written, or is malformed
struct BackendError : Error { using Error::Error; };      ///< status of CUDA, oneDNN, MPI …, with the call's text
struct NonFiniteError : Error { using Error::Error; };    ///< NaN or infinity where numbers must be finite
struct MemoryError : Error { using Error::Error; };       ///< an allocation failed, or a limit would be exceeded
struct Interrupted : Error { using Error::Error; };       ///< the caller's stop token was set

namespace detail {
inline void append(std::string& out, std::string_view s) { out.append(s); }
inline void append(std::string& out, const char* s) { out.append(s); }
inline void append(std::string& out, char c) { out.push_back(c); }
inline void append(std::string& out, bool b) { out.append(b ? "true" : "false"); }
std::string number_text(double value);
template <class T>
  requires std::is_integral_v<T>
void append(std::string& out, T v) { out.append(std::to_string(v)); }
template <class T>
  requires std::is_floating_point_v<T>
void append(std::string& out, T v) { out.append(number_text(static_cast<double>(v))); }
template <class T>
  requires requires(const T& t) { { to_string(t) } -> std::convertible_to<std::string>; }
void append(std::string& out, const T& v) { out.append(to_string(v)); }

/// Shortest of %g with 6 to 17 digits that reads back as the same number, independent of the locale's decimal point.
inline std::string number_text(double value) {
  char text[40];
  for (int digits = 6; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  for (char* p = text; *p != '\0'; ++p)
    if (*p == ',') *p = '.';
  return text;
}
}  // namespace detail

/// Concatenates strings, numbers and everything that has to_string.
template <class... A>
std::string cat(const A&... a) {
  std::string out;
  (detail::append(out, a), ...);
  return out;
}

/// Text from a file or argument, safe to show: control characters and invalid UTF-8 escaped as `\xNN`, cut at `limit` bytes.
inline std::string printable(std::string_view text, std::size_t limit = 256) {
  std::string out;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto escape = [&](unsigned char c) {
    constexpr char hex[] = "0123456789abcdef";
    out += "\\x";
    out += hex[c >> 4];
    out += hex[c & 15];
  };
  std::size_t i = 0;
  while (i < text.size()) {
    if (out.size() >= limit) return out + "…";
    const unsigned char c = byte(i);
    const std::size_t n = c < 0x80 ? 1 : (c >> 5) == 6 ? 2 : (c >> 4) == 14 ? 3 : (c >> 3) == 30 ? 4 : 0;
    bool valid = n != 0 && i + n <= text.size() && c != 0xC0 && c != 0xC1 && c < 0xF5;
    for (std::size_t k = 1; valid && k < n; ++k) valid = (byte(i + k) & 0xC0) == 0x80;
    if (valid && n == 3) valid = !(c == 0xE0 && byte(i + 1) < 0xA0) && !(c == 0xED && byte(i + 1) >= 0xA0);
    if (valid && n == 4) valid = !(c == 0xF0 && byte(i + 1) < 0x90) && !(c == 0xF4 && byte(i + 1) >= 0x90);
    const bool control = c < 0x20 || c == 0x7F || (c == 0xC2 && valid && byte(i + 1) < 0xA0);  // C0, DEL, C1
    if (!valid || (control && n == 1)) {
      escape(c);
      i += 1;
    } else if (control) {
      for (std::size_t k = 0; k < n; ++k) escape(byte(i + k));
      i += n;
    } else {
      out.append(text.substr(i, n));
      i += n;
    }
  }
  return out;
}

}  // namespace kinema::inline KINEMA_ABI
