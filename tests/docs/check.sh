#!/usr/bin/env bash
# Where Doxygen is installed: the pages of the public headers build without a warning; every class, type, constant and free
# function has a description (members need one where their name does not say it all); and the check can fail.
set -u
command -v doxygen >/dev/null || { echo "docs: Doxygen is not installed"; exit 77; }
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build SETTING…: what Doxygen says with cmake/Doxyfile and these settings.
build() { { cat cmake/Doxyfile; printf '%s\n' "OUTPUT_DIRECTORY = $work" "$@"; } | doxygen - 2>&1; }

said=$(build) || { echo "docs: not without warnings:"; echo "$said" | sort -u | head -20; exit 1; }
[ -s "$work/html/namespacekinema_1_1op.html" ] || { echo "docs: the ops have no page"; exit 1; }
undescribed() { build "EXTRACT_ALL = NO" "WARN_AS_ERROR = NO" "GENERATE_HTML = NO" "GENERATE_XML = YES" "$@" | grep "is not documented" | grep -v " of \(struct\|class\|union\) \| run(C\(pu\|uda\)Context " | sort -u; }
found=$(undescribed)
[ -z "$found" ] || { echo "docs: without a description:"; echo "$found" | head -20; exit 1; }

printf '// x\nnamespace kinema { int nameless(int x); }\n' >"$work/spoiled.hpp"
undescribed "INPUT = include/kinema/core $work/spoiled.hpp" "USE_MDFILE_AS_MAINPAGE =" | grep -q nameless || { echo "docs: a function without a description is not found"; exit 1; }
echo "docs: no warning"
