#!/usr/bin/env bash
# tidy.sh [PATTERN]: clang-tidy on the project's own sources whose path contains PATTERN, all by default. Takes minutes, so
# tests/run.sh leaves it out. Needs clang-tidy-14 and a configured release build.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-tidy-14 >/dev/null || { echo "tidy: clang-tidy-14 is missing; apt-get install clang-tidy-14" >&2; exit 1; }

cmake --preset release -D EMSERVE_TESTS=ON >/dev/null
# Generated headers must be there before anything that includes them can be read.
cmake --build --preset release --target emserve_proto >/dev/null
find core server client proto/wire tests -path tests/install -prune -o -name '*.cc' -print | grep -F -- "${1:-}" |
  xargs -r -P "$(nproc)" -n 1 clang-tidy-14 -p build/release --quiet
