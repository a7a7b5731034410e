#!/usr/bin/env bash
# Snippets that must not compile:  check.sh COMPILER [NAME…]
# Each file says in its second line a word that the message must contain; with CORRECTED defined it must compile, so that
# it is known to fail for its own reason.
set -u
compiler=$1
shift
folder=$(cd "$(dirname "$0")" && pwd)
flags="-std=c++20 -fsyntax-only -I$folder/../../include"
failed=0 count=0
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT

[ $# -gt 0 ] || set -- "$folder"/*.cpp
for source in "$@"; do
  name=$(basename "$source" .cpp)
  source=$folder/$name.cpp
  word=$(sed -n '2s|^// must say: ||p' "$source")
  # Kernels apart parse fast and hide nothing that is asked here; snippets about the switch itself set it.
  apart=-DKINEMA_KERNELS_APART=1
  grep -q 'define KINEMA_KERNELS_APART' "$source" && apart=
  count=$((count + 1))
  if [ -z "$word" ]; then
    echo "must_fail: $name: the second line must be '// must say: WORD'"
    failed=1
  elif "$compiler" $flags $apart "$source" >"$messages" 2>&1; then
    echo "must_fail: $name: compiles, it must not"
    failed=1
  elif ! grep -qE "error.*($word)|note.*($word)|required.*($word)" "$messages"; then
    echo "must_fail: $name: does not compile, but no message has '$word':"
    grep -m 3 error "$messages"
    failed=1
  elif ! "$compiler" $flags $apart -DCORRECTED "$source" >"$messages" 2>&1; then
    echo "must_fail: $name: does not compile when corrected either:"
    grep -m 3 error "$messages"
    failed=1
  fi
done
[ "$failed" = 0 ] && echo "must_fail: $count snippets are refused, and their corrected forms compile"
exit $failed
