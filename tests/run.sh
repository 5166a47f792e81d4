#!/usr/bin/env bash
# run.sh [--quick]: installs what is missing, builds everything and runs every test.
#
#   release   all tests, with the rules and the schema checks
#   asan      the same code under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan      what has threads under ThreadSanitizer, without gRPC (the packaged one is not built for it)
#
# --quick stops after release. Builds live in build/, their output in build/logs. The last line counts
# everything that ran; the exit status is 0 only if all of it passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

quick=no
case "${1:-}" in
  --quick) quick=yes ;;
  "") ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

logs=build/logs
mkdir -p "$logs"
passed=0
failed=0
failures=()

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); failures+=("$1"); }

# quietly LOG COMMAND...: runs it with its output in $logs/LOG; the end of that is shown if it fails.
quietly() {
  local log=$logs/$1 start=$SECONDS
  shift
  if "$@" >"$log" 2>&1; then
    echo "ok ($((SECONDS - start)) s)"
  else
    echo "FAILED ($((SECONDS - start)) s); the end of $log:"
    tail -n 60 "$log"
    return 1
  fi
}

# check NAME COMMAND...: one check, counted.
check() {
  local name=$1
  shift
  printf '%s: ' "$name"
  if quietly "${name// /-}.log" "$@"; then pass; else fail "$name"; fi
}

# suite PRESET: configures, builds and runs the tests of one preset, each counted.
suite() {
  local preset=$1 log=$logs/$1-tests.log
  printf '\n== %s\nconfigure: ' "$preset"
  quietly "$preset-configure.log" cmake --preset "$preset" -D EMSERVE_TESTS=ON || { fail "$preset: configure"; return; }
  printf 'build: '
  quietly "$preset-build.log" cmake --build --preset "$preset" -j "$(nproc)" || { fail "$preset: build"; return; }
  "${run_tests[@]}" ctest --preset "$preset" -j "$(nproc)" --no-tests=error 2>&1 | tee "$log"
  local counts
  counts=$(sed -n 's/.* \([0-9]\+\) tests\{0,1\} failed out of \([0-9]\+\).*/\1 \2/p' "$log" | tail -n 1)
  if [ -z "$counts" ]; then
    fail "$preset: ctest ran no tests"
    return
  fi
  local bad=${counts% *} all=${counts#* }
  passed=$((passed + all - bad))
  failed=$((failed + bad))
  [ "$bad" = 0 ] || failures+=("$preset: $bad tests, see above or $log")
}

deploy/install-packages.sh build test || exit 1

# Reports stop at the first finding, so that a test cannot pass over one. ThreadSanitizer of GCC 12 cannot
# place its shadow on kernels that randomise addresses widely; where that can be switched off, it is.
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
run_tests=(env)
setarch "$(uname -m)" -R true 2>/dev/null && run_tests=(setarch "$(uname -m)" -R)

echo "== schemas and style"
check "schema lint" tests/rules/schema.sh lint
check "schema format" tests/rules/schema.sh format
check "schema compatibility" tests/rules/schema.sh breaking
check "schema checks bite" tests/rules/schema_test.sh
check "source format" tests/rules/format.sh

suite release
if [ $quick = no ]; then
  suite asan
  suite tsan
fi

echo
for failure in "${failures[@]}"; do echo "failed: $failure"; done
echo "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
