#!/usr/bin/env bash
# Meson's way to cargo: builds the plugin, puts it where Meson expects it and tells Ninja which files it came from.
#
#     cargo-build.sh SOURCE DEPFILE PAGE PLUGIN [STREAMER LATENCY]
#
# PAGE is "page" to fetch the player page's parts through npm first, anything else to leave that alone. PLUGIN is where the
# plugin shall be; STREAMER and LATENCY the programs llhls-streamer and llhls-latency, if they are wanted. Cargo's own
# folder is $CARGO_TARGET_DIR or target/ in the source, the same as without Meson, so nothing is compiled twice.
set -euo pipefail

source=$1
depfile=$2
page=$3
plugin=$4
# By the names cargo has for them.
declare -A programs=()
if (($# > 4)); then
    programs=([streamer]=$5 [llhls-latency]=$6)
fi

export PATH=$PATH:$HOME/.cargo/bin
# Cargo takes a relative folder from where it runs, and so do we: from here, not from the source.
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$source/target}")
export CARGO_TARGET_DIR=$target

if [[ $page == page ]]; then
    make --no-print-directory -C "$source" web
fi
examples=()
for name in "${!programs[@]}"; do
    examples+=(--example "$name")
done
cargo build --release --locked --manifest-path "$source/Cargo.toml" --lib "${examples[@]}"

cp "$target/release/libgstllhlssink.so" "$plugin"
lists=("$target/release/libgstllhlssink.d")
for name in "${!programs[@]}"; do
    cp "$target/release/examples/$name" "${programs[$name]}"
    lists+=("$target/release/examples/$name.d")
done

# Cargo's own lists are "output: source source ...". A source that is not there (the page without npm) would make Ninja
# build again every time.
# shellcheck disable=SC2162 # spaces in names are written with a backslash, which read takes away here
read -a inputs < <(sed -s -n '1s/^[^:]*: //p' "${lists[@]}" | paste -sd ' ')
{
    printf '%s:' "$plugin"
    for input in "${inputs[@]}"; do
        [[ -e $input ]] && printf ' %s' "${input// /\\ }"
    done
    printf '\n'
} >"$depfile"
