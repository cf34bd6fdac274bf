//! What the application hears on the bus, and the `stats` property.
//!
//! Belongs here: names and fields of structures. Does not: deciding when (`life`, `road`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gst::glib;

use super::feeder::FrameCounts;
use crate::{
    delivery::stats::{Delay, Stats, TrackStats},
    origin::event::Event,
    time::{Nanos, UnixTime},
    watch::WriterCounts,
};

/// The structure of an element message for an event, if the application hears of it.
pub(super) fn structure(event: &Event, with_parts: bool) -> Option<gst::Structure> {
    Some(match event {
        Event::PartPublished {
            rendition,
            name,
            segment,
            size,
            duration,
            captured,
            published,
            is_independent,
            ..
        } if with_parts => gst::Structure::builder("llhls-part")
            .field("rendition", rendition)
            .field("name", name)
            .field("segment", segment)
            .field("size", *size as u64)
            .field("duration", nanos(duration.nanos()))
            .field("captured", unix(*captured))
            .field("published", unix(*published))
            .field("independent", *is_independent)
            .build(),
        Event::SegmentPublished {
            rendition,
            name,
            msn,
            size,
            duration,
            program_date_time,
            captured,
            published,
            parts,
            ..
        } => gst::Structure::builder("llhls-segment")
            .field("rendition", rendition)
            .field("name", name)
            .field("msn", msn.0)
            .field("size", *size as u64)
            .field("duration", nanos(duration.nanos()))
            .field("program-date-time", unix(*program_date_time))
            .field("captured", unix(*captured))
            .field("published", unix(*published))
            .field("parts", *parts as u64)
            .build(),
        Event::Gap {
            rendition,
            name,
            msn,
            duration,
            missing,
            program_date_time,
        } => gst::Structure::builder("llhls-gap")
            .field("rendition", rendition)
            .field("name", name)
            .field("msn", msn.0)
            .field("duration", nanos(duration.nanos()))
            .field("missing", nanos(missing.nanos()))
            .field("program-date-time", unix(*program_date_time))
            .build(),
        Event::Discontinuity {
            rendition,
            segment,
            msn,
            program_date_time,
            ..
        } => gst::Structure::builder("llhls-discontinuity")
            .field("rendition", rendition)
            .field("segment", segment)
            .field("msn", msn.0)
            .field("program-date-time", unix(*program_date_time))
            .build(),
        _ => return None,
    })
}

/// The `stats` property: the server's figures and each pad's frames.
pub(super) fn stats(
    server: Option<&Stats>,
    frames: &[(glib::GString, Arc<FrameCounts>)],
    files: Option<&WriterCounts>,
) -> gst::Structure {
    let mut all = gst::Structure::new_empty("llhls-stats");
    if let Some(files) = files {
        all.set("files-written", files.segments.load(Ordering::Relaxed));
        all.set("files-lost", files.lost.load(Ordering::Relaxed));
        all.set("files-bytes", files.bytes.load(Ordering::Relaxed));
    }
    for (pad, frames) in frames {
        let track = server.and_then(|server| server.tracks.iter().find(|track| track.name == *pad));
        all.set(pad.as_str(), track_stats(frames, track));
    }
    let Some(server) = server else { return all };
    // Of the main rendition, as long as there was no other.
    if let Some(track) = server.tracks.first() {
        set_track(&mut all, track);
    }
    if let Some(edge) = server.edge {
        all.set("edge-msn", edge.msn.0);
        all.set("edge-part", edge.part.0);
    }
    all.set("ended", server.is_ended);
    all.set("clients", server.clients.connections);
    all.set("clients-accepted", server.clients.accepted);
    all.set("clients-turned-away", server.clients.turned_away);
    all.set("requests", server.clients.requests);
    all.set("requests-parked", server.clients.parked);
    all.set("requests-abandoned", server.clients.abandoned);
    all.set("answers-delta", server.answers.deltas);
    all.set("answers-gzipped", server.answers.gzipped);
    all.set("answers-range", server.answers.ranges);
    all.set("answers-not-modified", server.answers.not_modified);
    for (reason, count) in server.refusals.by_reason() {
        all.set(format!("refused-{}", reason.replace('_', "-")), count);
    }
    let mut limits = gst::Structure::new_empty("llhls-limits");
    for (limit, count) in server.limits.iter() {
        limits.set(limit.name().replace('_', "-"), count);
    }
    all.set("limits", limits);
    all.set("bytes-published", server.bytes.published);
    all.set("bytes-sent", server.bytes.sent);
    all.set("bytes-kept", server.bytes.kept);
    all.set("handover-delay", delay(&server.delays.handover));
    all.set(
        "capture-to-publish-delay",
        delay(&server.delays.capture_to_publish),
    );
    all
}

fn track_stats(frames: &FrameCounts, track: Option<&TrackStats>) -> gst::Structure {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut all = gst::Structure::builder("llhls-track")
        .field("taken", load(&frames.taken))
        .field("dropped-before-key-frame", load(&frames.before_key_frame))
        .field("dropped-before-joining", load(&frames.before_joining))
        .field("dropped-backwards", load(&frames.backwards))
        .field("dropped-without-timestamp", load(&frames.without_timestamp))
        .field("dropped-empty", load(&frames.empty))
        .field("dropped-ahead", load(&frames.ahead))
        .field("waited-for-leader", load(&frames.waited))
        .field("key-frame-requests", load(&frames.key_frame_requests))
        .build();
    if let Some(track) = track {
        set_track(&mut all, track);
    }
    all
}

fn set_track(all: &mut gst::StructureRef, track: &TrackStats) {
    if let Some(codec) = &track.codec {
        all.set("codec", codec);
    }
    if let Some((width, height)) = track.resolution {
        all.set("width", width);
        all.set("height", height);
    }
    all.set("parts", track.parts);
    all.set("segments", track.segments);
    all.set("peak-bandwidth", track.peak_bandwidth);
    all.set("average-bandwidth", track.average_bandwidth);
}

fn delay(delay: &Delay) -> gst::Structure {
    gst::Structure::builder("llhls-delay")
        .field("count", delay.count)
        .field("last", nanos(delay.last))
        .field("mean", nanos(delay.mean()))
        .field("max", nanos(delay.max))
        .build()
}

/// Nanoseconds as applications expect them: unsigned.
fn nanos(span: Nanos) -> u64 {
    u64::try_from(span.0).unwrap_or(0)
}

/// Nanoseconds since 1970.
fn unix(moment: UnixTime) -> u64 {
    u64::try_from(moment.0).unwrap_or(0)
}
