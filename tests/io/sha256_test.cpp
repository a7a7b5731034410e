// tests/io/sha256_test.cpp - SHA-256 against the examples of FIPS 180 and against itself in pieces.
#include <kinema/io/sha256.hpp>

#include "support/catch.hpp"

using namespace kinema;

TEST_CASE("SHA-256 of the published examples", "[sha256]") {
  const auto hex = [](std::string_view text) { return io::Sha256().add(text).hex(); };
  CHECK(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hex(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("pieces and their boundaries do not matter, bytes do", "[sha256]") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 37);
  for (std::size_t n = 0; n <= text.size(); ++n) {
    const std::string_view all = std::string_view(text).substr(0, n);
    io::Sha256 pieces;
    for (std::size_t at = 0, step = 1; at < n; at += step, step = step % 70 + 1) pieces.add(all.substr(at, step));
    CHECK(pieces.hex() == io::Sha256().add(all).hex());
    CHECK(pieces.hex() == pieces.hex());
    if (n > 0) CHECK(pieces.hex() != io::Sha256().add(all.substr(1)).hex());
  }
}
