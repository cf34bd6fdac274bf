#!/usr/bin/env bash
# Real players against the streamer's test picture and tone, and against the example `rehearsal`, which has more tracks
# and misbehaves when told to.
#
#     tests/players.sh          the ones every change must keep playing; prints "# pass N", "# fail N", "# skipped N"
#                               and, last, how many of them took a second try: "# retried N"
#     tests/players.sh --table  all there are on this machine, as a Markdown table
#
# Both must be built in release mode, and web/ must have its packages (`make web`).
set -euo pipefail

readonly SECONDS_TO_PLAY=15
readonly START_DEADLINE=20
readonly END_DEADLINE=10

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
chromium=${CHROMIUM:-$(command -v chromium || true)}
export CHROMIUM=$chromium
rehearsal=$target/release/examples/rehearsal

coproc STREAMER {
    exec "$target/release/examples/streamer" --test-src --audio --part-duration 0.2 --host 127.0.0.1 --http-port 0
}
streamer=$STREAMER_PID
work=$(mktemp -d)
trap 'kill "$streamer" 2>/dev/null || true; rm -rf "$work"' EXIT

url=
while [[ -z $url ]] && read -r -t "$START_DEADLINE" -u "${STREAMER[0]}" line; do
    [[ $line =~ player\ +(http://[^ ]+) ]] && url=${BASH_REMATCH[1]}
done
[[ -n $url ]] || { echo "players: the streamer printed no player URL" >&2 && exit 1; }

if [[ ${1:-} == --table ]]; then
    node "$root/web/test/table.mjs" "$url" "$SECONDS_TO_PLAY" --tracks audio,video
    exit
fi

pass=0
fail=0
skipped=0
retried=0

# attempt NAME COMMAND...
# A player on a crowded machine may stall for want of a processor: once more tells that from a fault. From one that shows half
# the time it does not, so the second tries are counted.
attempt() {
    local name=$1
    shift
    if "$@" || { echo "# once more: $name" && retried=$((retried + 1)) && "$@"; }; then
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

# on_stream SCRIPT STREAM-OPTION... [-- SCRIPT-OPTION...]: a script of web/test/ against a rehearsal of its own, over SCHEME; with
# TOKEN_IN=query its token is in the query instead of the path.
on_stream() {
    local script=$1 options=() line='' address='' output input stream outcome=0
    shift
    while (($#)) && [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift $(($# > 0))
    # Bash has one coprocess at a time, and that is the streamer.
    mkfifo "$work/input" "$work/output"
    "$rehearsal" "${options[@]}" <"$work/input" >"$work/output" &
    stream=$!
    exec {input}>"$work/input" {output}<"$work/output"
    rm "$work/input" "$work/output"
    while [[ -z $address ]] && read -r -t "$START_DEADLINE" -u "$output" line; do
        [[ $line =~ player\ +("${SCHEME:-http}"://[^ ]+) ]] && address=${BASH_REMATCH[1]}
    done
    [[ ${TOKEN_IN:-path} == path ]] || address=$(sed -E 's#/t/([^/]+)/$#/?token=\1#' <<<"$address")
    node "$script" "$address" "$@" || outcome=$?
    # It ends with its input.
    exec {input}>&- {output}<&-
    wait "$stream" || outcome=$?
    return "$outcome"
}

if [[ -z $chromium ]]; then
    skip "hls.js" "there is no chromium on the PATH"
    skip "player page" "there is no chromium on the PATH"
    skip "benchmark page" "there is no chromium on the PATH"
elif [[ ! -d $root/web/node_modules/playwright-core ]]; then
    skip "hls.js" "web/node_modules is missing, run make web"
    skip "player page" "web/node_modules is missing, run make web"
    skip "benchmark page" "web/node_modules is missing, run make web"
else
    attempt "hls.js plays picture and sound" node "$root/web/test/hlsjs.mjs" "$url" "$SECONDS_TO_PLAY" --tracks audio,video
    attempt "hls.js joins in the first segment" node "$root/web/test/beginning.mjs" "$rehearsal"
    attempt "the player page copes" node "$root/web/test/page.mjs" "$url"
    attempt "the script's benchmark page runs" node "$root/web/test/benchmark.mjs" "$url" 8
    attempt "the player page survives its source" node "$root/web/test/interrupted.mjs" "$rehearsal" --audio aac \
        --sink track-timeout=2000
    attempt "the player page plays on over a restart that continues" \
        node "$root/web/test/interrupted.mjs" "$rehearsal" --audio aac --on-restart continue \
        --sink track-timeout=2000
    attempt "the player page obeys its viewer" on_stream "$root/web/test/controls.mjs" --ladder --audio aac --audio aac
    attempt "hls.js climbs a ladder" on_stream "$root/web/test/levels.mjs" --ladder --audio aac
    attempt "hls.js plays Opus" on_stream "$root/web/test/hlsjs.mjs" --audio opus -- 10 --tracks audio,video
    attempt "hls.js plays a long window by delta updates, under an access token" on_stream "$root/web/test/hlsjs.mjs" \
        --audio aac --token a-rehearsal --sink "playlist-length=30 max-files=60" -- "$SECONDS_TO_PLAY" --tracks audio,video --deltas
    TOKEN_IN=query attempt "hls.js plays with the token in the query" on_stream "$root/web/test/hlsjs.mjs" \
        --audio aac --token a-rehearsal -- 10 --tracks audio,video
    # Its certificate is of its own making.
    SCHEME=https NODE_TLS_REJECT_UNAUTHORIZED=0 attempt "hls.js plays over HTTPS and HTTP/2" on_stream \
        "$root/web/test/hlsjs.mjs" --audio aac --sink tls-port=-1 -- 10 --tracks audio,video --protocol h2
    attempt "hls.js plays sound alone" on_stream "$root/web/test/hlsjs.mjs" --audio aac --no-video -- 10 --tracks audio
fi
attempt "ffmpeg decodes under an access token" on_stream "$root/web/test/table.mjs" \
    --audio aac --token a-rehearsal -- 8 --only ffmpeg,ffprobe --tracks audio,video
TOKEN_IN=query attempt "ffmpeg decodes with the token in the query" on_stream "$root/web/test/table.mjs" \
    --audio aac --token a-rehearsal -- 8 --only ffmpeg,ffprobe --tracks audio,video
attempt "ffmpeg decodes picture and sound" node "$root/web/test/table.mjs" "$url" 10 --only ffmpeg,ffprobe --tracks audio,video
attempt "GStreamer plays picture and sound" \
    node "$root/web/test/table.mjs" "$url" "$SECONDS_TO_PLAY" --only hlsdemux2 --tracks audio,video

# Ten seconds of footage with B-frames, until after its first turn.
clip_loops() {
    local output line='' address='' stream outcome=0
    mkfifo "$work/clip"
    "$target/release/examples/streamer" --clip "${LLHLS_CLIPS:-$target/clips}/bikes.mp4" --part-duration 0.2 \
        --host 127.0.0.1 --http-port 0 >"$work/clip" 2>/dev/null &
    stream=$!
    exec {output}<"$work/clip"
    while [[ -z $address ]] && read -r -t "$START_DEADLINE" -u "$output" line; do
        [[ $line =~ player\ +(http://[^ ]+) ]] && address=${BASH_REMATCH[1]}
    done
    node "$root/web/test/loop.mjs" "$address" 14 || outcome=$?
    kill -TERM "$stream" 2>/dev/null
    wait "$stream" || outcome=$?
    exec {output}<&-
    return "$outcome"
}
attempt "a clip loops" clip_loops

ends_cleanly() {
    kill -TERM "$streamer"
    # Its output ends when it does.
    while read -r -t "$END_DEADLINE" -u "${STREAMER[0]}" _; do :; done
    wait "$streamer"
}
attempt "the streamer ends cleanly" ends_cleanly

printf '# pass %d\n# fail %d\n# skipped %d\n# retried %d\n' "$pass" "$fail" "$skipped" "$retried"
[[ $fail -eq 0 ]]
