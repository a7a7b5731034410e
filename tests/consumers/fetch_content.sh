#!/usr/bin/env bash
# FetchContent of a local folder, headers alone, with the libraries that are here; with kernels apart it configures.
set -eu
cxx=$1 cmake=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.24)
project(consumer CXX)
include(FetchContent)
FetchContent_Declare(kinema SOURCE_DIR "$here/../..")
FetchContent_MakeAvailable(kinema)
add_executable(app "$here/program.cpp")
target_link_libraries(app PRIVATE kinema::all)
kinema_add_kernels()
add_executable(apart EXCLUDE_FROM_ALL "$here/program.cpp")
target_link_libraries(apart PRIVATE kinema::kernels kinema::all)
END
"$cmake" -S "$work" -B "$work/build" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS=-O1 >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$cmake" --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/build/app"
