#!/usr/bin/env bash
# Install, then find_package with the kernels as a library of the consumer's; missing components and versions are refused.
set -eu
cxx=$1 cmake=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }; }

run "$cmake" -S "$here/../.." -B "$work/tree" -DCMAKE_CXX_COMPILER="$cxx" -DKINEMA_TESTS=OFF -DKINEMA_EXAMPLES=OFF
run "$cmake" --install "$work/tree" --prefix "$work/prefix"

project() {  # project FOLDER "WHAT TO FIND": a consumer of the installed package
  mkdir -p "$work/$1"
  cat >"$work/$1/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.24)
project(consumer CXX)
find_package(kinema $2)
get_target_property(folder kinema::kinema INTERFACE_INCLUDE_DIRECTORIES)
list(GET folder 0 folder)
if(NOT folder STREQUAL "$work/prefix/include")
  message(FATAL_ERROR "headers come from \${folder}")
endif()
add_executable(app "$here/program.cpp")
target_compile_definitions(app PRIVATE USES_MATMUL=1)
target_link_libraries(app PRIVATE kinema::kernels)
END
}
configure() { "$cmake" -S "$work/$1" -B "$work/$1/build" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1; }
refused() {  # refused FOLDER WORD
  if configure "$1"; then echo "package: $1: is found, it must not be"; return 1; fi
  tr -s ' \n' ' ' <"$work/log" | grep -q "$2" || { echo "package: $1: no message has '$2'"; cat "$work/log"; return 1; }
}

project version "0.2 REQUIRED"
refused version 'requested version "0.2"'
project component "0.1 REQUIRED COMPONENTS kernels telepathy"
refused component "component telepathy"

project app "0.1 REQUIRED COMPONENTS kernels"
configure app || { cat "$work/log"; exit 1; }
run "$cmake" --build "$work/app/build" --parallel 2
"$work/app/build/app"
