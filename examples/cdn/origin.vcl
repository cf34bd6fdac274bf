# Where the next cache, or the origin, is. run.sh writes its own.
backend origin {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    # The first byte of a blocked answer comes after three target durations at the latest, of a first playlist after 10 s.
    .first_byte_timeout = 60s;
    .between_bytes_timeout = 10s;
}

# Every viewer gets the same answers, so none may say by what name the origin is asked: one with `allowed-hosts` would refuse a
# made-up one, and the refusal would be everybody's for its time.
sub vcl_backend_fetch {
    set bereq.http.Host = "127.0.0.1:8080";
}
