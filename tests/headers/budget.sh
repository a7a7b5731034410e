#!/usr/bin/env bash
# What including a header costs, in units of U = <string> <vector> <memory> <span>, measured first.   budget.sh COMPILER
# Counted are lines after preprocessing: they are the same in every run, while seconds depend on what else the machine does.
# On an idle one the seconds are about 0.5, 0.9, 1.4, 1.5, 1.9 and 4.3 U for the rows below.
set -u -o pipefail
cxx=$1
include=$(cd "$(dirname "$0")/../../include" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$include" || exit 1
failed=0 checked=0

lines() {
  printf '#include <%s>\n' "$@" >"$work/unit.cpp"
  "$cxx" -std=c++20 -E -P -I. -DKINEMA_KERNELS_APART=1 "$work/unit.cpp" | wc -l
}
over() { awk -v a="$1" -v b="$2" -v most="$3" 'BEGIN {exit !(a > most * b)}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

reference=$(lines string vector memory span) || { echo "budget: the reference unit does not compile"; exit 1; }

# within U HEADER…
within() {
  local most=$1 header got worst=0
  shift
  for header in "$@"; do
    got=$(lines "$header") || { echo "budget: $header does not compile"; failed=1; continue; }
    checked=$((checked + 1))
    if over "$got" "$reference" "$most"; then
      echo "budget: $header is $(ratio "$got" "$reference") U, allowed are $most"
      failed=1
    fi
    [ "$got" -le "$worst" ] || worst=$got
  done
  echo "$(dirname "$1"): at most $(ratio "$worst" "$reference") U (allowed: $most)"
}

within 1.0 kinema/core/*.hpp
within 1.7 kinema/tensor/*.hpp
within 1.9 kinema/op/*.hpp
within 1.9 kinema/nn/*.hpp
within 2.0 kinema/model/cogvideox/transformer.hpp
within 2.6 kinema/kinema.hpp

# A budget that nothing can exceed is none.
over "$(lines kinema/op/attention.hpp)" "$reference" 1.0 || { echo "budget: nothing can exceed a budget"; failed=1; }
[ "$failed" = 0 ] && echo "budget: $checked headers"
exit $failed
