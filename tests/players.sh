#!/usr/bin/env bash
# Real players against the demo's test picture.
#
#     tests/players.sh          the ones every change must keep playing; prints "# pass N", "# fail N", "# skipped N"
#     tests/players.sh --table  all there are on this machine, as a Markdown table
#
# The demo must be built in release mode, and web/ must have its packages (`make web`).
set -euo pipefail

readonly SECONDS_TO_PLAY=15
readonly START_DEADLINE=20
readonly END_DEADLINE=10

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
chromium=${CHROMIUM:-$(command -v chromium || true)}
export CHROMIUM=$chromium

coproc DEMO { exec "$target/release/examples/demo" --test-picture --host 127.0.0.1 --port 0; }
demo=$DEMO_PID
trap 'kill "$demo" 2>/dev/null || true' EXIT

url=
while [[ -z $url ]] && read -r -t "$START_DEADLINE" -u "${DEMO[0]}" line; do
    [[ $line =~ player\ +(http://[^ ]+) ]] && url=${BASH_REMATCH[1]}
done
[[ -n $url ]] || { echo "players: the demo printed no player URL" >&2 && exit 1; }

if [[ ${1:-} == --table ]]; then
    node "$root/web/test/table.mjs" "$url" "$SECONDS_TO_PLAY"
    exit
fi

pass=0
fail=0
skipped=0

# attempt NAME COMMAND...
attempt() {
    local name=$1
    shift
    if "$@"; then
        echo "ok - $name"
        pass=$((pass + 1))
    else
        echo "not ok - $name"
        fail=$((fail + 1))
    fi
}

# skip NAME WHY
skip() {
    echo "ok - $1 # SKIP $2"
    skipped=$((skipped + 1))
}

if [[ -z $chromium ]]; then
    skip "hls.js" "there is no chromium on the PATH"
    skip "player page" "there is no chromium on the PATH"
elif [[ ! -d $root/web/node_modules/playwright-core ]]; then
    skip "hls.js" "web/node_modules is missing, run make web"
    skip "player page" "web/node_modules is missing, run make web"
else
    attempt "hls.js plays" node "$root/web/test/hlsjs.mjs" "$url" "$SECONDS_TO_PLAY"
    attempt "the player page copes" node "$root/web/test/page.mjs" "$url"
fi
attempt "ffmpeg decodes" node "$root/web/test/table.mjs" "$url" 10 --only ffmpeg
attempt "GStreamer plays" node "$root/web/test/table.mjs" "$url" "$SECONDS_TO_PLAY" --only hlsdemux2

ends_cleanly() {
    kill -TERM "$demo"
    # Its output ends when it does.
    while read -r -t "$END_DEADLINE" -u "${DEMO[0]}" _; do :; done
    wait "$demo"
}
attempt "the demo ends cleanly" ends_cleanly

printf '# pass %d\n# fail %d\n# skipped %d\n' "$pass" "$fail" "$skipped"
[[ $fail -eq 0 ]]
