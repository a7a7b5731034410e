#!/usr/bin/env bash
# Every header, generated from the tree: alone and twice in its own unit; then all together, forwards and backwards.
#   check.sh cxx COMPILER SWITCH…     switches: the optional libraries that are installed (JSON, STB, …)
#   check.sh nvcc NVCC SWITCH…
# A header whose purpose is a library must say so in an #error that names its switch; with the switch it must compile.
# `check.sh cxx COMPILER … -- HEADER…` looks at those headers only.
set -u
kind=$1 compiler=$2
shift 2
switches=() only=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do switches+=("-DKINEMA_WITH_$1=1"); shift; done
[ $# -gt 0 ] && { shift; only=("$@"); }

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export root work compiler
warnings="-Wall -Wextra -Wshadow -Wconversion -Werror"
case "$("$compiler" --version 2>/dev/null)" in *clang*) ;; *Free\ Software*) warnings="$warnings -Wno-maybe-uninitialized" ;; esac
extra="-isystem /usr/include/eigen3"
[ "$kind" = cxx ] || extra=

# Kernels apart: what everybody may include anywhere.  Kernels inline: kernel/cpu, for this machine's instruction set.
export apart="-std=c++20 -fsyntax-only $warnings -I$root/include $extra -DKINEMA_KERNELS_APART=1"
openmp=-fopenmp  # clang brings the flag without the header
echo '#include <omp.h>' | "$compiler" -x c++ -fopenmp -fsyntax-only - 2>/dev/null || openmp=
export inline="-std=c++20 -fsyntax-only $warnings -I$root/include $extra -march=x86-64-v3 $openmp"
export all_switches="${switches[*]-}"

cd "$root/include" || exit 1
mapfile -t headers < <(find kinema -name '*.hpp' ! -path 'kinema/kernel/cpu/*' ! -path 'kinema/kernel/cuda/*' | LC_ALL=C sort)
mapfile -t kernels < <(find kinema/kernel/cpu -name '*.hpp' | LC_ALL=C sort)
mapfile -t host_cuda < <(find kinema/kernel/cuda -name '*.hpp' | LC_ALL=C sort)
mapfile -t device < <(find kinema/kernel/cuda -name '*.cuh' | LC_ALL=C sort)
[ ${#headers[@]} -gt 50 ] || { echo "headers: only ${#headers[@]} headers found below $root/include"; exit 1; }

twice() { printf '#include <%s>\n#include <%s>\n' "$1" "$1"; }
unit() { echo "$work/$(echo "$1" | tr '/.' '__').$2"; }

# one_apart HEADER: without any switch if it can, else with all of them after it has named the one it needs.
one_apart() {
  source=$(unit "$1" cpp)
  twice "$1" >"$source"
  if "$compiler" $apart "$source" >"$source.log" 2>&1; then return 0; fi
  if grep -q 'error.*KINEMA_WITH_[A-Z]*=1' "$source.log"; then
    needed=$(grep -o 'KINEMA_WITH_[A-Z]*=1' "$source.log" | head -1)
    case "$all_switches" in *"-D$needed"*) ;; *) return 0 ;; esac  # that library is not here
    "$compiler" $apart $all_switches "$source" >"$source.log" 2>&1 && return 0
  fi
  echo "headers: $1 does not compile alone and twice:"
  grep -E 'error|warning' "$source.log" | head -5
  return 1
}
# one_inline HEADER: as included by a program without a build system, with the libraries that are here.
one_inline() {
  source=$(unit "$1" cpp)
  twice "$1" >"$source"
  "$compiler" $inline $all_switches "$source" >"$source.log" 2>&1 && return 0
  echo "headers: $1 does not compile alone and twice:"
  grep -E 'error|warning' "$source.log" | head -5
  return 1
}
export -f twice unit one_apart one_inline
each() {  # each FUNCTION HEADER…: several at a time; the failures are printed and counted
  local function=$1
  shift
  printf '%s\n' "$@" | xargs -P 2 -I{} bash -c "$function {}" || failed=1
}
order() {  # order FLAGS LANGUAGE HEADER…: all together, forwards and backwards
  local flags=$1 extension=$2
  shift 2
  printf '#include <%s>\n' "$@" >"$work/forwards.$extension"
  printf '#include <%s>\n' "$@" | tac >"$work/backwards.$extension"
  for way in forwards backwards; do
    "$compiler" $flags "$work/$way.$extension" >"$work/$way.log" 2>&1 && continue
    echo "headers: do not compile together, $way:"
    grep -E 'error|warning' "$work/$way.log" | head -5
    failed=1
  done
}

failed=0
if [ ${#only[@]} -gt 0 ]; then headers=("${only[@]}") kernels=() device=(); fi
if [ "$kind" = cxx ]; then
  each one_apart "${headers[@]}"
  [ ${#kernels[@]} -eq 0 ] || each one_inline "${kernels[@]}"
  if [ ${#only[@]} -eq 0 ]; then
    free=()  # order matters among those that compile without switches; kinema.hpp is the list of them
    mapfile -t free < <(sed -n 's/^#include <\(.*\)>/\1/p' kinema/kinema.hpp)
    order "$apart" cpp "${free[@]}"
    order "$inline $all_switches" cpp "${free[@]}" "${kernels[@]}"
    order "$inline" cpp "${kernels[@]}"  # on plain loops
  fi
else
  # nvcc shares g++'s standard library, so what g++ accepts alone is complete. Each folder is one unit, all are another.
  nvcc="-std=c++20 -arch=sm_90a -I$root/include -DKINEMA_WITH_CUDA=1 -cuda -o $work/out.ii"
  mapfile -t free < <(sed -n 's/^#include <\(.*\)>/\1/p' kinema/kinema.hpp)
  order "$nvcc" cu "${free[@]}" "${device[@]}"
  alone() {  # alone HEADER EXTENSION COMMAND…
    twice "$1" >"$work/alone.$2"
    "${@:3}" "$work/alone.$2" >"$work/alone.log" 2>&1 && return
    echo "headers: $1 does not compile alone and twice:"
    grep -E 'error|warning' "$work/alone.log" | head -5
    failed=1
  }
  for header in "${device[@]}"; do alone "$header" cu "$compiler" $nvcc; done
  # Library calls are compiled by the host compiler.
  cuda_include=$(dirname "$(command -v "$compiler")")/../include
  for header in "${host_cuda[@]}"; do alone "$header" cpp c++ -std=c++20 -fsyntax-only $warnings "-I$root/include" -isystem "$cuda_include" -DKINEMA_WITH_CUDA=1; done
fi
[ "$failed" = 0 ] && echo "headers: $(basename "$compiler"): ${#headers[@]} headers, ${#kernels[@]} kernel headers, ${#device[@]} device headers"
exit $failed
