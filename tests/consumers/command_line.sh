#!/usr/bin/env bash
# No build system: one command, headers alone, kernels inline; without any library, then with those that are here.
set -eu
cxx=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cxx" -std=c++20 -O1 -I "$here/../../include" "$here/program.cpp" -o "$work/plain"
"$work/plain"

# The switches that README names; each only where its header is installed.
has() { echo "#include <$1>" | "$cxx" -std=c++20 -march=x86-64-v3 -I /usr/include/eigen3 -fsyntax-only -x c++ - 2>/dev/null; }
switches=() libraries=()
if has xsimd/xsimd.hpp; then switches+=(-DKINEMA_WITH_XSIMD=1); fi
if has oneapi/dnnl/dnnl.hpp; then switches+=(-DKINEMA_WITH_ONEDNN=1) libraries+=(-ldnnl); fi
"$cxx" -std=c++20 -O1 -march=native -fopenmp -DUSES_MATMUL=1 -I "$here/../../include" "${switches[@]}" "$here/program.cpp" -o "$work/switched" "${libraries[@]}"
"$work/switched"
