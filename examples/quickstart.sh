#!/bin/sh
# quickstart.sh [--prompt "…"] [options of kinema generate] - from a clone on a bare Debian 12 to a video: installs what is
# missing (as root or with sudo), builds the program, and generates with the small model that comes with the repository.
set -eu
case ${1:-} in
  -h|--help)
    echo 'usage: examples/quickstart.sh [--prompt "a red circle moves right on a black background"] [options of kinema generate]'
    exit 0 ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/quickstart

"$root/.ci/install-packages" build
# A kernel unit takes up to a gigabyte to compile: no more compilers at once than memory for them.
jobs=$(nproc)
fits=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1500000))
[ "$fits" -ge 1 ] || fits=1
[ "$jobs" -le "$fits" ] || jobs=$fits
if [ ! -f "$build/build.ninja" ]; then
  mkdir -p "$build"
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DKINEMA_TESTS=OFF -DKINEMA_EXAMPLES=ON -DKINEMA_MARCH=native > "$build/configure.log" 2>&1 ||
    { cat "$build/configure.log" >&2; exit 1; }
fi
cmake --build "$build" --target kinema --parallel "$jobs"

# has "NAMES" ARGUMENTS: whether one of the names of an option is among the arguments.
has() {
  names=$1
  shift
  for argument in "$@"; do
    for name in $names; do
      case $argument in "$name" | "$name"=*) return 0 ;; esac
    done
  done
  return 1
}
has "--model -m --model-path --model_path" "$@" || set -- "$@" --model "$root/examples/models/shapes"
has "--prompt -p" "$@" || set -- "$@" --prompt "a red circle moves right on a black background"
has "--steps --num-inference-steps --num_inference_steps" "$@" || set -- "$@" --steps 50
has "--cfg-scale --guidance-scale --guidance_scale" "$@" || set -- "$@" --cfg-scale 4
has "--seed -s" "$@" || set -- "$@" --seed 42
if ! has "--output -o --output-path --output_path" "$@"; then
  mkdir -p "$root/output"
  set -- "$@" --output "$root/output/output.mp4"
fi

program=$(find "$build" -maxdepth 3 -name kinema -type f -perm -u+x | head -n 1)
files=$("$program" generate "$@")
echo
echo "$files" | while IFS= read -r file; do
  case $file in
    *_contact_sheet.png) echo "contact sheet: $file" ;;
    *) echo "video:         $file" ;;
  esac
done
