#!/usr/bin/env bash
# Installs what building and running llhlssink takes on Debian 12+ and Ubuntu 24.04+. Run it as often as you like:
# what is there already is left alone, and with nothing missing apt is not called at all.
set -euo pipefail

readonly RUST_MIN=1.92
readonly GST_MIN=1.22

usage() {
    cat <<'HELP'
usage: ./setup.sh [--tests] [--players]

  (no option)  what building the plugin and `make demo` need
  --tests      also what `make test` needs: ffmpeg, Chromium, meson, pip
  --players    also what `make players` needs: VLC and mpv (implies --tests)
  --help       this text

Works as root, through sudo, or as a user who may use sudo. Rust is not installed, only checked for.
HELP
}

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

tests=no
players=no
for argument in "$@"; do
    case $argument in
        --tests) tests=yes ;;
        --players) tests=yes players=yes ;;
        --help | -h) usage && exit 0 ;;
        *) usage >&2 && fail "unknown option: $argument" ;;
    esac
done

# shellcheck source=/dev/null
distribution=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown}" || echo unknown)

missing=()

# A package that nothing else can stand in for.
package() {
    local name
    for name in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$name" 2>/dev/null) == ii* ]] || missing+=("$name")
    done
}

# A program, wherever it came from; the packages are installed only when it is not on the PATH.
program() {
    local name=$1
    shift
    command -v "$name" >/dev/null || missing+=("$@")
}

list_missing() {
    program make make
    program gcc gcc libc6-dev
    program pkg-config pkg-config
    # Debian's npm pulls several hundred packages: a Node from elsewhere is good enough.
    program npm nodejs npm
    package ca-certificates libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
        gstreamer1.0-libav gstreamer1.0-x # the last one holds clockoverlay
    # For a test; but cargo builds what tests depend on for examples as well, and the demo is one.
    package libgstrtspserver-1.0-dev

    if [[ $tests == yes ]]; then
        program ffmpeg ffmpeg
        program meson meson
        program ninja ninja-build
        program python3 python3
        python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
        if [[ $distribution != ubuntu ]]; then
            program chromium chromium
        elif ! command -v chromium >/dev/null; then
            say "Ubuntu has Chromium as a snap only, which is not installed here: the browser tests will be skipped."
            say "With a chromium on the PATH they run."
        fi
    fi

    if [[ $players == yes ]]; then
        program cvlc vlc-bin vlc-plugin-base
        program mpv mpv
    fi
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "neither root nor sudo. As root: apt-get install ${missing[*]}"
    fi
}

# A cargo that is new enough, also where rustup put it for the user behind sudo. Says what to do when there is none.
check_rust() {
    local home cargo version
    home=$HOME
    [[ -n ${SUDO_USER:-} ]] && home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
    cargo=$(PATH=$PATH:$home/.cargo/bin command -v cargo || true)
    if [[ -z $cargo ]]; then
        say "Rust is missing, and distributions carry one that is too old. As the user who builds:"
    else
        # rustup's cargo looks for its toolchains under HOME.
        version=$(HOME=$home "$cargo" --version | cut -d' ' -f2)
        if [[ $(printf '%s\n' "$RUST_MIN" "$version" | sort -V | head -n1) == "$RUST_MIN" ]]; then
            say "Rust $version: fine."
            return
        fi
        say "Rust $version is too old, $RUST_MIN or newer is needed. With rustup: rustup update stable. Without:"
    fi
    cat <<'HELP'

    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y
    . "$HOME/.cargo/env"

HELP
    fail "run this again when Rust $RUST_MIN or newer is there."
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    list_missing
    if [[ ${#missing[@]} -eq 0 ]]; then
        say "all packages are there."
    else
        say "installing: ${missing[*]}"
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
    fi
else
    say "no apt here: install GStreamer $GST_MIN or newer (with base, good, bad, ugly, libav), its headers, gcc and Node yourself."
fi

pkg-config --atleast-version="$GST_MIN" gstreamer-1.0 || fail "GStreamer $GST_MIN or newer is needed (Debian 12, Ubuntu 24.04)."
say "GStreamer $(pkg-config --modversion gstreamer-1.0): fine."
check_rust
