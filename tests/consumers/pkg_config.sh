#!/usr/bin/env bash
# Install, then pkg-config: the headers alone, then with every library that was there at installation.
set -eu
cxx=$1 cmake=$2
command -v pkg-config >/dev/null || exit 77
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }; }

run "$cmake" -S "$here/../.." -B "$work/tree" -DCMAKE_CXX_COMPILER="$cxx" -DKINEMA_TESTS=OFF -DKINEMA_EXAMPLES=OFF
run "$cmake" --install "$work/tree" --prefix "$work/moved"
mv "$work/moved" "$work/prefix"  # the package finds itself
export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"

version=$(sed -n 's/.*KINEMA_VERSION "\(.*\)"/\1/p' "$here/../../include/kinema/version.hpp")
[ "$(pkg-config --modversion kinema)" = "$version" ] || { echo "pkg_config: the version is $(pkg-config --modversion kinema)"; exit 1; }
pkg-config --exists 'kinema >= 99' && { echo "pkg_config: every version will do"; exit 1; }

# shellcheck disable=SC2046 # lists of words
"$cxx" -std=c++20 -O1 "$here/program.cpp" -o "$work/app" $(pkg-config --cflags --libs kinema)
"$work/app"

# Kernels apart: one unit has them. The program sees contracts, and what models, pictures, videos and prompts need.
cat >"$work/all.cpp" <<'END'
#include <kinema/kernel/cpu/all.hpp>
END
cat >"$work/media.cpp" <<'END'
#include <kinema/core/config.hpp>
#if KINEMA_WITH_JSON && KINEMA_WITH_STB
#include <kinema/io/frames.hpp>
std::size_t tags_of(const char* path) { return kinema::io::read_tags(path).size(); }
#endif
END
flags="-std=c++20 -O0 -DKINEMA_KERNELS_APART=1 -DUSES_MATMUL=1 $(pkg-config --cflags kinema-all)"
for source in "$here/program.cpp" "$work/all.cpp" "$work/media.cpp"; do
  "$cxx" $flags -march=native -c "$source" -o "$work/$(basename "$source").o"
done
"$cxx" "$work"/*.o -o "$work/complete" $(pkg-config --libs kinema-all)
"$work/complete"
