#!/usr/bin/env bash
# README.md shows what is there: its program is the middle of examples/generate.cpp, and the files, presets, options and
# commands that it names exist.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
failed=0
problem() { echo "readme: $1"; failed=1; }

shown=$(awk '/^```cpp$/ {inside = 1; next} /^```$/ {if (inside) exit} inside' README.md)
compiled=$(awk '/^\/\/ \[generate\]$/ {inside = !inside; next} inside' examples/generate.cpp)
[ -n "$compiled" ] || problem "examples/generate.cpp has no part between // [generate] marks"
[ "$shown" = "$compiled" ] || { problem "its program differs from examples/generate.cpp:"; diff <(echo "$shown") <(echo "$compiled"); }
[ "$(echo "$compiled" | wc -l)" -le 15 ] || problem "the program is longer than fifteen lines"

for path in examples/quickstart.sh tests/run.sh examples/models/shapes .ci/debian-packages examples/kinema tests/golden benchmarks cmake \
            examples/models/shapes/contact-sheet.png; do
  grep -q "${path##*/}" README.md || problem "does not name $path any more; adapt this test"
  [ -e "$path" ] || problem "names $path, which does not exist"
done
for preset in $(sed -n 's/.*"name": "\([a-z0-9-]*\)", "inherits".*/\1/p' CMakePresets.json | sort -u); do
  grep -q "\`$preset\`" README.md || problem "does not name the preset $preset"
done
for option in $(grep -o 'KINEMA_[A-Z]*' README.md | grep -v KINEMA_WITH | sort -u); do
  grep -q "$option" CMakeLists.txt cmake/*.cmake || problem "names the option $option, which does not exist"
done
for switch in $(grep -o 'KINEMA_WITH_[A-Z]*' README.md | sort -u); do
  grep -rq "$switch" include/kinema || problem "names the switch $switch, which does not exist"
done
[ "$failed" = 0 ] && echo "readme: agrees with the tree"
exit $failed
