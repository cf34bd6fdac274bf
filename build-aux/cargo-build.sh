#!/usr/bin/env bash
# Meson's way to cargo: builds the plugin, puts it where Meson expects it and tells Ninja which files it came from.
#
#     cargo-build.sh SOURCE OUTPUT DEPFILE PAGE
#
# PAGE is "page" to fetch the player page's parts through npm first, anything else to leave that alone. Cargo's own
# folder is $CARGO_TARGET_DIR or target/ in the source, the same as without Meson, so nothing is compiled twice.
set -euo pipefail

source=$1
output=$2
depfile=$3
page=$4

export PATH=$PATH:$HOME/.cargo/bin
# Cargo takes a relative folder from where it runs, and so do we: from here, not from the source.
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$source/target}")
export CARGO_TARGET_DIR=$target

if [[ $page == page ]]; then
    make --no-print-directory -C "$source" web
fi
cargo build --release --locked --manifest-path "$source/Cargo.toml"

cp "$target/release/libgstllhlssink.so" "$output"

# Cargo's own list is "library: source source ...". A source that is not there (the page without npm) would make Ninja
# build again every time.
# shellcheck disable=SC2162 # spaces in names are written with a backslash, which read takes away here
read -a inputs < <(sed -n '1s/^[^:]*: //p' "$target/release/libgstllhlssink.d")
{
    printf '%s:' "$output"
    for input in "${inputs[@]}"; do
        [[ -e $input ]] && printf ' %s' "${input// /\\ }"
    done
    printf '\n'
} >"$depfile"
