#!/usr/bin/env bash
# format.sh [--fix]: checks that the C++ sources are laid out as .clang-format says, or rewrites them.
# Pinned to clang-format 14, Debian 12's: other versions disagree about details.
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=(--dry-run --Werror)
[ "${1:-}" = --fix ] && mode=(-i)
command -v clang-format-14 >/dev/null ||
  { echo "format: clang-format-14 is missing; run deploy/install-packages.sh test" >&2; exit 1; }
find core server client proto tests -name build -prune -o \( -name '*.h' -o -name '*.cc' \) -print0 |
  xargs -0 -r -n 20 -P 2 clang-format-14 "${mode[@]}"
