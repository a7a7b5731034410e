#!/bin/sh
# tests/run.sh [ctest options] - from a bare Debian 12 to the verdict: installs what is missing, builds everything into
# build/test and runs every test. KINEMA_JOBS sets the number of parallel compilations; further configuration of CMake
# goes into KINEMA_CONFIGURE, for example KINEMA_CONFIGURE="-DKINEMA_MARCH=x86-64-v3".
set -eu
cd "$(dirname "$0")/.."
start=$(date +%s)
.ci/install-packages build test

jobs=${KINEMA_JOBS:-$(nproc)}
# shellcheck disable=SC2086 # a list of options
cmake -S . -B build/test -G Ninja -DCMAKE_BUILD_TYPE=Release -DKINEMA_TESTS=ON -DKINEMA_EXAMPLES=ON ${KINEMA_CONFIGURE:-}
cmake --build build/test --parallel "$jobs"

report=build/test/ctest.txt
status=0
# ctest's own verdict must not be lost in the pipe.
{ ctest --test-dir build/test --output-on-failure --parallel "${KINEMA_TEST_JOBS:-1}" "$@" || echo $? > build/test/ctest.failed; } 2>&1 | tee "$report"
if [ -f build/test/ctest.failed ]; then
  status=$(cat build/test/ctest.failed)
  rm build/test/ctest.failed
fi

# "98% tests passed, 1 tests failed out of 40"
failed=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of [0-9]*.*/\1/p' "$report")
all=$(sed -n 's/.*tests passed, [0-9]* tests failed out of \([0-9]*\).*/\1/p' "$report")
seconds=$(($(date +%s) - start))
if [ -z "$all" ] || [ "$all" = 0 ]; then
  echo "kinema: no test ran in $seconds s"
  exit 1
fi
if [ "$status" != 0 ] || [ "$failed" != 0 ]; then
  echo "kinema: $failed of $all tests FAILED in $seconds s"
  exit 1
fi
echo "kinema: $all tests passed in $seconds s"
