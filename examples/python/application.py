#!/usr/bin/python3
"""An application of one's own that streams: the sink in its pipeline, the messages and the figures it gives."""

import signal
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

# Whatever the application has; here something that is always there.
PICTURE = (
    "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=30/1 ! queue ! videoconvert"
    " ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 ! h264parse"
)
SOUND = "audiotestsrc is-live=true volume=0.1 ! audioconvert ! avenc_aac ! aacparse"


def say(line):
    print(line, flush=True)


def tell(details):
    """What the sink says about the stream. Times are nanoseconds, `published` and `captured` since 1970."""
    if details.get_name() == "llhls-segment":
        rendition, name = details.get_value("rendition"), details.get_value("name")
        seconds = details.get_value("duration") / 1e9
        say(f"segment {rendition} {name} {seconds:.3f} s {details.get_value('size')} bytes")
    elif details.get_name() == "llhls-discontinuity":
        say(f"discontinuity {details.to_string()}")


def print_figures(sink):
    stats = sink.get_property("stats")
    taken = {pad: stats.get_value(pad).get_value("taken") for pad in ("video", "audio")}
    say(
        f"figures {stats.get_value('clients')} clients, {stats.get_value('bytes-sent')} bytes sent, "
        f"{taken['video']} pictures and {taken['audio']} frames of sound taken"
    )
    return GLib.SOURCE_CONTINUE


def main():
    Gst.init(None)
    pipeline = Gst.Pipeline.new(None)
    sink = Gst.ElementFactory.make("llhlssink", None)
    if sink is None:
        sys.exit("GStreamer does not find llhlssink: install it, or say where it is in GST_PLUGIN_PATH")
    sink.set_property("port", int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
    sink.set_property("part-duration", 200)
    pipeline.add(sink)
    for line, pad in ((PICTURE, "video"), (SOUND, "audio")):
        source = Gst.parse_bin_from_description(line, True)
        pipeline.add(source)
        if not source.link_pads("src", sink, pad):
            sys.exit(f"the {pad} pad cannot be linked")

    loop = GLib.MainLoop()
    status = 0

    def heard(_bus, message):
        nonlocal status
        if message.type == Gst.MessageType.ELEMENT:
            tell(message.get_structure())
        elif message.type == Gst.MessageType.WARNING:
            print(f"warning: {message.parse_warning()[0].message}", file=sys.stderr)
        elif message.type == Gst.MessageType.ERROR:
            print(f"error: {message.parse_error()[0].message}", file=sys.stderr)
            status = 1
            loop.quit()
        elif message.type == Gst.MessageType.EOS:
            # Everything is published, the playlist says so.
            loop.quit()

    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", heard)

    if pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE:
        say(f"playlist {sink.get_property('uri')}")
        GLib.timeout_add_seconds(2, print_figures, sink)

    def end():
        pipeline.send_event(Gst.Event.new_eos())
        return GLib.SOURCE_CONTINUE

    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, end)
    # Where the pipeline did not start, the error is on the bus.
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    return status


if __name__ == "__main__":
    sys.exit(main())
