#!/usr/bin/env bash
# Kernels apart without a build system: the program sees contracts only, one unit has every CPU kernel. A program that
# forgets the second unit does not link.
set -eu
cxx=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

echo '#include <kinema/kernel/cpu/all.hpp>' >kernels_cpu.cpp
flags="-std=c++20 -DKINEMA_KERNELS_APART=1 -I $here/../../include"
"$cxx" $flags -O1 -DUSES_MATMUL=1 -c "$here/program.cpp" -o app.o
# Kernel bodies are hidden: the instruction set may differ from the program's.
"$cxx" $flags -O0 -march=native -fopenmp -c kernels_cpu.cpp -o kernels_cpu.o
"$cxx" app.o kernels_cpu.o -fopenmp -o app
./app

if "$cxx" app.o -fopenmp -o incomplete 2>log; then
  echo "apart: a program without its kernels links, it must not"
  exit 1
fi
grep -q 'v0_apart' log || { echo "apart: the linker does not name the build mode:"; head -5 log; exit 1; }
