#!/usr/bin/env bash
# The benchmarks compile, wherever Google Benchmark is installed; they are run by hand.   check.sh COMPILER SWITCH…
set -u
compiler=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
echo '#include <benchmark/benchmark.h>' | "$compiler" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null || { echo "benchmarks: Google Benchmark is not installed"; exit 77; }
switches=()
for name in "$@"; do switches+=("-DKINEMA_WITH_$name=1"); done
sources=("$root"/benchmarks/*/*_bench.cpp)
[ ${#sources[@]} -ge 10 ] || { echo "benchmarks: only ${#sources[@]} sources found"; exit 1; }
flags="-std=c++20 -fsyntax-only -march=x86-64-v3 -Wall -Wextra -Wshadow -Wconversion -Werror -DKINEMA_KERNELS_APART=1 -I$root/include -I$root/benchmarks -isystem /usr/include/eigen3"
# shellcheck disable=SC2086 # a list of words
printf '%s\n' "${sources[@]}" | xargs -P 2 -I{} "$compiler" $flags "${switches[@]}" {} || exit 1
echo "benchmarks: ${#sources[@]} sources compile"
