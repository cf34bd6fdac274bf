#!/usr/bin/env bash
# Starts a cache before an origin, on this machine, in a folder of its own that goes away with it.
#
#     examples/cdn/run.sh --origin 127.0.0.1:8080 --port 8090 --tls-port 8443
#
# Ends with Ctrl-C, or when its standard input is a pipe and that is closed. Needs no root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin

usage() {
    cat <<'HELP'
usage: examples/cdn/run.sh [--cache varnish|nginx] [--origin HOST:PORT] [--host ADDRESS]
                           [--port PORT] [--tls-port PORT] [--certificate FILE]

  --cache        varnish (the default), with hitch for TLS; or nginx, to see the difference
  --origin       the origin, or the next cache on the way to it; 127.0.0.1:8080
  --host         where to listen; 127.0.0.1
  --port         plain HTTP; 8090
  --tls-port     HTTPS with HTTP/2; none without it
  --certificate  PEM file with certificate chain and private key; without it one is made up
HELP
}

fail() {
    printf 'run.sh: %s\n' "$*" >&2
    exit 1
}

cache=varnish
origin=127.0.0.1:8080
host=127.0.0.1
port=8090
tls_port=
certificate=
while [[ $# -gt 0 ]]; do
    case $1 in
        --cache) cache=$2 ;;
        --origin) origin=$2 ;;
        --host) host=$2 ;;
        --port) port=$2 ;;
        --tls-port) tls_port=$2 ;;
        --certificate) certificate=$(realpath "$2") ;;
        --help | -h) usage && exit 0 ;;
        *) usage >&2 && fail "unknown option: $1" ;;
    esac
    shift 2
done

work=$(mktemp -d)
# hitch's workers, which are never root's, go through it to the socket.
chmod 711 "$work"
pids=()
stop() {
    trap - EXIT
    [[ ${#pids[@]} -eq 0 ]] || kill "${pids[@]}" 2>/dev/null || true
    wait || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 0' INT TERM

# Every daemon is a child of this shell, so that it can be stopped by its number.
start() {
    "$@" </dev/null &
    pids+=($!)
}

if [[ -n $tls_port && -z $certificate ]]; then
    certificate=$work/site.pem
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
        -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$work/key.pem" -out "$work/certificate.pem" \
        2>"$work/openssl.log" || fail "openssl: $(cat "$work/openssl.log")"
    cat "$work/certificate.pem" "$work/key.pem" >"$certificate"
fi

start_varnish() {
    sed -e "s/\.host = .*/.host = \"${origin%:*}\";/" -e "s/\.port = .*/.port = \"${origin##*:}\";/" \
        -e "s/\.Host = .*/.Host = \"$origin\";/" \
        "$here/origin.vcl" >"$work/origin.vcl"
    local listen=(-a "http=$host:$port")
    [[ -z $tls_port ]] || listen+=(-a "tls=$work/tls.sock,PROXY,mode=666")
    # A thread is held while an answer is written, not while its viewer waits. Heads end well under what the origin takes, or
    # its refusal of one viewer's would be everybody's for its time.
    start varnishd -F -j none -n "$work/varnish" "${listen[@]}" -T none -f "$here/cache.vcl" \
        -s malloc,256m -s Transient=malloc,128m \
        -p "vcl_path=$work:$here" -p feature=+http2 \
        -p thread_pools=1 -p thread_pool_min=100 -p thread_pool_max=2000 -p thread_queue_limit=2000 \
        -p listen_depth=4096 -p timeout_idle=30 \
        -p http_req_size=12k -p http_max_hdr=96
    if [[ -n $tls_port ]]; then
        cat >"$work/hitch.conf" <<CONF
frontend = { host = "$host" port = "$tls_port" }
backend = "$work/tls.sock"
write-proxy-v2 = on
alpn-protos = "h2, http/1.1"
tls-protos = TLSv1.2 TLSv1.3
pem-file = "$certificate"
workers = 1
backlog = 4096
log-level = 0
daemon = off
$([[ $EUID -ne 0 ]] || echo 'user = "_hitch"')
CONF
        wait_for "$work/tls.sock"
        start hitch --config="$work/hitch.conf"
    fi
}

start_nginx() {
    cp "$here/nginx.conf" "$work/"
    cat >"$work/origin.conf" <<CONF
upstream origin { server $origin; keepalive 64; }
map "" \$origin_host { default "$origin"; }
CONF
    echo "listen $host:$port backlog=4096;" >"$work/listen.conf"
    [[ -z $tls_port ]] || cat >>"$work/listen.conf" <<CONF
listen $host:$tls_port ssl http2 backlog=4096;
ssl_certificate $certificate;
ssl_certificate_key $certificate;
ssl_protocols TLSv1.2 TLSv1.3;
CONF
    start nginx -p "$work" -c nginx.conf -e stderr -g 'daemon off;'
}

# Waits for a socket file, or for a port something listens on.
wait_for() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        if [[ $1 == /* ]]; then
            [[ ! -S $1 ]] || return 0
        elif (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; then
            return 0
        fi
        kill -0 "${pids[-1]}" 2>/dev/null || fail "$cache did not start"
        sleep 0.1
    done
    fail "$cache does not listen"
}

case $cache in
    varnish | nginx) "start_$cache" ;;
    *) usage >&2 && fail "no such cache: $cache" ;;
esac
wait_for "$port"
[[ -z $tls_port ]] || wait_for "$tls_port"
echo "ready: http://$host:$port/${tls_port:+ https://$host:$tls_port/}"

if [[ -p /dev/stdin ]]; then
    # Commands in the background are given /dev/null unless told otherwise.
    exec 4<&0
    cat <&4 >/dev/null &
    pids+=($!)
fi
wait -n "${pids[@]}" || true
