#!/usr/bin/env bash
# Installs what building and running llhlssink takes on Debian 12+ and Ubuntu 24.04+. Run it as often as you like:
# what is there already is left alone, and with nothing missing apt is not called at all.
set -euo pipefail

readonly RUST_MIN=1.92
readonly GST_MIN=1.22

usage() {
    cat <<'HELP'
usage: ./setup.sh [--tests] [--players] [--bench]

  (no option)  what building the plugin and `make demo` need
  --tests      also what `make test` needs: ffmpeg, Chromium, meson, pip, PyGObject, Varnish, hitch, nginx
  --players    also what `make players` needs: VLC and mpv (implies --tests)
  --bench      also what `make bench` needs: wrk, h2load (implies --tests)
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
bench=no
for argument in "$@"; do
    case $argument in
        --tests) tests=yes ;;
        --players) tests=yes players=yes ;;
        --bench) tests=yes bench=yes ;;
        --help | -h) usage && exit 0 ;;
        *) usage >&2 && fail "unknown option: $argument" ;;
    esac
done

# shellcheck source=/dev/null
distribution=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown}" || echo unknown)

missing=()
servers=()

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

# A program whose package would run it as a service from now on; users' PATHs often leave its folder out.
server() {
    local package=${1%d}
    PATH=$PATH:/usr/sbin command -v "$1" >/dev/null || {
        missing+=("$package")
        servers+=("$package")
    }
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
    # For a test; but cargo builds what tests depend on for examples as well, and the streamer is one.
    package libgstrtspserver-1.0-dev

    if [[ $tests == yes ]]; then
        program ffmpeg ffmpeg
        program meson meson
        program ninja ninja-build
        program python3 python3
        # For the example in Python; they bring the system's own python3, which sees them.
        package python3-gi gir1.2-gstreamer-1.0
        # The cache before the origin; Varnish compiles its configuration with gcc.
        server varnishd
        server hitch
        server nginx
        program openssl openssl
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

    if [[ $bench == yes ]]; then
        program wrk wrk
        program h2load nghttp2-client
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

# Debian starts the services it installs, and again at each boot. Here they are wanted as programs only.
install_missing() {
    local policy=/usr/sbin/policy-rc.d is_ours=no status=0
    if [[ ${#servers[@]} -gt 0 && ! -e $policy ]]; then
        is_ours=yes
        # However this ends: with the file left there no package would start its service any more.
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        trap 'exit 130' INT TERM HUP
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" || status=$?
    if [[ $is_ours == yes ]]; then
        as_root rm -f "$policy"
        trap - EXIT INT TERM HUP
    fi
    [[ $status -eq 0 ]] || fail "apt-get could not install: ${missing[*]}"
    if [[ ${#servers[@]} -gt 0 ]] && command -v systemctl >/dev/null; then
        as_root systemctl disable -q "${servers[@]}" || say "not disabled: ${servers[*]}"
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
        install_missing
    fi
else
    say "no apt here: install GStreamer $GST_MIN or newer (with base, good, bad, ugly, libav), its headers, gcc and Node yourself."
fi

pkg-config --atleast-version="$GST_MIN" gstreamer-1.0 || fail "GStreamer $GST_MIN or newer is needed (Debian 12, Ubuntu 24.04)."
say "GStreamer $(pkg-config --modversion gstreamer-1.0): fine."
check_rust
