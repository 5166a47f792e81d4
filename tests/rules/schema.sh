#!/usr/bin/env bash
# schema.sh lint | format | breaking: checks the schemas in proto/ with buf.
#
#   lint      style and comments, by proto/buf.yaml
#   format    layout of the text, as `buf format` prints it
#   breaking  no incompatible change against the last landed main: ${EMSERVE_API_BASE:-origin/main}, or the
#             commit before HEAD where that is HEAD itself. Passes, and says so, where there is nothing to
#             compare with: no git, no such commit, or no schemas in it.
#
# EMSERVE_ROOT is the checkout to look at, this one unless set. buf comes from the npm registry, pinned,
# into build/buf of this checkout.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
root=${EMSERVE_ROOT:-$here}
version=1.75.0
home=$here/build/buf/$version
export BUF_CACHE_DIR=$home/cache

# The program is a binary in a package of its own, so no install script has to run.
install_buf() {
  [ -x "$home/node_modules/.bin/buf" ] && return
  command -v npm >/dev/null || { echo "schema: npm is missing; run deploy/install-packages.sh test" >&2; exit 1; }
  mkdir -p "$home"
  if ! npm install --prefix "$home" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
      "@bufbuild/buf@$version" >"$home/install.log" 2>&1; then
    tail -n 20 "$home/install.log" >&2
    echo "schema: npm could not install buf $version" >&2
    exit 1
  fi
}

buf() { (cd "$root/proto" && "$home/node_modules/.bin/buf" "$@"); }

breaking() {
  local base=${EMSERVE_API_BASE:-origin/main} commit head
  head=$(git -C "$root" rev-parse -q --verify HEAD 2>/dev/null) || { echo "schema: no git history to compare with"; return; }
  commit=$(git -C "$root" rev-parse -q --verify "$base^{commit}" 2>/dev/null) || commit=$head
  if [ "$commit" = "$head" ]; then
    # With uncommitted changes HEAD itself is the base; a clean checkout is compared with its parent.
    if git -C "$root" diff --quiet HEAD -- proto; then base=HEAD~1; else base=HEAD; fi
    commit=$(git -C "$root" rev-parse -q --verify "$base^{commit}" 2>/dev/null) ||
      { echo "schema: $base is not there; nothing to compare with"; return; }
  fi
  if ! git -C "$root" cat-file -e "$commit:proto/buf.yaml" 2>/dev/null; then
    echo "schema: $base has no schemas; nothing to compare with"
    return
  fi
  old=$(mktemp -d)
  trap 'rm -rf "$old"' EXIT
  git -C "$root" archive "$commit" proto | tar -x -C "$old"
  buf breaking --against "$old/proto"
  echo "schema: compatible with $base ($(git -C "$root" rev-parse --short "$commit"))"
}

install_buf
case ${1:-} in
  lint) buf lint ;;
  format) buf format --diff --exit-code ;;
  breaking) breaking ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
