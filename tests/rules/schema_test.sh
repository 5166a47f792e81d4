#!/usr/bin/env bash
# Shows on a scratch copy of proto/ that schema.sh finds what it is there for.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export EMSERVE_ROOT=$scratch EMSERVE_API_BASE=
victim=$scratch/proto/emserve/v1/scratch.proto
git=(git -C "$scratch" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false)

failures=0
expect() {  # expect pass|fail WHAT CHECK [TEXT IN ITS OUTPUT]
  local want=$1 what=$2 check=$3 text=${4:-} output got=pass
  output=$("$here/tests/rules/schema.sh" "$check" 2>&1) || got=fail
  if [ "$got" != "$want" ] || [[ "$output" != *"$text"* ]]; then
    printf 'schema_test: %s: wanted %s with "%s", got %s:\n%s\n' "$what" "$want" "$text" "$got" "$output"
    failures=$((failures + 1))
  fi
}

cp -r "$here/proto" "$scratch/proto"
cat >"$victim" <<'PROTO'
syntax = "proto3";

package emserve.v1;

// A message for the test.
message Scratch {
  // The first field.
  string first = 1;
  // The second field.
  string second = 2;
}
PROTO

expect pass "without git" breaking "no git history"
git init -q "$scratch"
"${git[@]}" commit -q --allow-empty -m empty
"${git[@]}" add -A
"${git[@]}" commit -q -m base
expect pass "a base without schemas" breaking "has no schemas"
expect pass "the untouched schemas" lint
expect pass "the untouched schemas" format

edit() { cp "$victim" "$victim.orig"; sed -i "$1" "$victim"; }
restore() { mv "$victim.orig" "$victim"; }

edit '/second/d'
expect fail "a removed field" breaking 'Previously present field "2" with name "second"'
"${git[@]}" commit -q -am removed
expect fail "a removed field, committed" breaking 'Previously present field "2"'
EMSERVE_API_BASE=HEAD~1 expect fail "a removed field against a given base" breaking 'Previously present field "2"'
restore
"${git[@]}" commit -q -am restored
expect pass "an added field" breaking "compatible with HEAD~1"

edit 's/string second = 2/int32 second = 2/'
expect fail "a changed type" breaking 'changed type'
restore
edit '/The first field/d'
expect fail "a field without a comment" lint 'non-empty comment'
restore
edit 's/string first/string First/'
expect fail "a field in camel case" lint 'lower_snake_case'
restore
edit 's/  string first/string first/'
expect fail "a line out of place" format '+  string first'
restore

[ $failures = 0 ] && echo "schema_test: every check bites"
exit $((failures > 0))
