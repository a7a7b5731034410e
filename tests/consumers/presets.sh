#!/usr/bin/env bash
# Every preset configures (those whose compiler is here) and sets what it says.
set -eu
cmake=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v ninja >/dev/null || exit 77
cd "$root"

mapfile -t presets < <("$cmake" --list-presets | sed -n 's/^ *"\([^"]*\)".*/\1/p')
[ ${#presets[@]} -ge 10 ] || { echo "presets: only ${#presets[@]} are listed"; exit 1; }
configured=0
for preset in "${presets[@]}"; do
  case $preset in
    clang-* | thread-*) command -v clang++-14 >/dev/null || continue ;;
    cuda-*) command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || continue ;;
  esac
  # Configuration is the check; what a preset builds, the other tests build.
  "$cmake" --preset "$preset" -B "$work/$preset" -DKINEMA_TESTS=OFF -DKINEMA_EXAMPLES=OFF -DKINEMA_BENCHMARKS=OFF >"$work/log" 2>&1 ||
    { echo "presets: $preset does not configure:"; tail -n 20 "$work/log"; exit 1; }
  configured=$((configured + 1))
done
variable() { sed -n "s/^$2:[A-Z]*=//p" "$work/$1/CMakeCache.txt"; }
[ "$(variable cpu-v3 KINEMA_MARCH)" = x86-64-v3 ] || { echo "presets: cpu-v3 is for $(variable cpu-v3 KINEMA_MARCH)"; exit 1; }
[ "$(variable scalar KINEMA_XSIMD)" = OFF ] || { echo "presets: scalar has xsimd"; exit 1; }
[ "$(variable strict KINEMA_STRICT)" = ON ] || { echo "presets: strict is not"; exit 1; }
echo "presets: $configured of ${#presets[@]} configured"
