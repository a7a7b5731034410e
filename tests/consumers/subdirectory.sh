#!/usr/bin/env bash
# add_subdirectory: a copy of kinema inside another project, headers alone. Nothing of kinema's own is built.
set -eu
cxx=$1 cmake=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.24)
project(consumer CXX)
add_subdirectory("$here/../.." kinema)
if(TARGET kinema_test_main OR TARGET kinema_flags)
  message(FATAL_ERROR "tests or examples of kinema became part of its consumer")
endif()
add_executable(app "$here/program.cpp")
target_link_libraries(app PRIVATE kinema::kinema)
END
"$cmake" -S "$work" -B "$work/build" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS=-O1 >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$cmake" --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/build/app"
