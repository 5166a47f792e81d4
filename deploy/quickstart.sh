#!/usr/bin/env bash
# quickstart.sh: from a bare Debian 12 to a fitted model in one command. Installs what is missing, builds the server and
# the command-line client, fits the bundled Old Faithful data, predicts with the model, and stops the server again.
# Everything it makes is in build/; running it twice is quick.
set -euo pipefail
cd "$(dirname "$0")/.."

data=tests/data/faithful.csv
output=build/quickstart
build_log=$output/build.log
server_log=$output/server.log
port_file=$output/port
mkdir -p "$output"
rm -f "$port_file"

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show_and_run() {
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@"
}

server=
stop_server() {
  [ -n "$server" ] || return 0
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" || return 1
  server=
}
trap 'stop_server || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The build's output goes to a log; a terminal sees ninja's count, and everyone the end of the log if it fails.
build() {
  cmake --preset release -D EMSERVE_TESTS=OFF && cmake --build --preset release -j "$(nproc)" --target emserved emctl
}
count() {
  if [ -t 1 ]; then sed -u -n 's/^\(\[[0-9]*\/[0-9]*\]\).*/\r\1 /p' | tr -d '\n'; else cat >/dev/null; fi
}

say "1. Installing what is missing"
deploy/install-packages.sh build
echo "All packages are there."

say "2. Building (a few minutes the first time; the output goes to $build_log)"
start=$SECONDS
if ! build 2>&1 | tee "$build_log" | count; then
  tail -n 40 "$build_log" >&2
  echo "quickstart: the build failed; all of its output is in $build_log" >&2
  exit 1
fi
printf 'Built in %s s: build/release/server/emserved, build/release/client/emctl\n' $((SECONDS - start))

say "3. Starting the server on a free port"
build/release/server/emserved --listen 127.0.0.1:0 --port_file "$port_file" >"$server_log" 2>&1 &
server=$!
for _ in $(seq 200); do
  [ -s "$port_file" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.05
done
if [ ! -s "$port_file" ]; then
  cat "$server_log" >&2
  echo "quickstart: the server did not start" >&2
  exit 1
fi
address=127.0.0.1:$(cat "$port_file")
echo "emserved listens on $address; its log is $server_log"

export PATH=$PWD/build/release/client:$PATH
say "4. Fitting Old Faithful: 272 eruptions, their length and the wait before them, two kinds"
show_and_run emctl --server "$address" fit gaussian-mixture --data "$data" -k 2 --covariance full --restarts 10 \
  --seed 1 --model geyser

say "5. Predicting the kind of each eruption"
show_and_run emctl --server "$address" predict geyser --data "$data" --output "$output/kinds.csv" \
  --outputs labels,posteriors
show_and_run head -n 4 "$output/kinds.csv"

say "6. The model, its parameters as above, stays under its name until the server stops"
show_and_run emctl --server "$address" models list

stop_server || { cat "$server_log" >&2; echo "quickstart: the server did not stop cleanly" >&2; exit 1; }
say "Done; the server has stopped."
cat <<'END'
To go on by yourself:
  build/release/server/emserved &                  # listens on 127.0.0.1:50551; --help shows every flag
  build/release/client/emctl --help
  tests/run.sh                                     # every test
END
