# Where the next cache, or the origin, is. run.sh writes its own.
backend origin {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    # The first byte of a blocked answer comes after three target durations at the latest, of a first playlist after 10 s.
    .first_byte_timeout = 60s;
    .between_bytes_timeout = 10s;
}
