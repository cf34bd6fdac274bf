# Varnish as shield or edge before llhlssink. Everything here is about one thing: one request to the origin for each URL,
# however many viewers wait for it, and all of them answered the moment it is.
#
# The origin itself is in origin.vcl, beside this or earlier in vcl_path.

vcl 4.1;

import std;

include "origin.vcl";

sub vcl_recv {
    # A target with a scheme and a host would get past everything below.
    if (req.url !~ "^/") {
        return (synth(400));
    }
    # Another spelling of a name would get past what is said of the name here. Names need nothing but letters, digits and
    # "-._~" (RFC 3986 2.3), and what is behind a "#" no server ever sees.
    if (req.url !~ "^[A-Za-z0-9/._~-]+(\?[^#]*)?$") {
        return (synth(404));
    }
    # Figures of the origin are for its operator.
    if (req.url ~ "^/(t/[^/?]+/)?(metrics|stats\.json)(\?|$)") {
        return (synth(404));
    }
    if (req.method == "OPTIONS") {
        return (pass);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }

    # Viewers' own headers make no answer different.
    unset req.http.Cookie;
    unset req.http.Authorization;

    # The older way to wait may answer with what the viewer has already: nothing to be shared.
    if (req.url ~ "^[^?]*\.m3u8\?(.*&)?wait=") {
        return (pass);
    }
    if (req.url ~ "^/(t/[^/?]+/)?timestamps\.json(\?|$)") {
        return (pass);
    }

    # Only the directives of the standard choose an answer. Session names, tokens and what players add for statistics would
    # make every viewer's URL another one, and the origin would see them all.
    if (req.url ~ "\?") {
        set req.url = regsuball(req.url, "(?<=[?&])(?!_HLS_(msn|part|skip)=)[^&]*(&|$)", "");
        set req.url = regsub(req.url, "[?&]$", "");
        set req.url = std.querysort(req.url);
    }
    return (hash);
}

# One stream, whatever names it is reached by.
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_response {
    # A playlist that is over its time is wrong, not merely old: never hand it out while the next one is fetched.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    unset beresp.http.Set-Cookie;

    if (bereq.uncacheable) {
        return (deliver);
    }
    if (beresp.status != 200 && beresp.status != 206) {
        # What is missing now may be there in a moment. But not zero: Varnish would let those who wait for the same thing
        # ask one after the other, or all at once for the two minutes it remembers an answer that may not be kept.
        set beresp.ttl = 0.2s;
    } elsif (beresp.ttl <= 0s || beresp.http.Cache-Control !~ "(?i)max-?age") {
        # The playlist as it stands, the final one and the page: at most half a target duration (B.1). They say "no-cache" and
        # no time, which Varnish's own rules would heed and its reckoning does not: it would keep them for its default_ttl, two
        # minutes.
        set beresp.ttl = 0.5s;
    }
    # Everything else says itself how long: six target durations for a blocked playlist, longer for media.
    return (deliver);
}

# The origin is not there, or took longer than it ever may.
sub vcl_backend_error {
    set beresp.ttl = 0.2s;
    set beresp.grace = 0s;
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "1";
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.body = "the origin does not answer" + {"
"};
    return (deliver);
}

sub vcl_synth {
    set resp.http.Access-Control-Allow-Origin = "*";
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.body = resp.reason + {"
"};
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.X-Varnish;
    # Age stays: players reckon with it.
    return (deliver);
}
