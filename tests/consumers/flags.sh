#!/usr/bin/env bash
# Two files compiled for different instruction sets would share inline functions, and the older machine would crash in
# them: they must not link, and the linker's message must show which switch differs.
set -eu
cxx=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >a.cpp <<'END'
#include <kinema/tensor/create.hpp>
kinema::Tensor<> numbers() { return kinema::zeros({3}, kinema::DType::f32); }
std::int64_t count(const kinema::Tensor<>& t) { return t.numel(); }
END
cat >b.cpp <<'END'
#include <kinema/tensor/create.hpp>
std::int64_t count(const kinema::Tensor<>& t);
int main() { return count(kinema::zeros({3}, kinema::DType::f32)) == 3 ? 0 : 1; }
END
compile() { "$cxx" -std=c++20 -I "$here/../../include" -DKINEMA_KERNELS_APART=0 "${@:3}" -c "$1.cpp" -o "$2.o"; }
compile a a_v2 -march=x86-64-v2
compile b b_v2 -march=x86-64-v2
compile b b_v3 -march=x86-64-v3
compile b b_openmp -march=x86-64-v2 -fopenmp

"$cxx" a_v2.o b_v2.o -fopenmp -o same
./same
for other in b_v3:v0_avx2_omp0 b_openmp:v0_sse42_omp1; do
  if "$cxx" a_v2.o "${other%%:*}.o" -fopenmp -o different 2>log; then
    echo "flags: a_v2 and ${other%%:*} link, they must not"
    exit 1
  fi
  grep -q "${other##*:}" log || { echo "flags: the linker's message does not show ${other##*:}:"; head -5 log; exit 1; }
done
echo "flags: files of different switches do not link"
