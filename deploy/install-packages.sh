#!/usr/bin/env bash
# install-packages.sh GROUP...: installs the Debian packages that emserve needs and this machine lacks.
#
#   build    compiler, build tools and libraries: everything `cmake --build` needs for the programs
#   test     what tests/run.sh needs on top of `build`
#   runtime  the shared libraries of the built programs, for an image without compilers
#
# This is the only list of packages in the repository. Written for Debian 12; other Debian-based systems
# may work. Asks the package manager for nothing when nothing is missing; uses sudo when not root.
set -euo pipefail

build=(
  g++ cmake ninja-build ccache lld
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc grpc-proto
  libabsl-dev libboost-dev libeigen3-dev libhwy-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libssl-dev
)
# buf, the linter of the schemas, comes from the npm registry.
test=(libgtest-dev libgmock-dev clang-format-14 git python3 ca-certificates)
runtime=(libgrpc++1.51 libprotobuf32 libabsl20220623 libhwy1 libspdlog1.10 libssl3)

wanted=()
for group in "$@"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    test)
      wanted+=("${test[@]}")
      # An npm from elsewhere does as well as Debian's, which would replace its node.
      command -v npm >/dev/null || wanted+=(npm)
      ;;
    runtime) wanted+=("${runtime[@]}") ;;
    *) wanted=() && break ;;
  esac
done
if [ ${#wanted[@]} = 0 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install-packages: this is not a Debian-based system; install the equivalents of:" >&2
  echo "  ${wanted[*]}" >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install-packages: run as root, or install sudo; missing: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
     } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "install-packages: apt-get failed" >&2
  exit 1
fi
