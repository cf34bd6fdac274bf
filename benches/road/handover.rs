//! A server without an element before it: what handing a part over takes, and nothing else.
//!
//! The element's streaming thread also waits for mp4mux, whose thread has to be given a processor by a machine that is busy
//! with the audience.

use std::{sync::mpsc::RecvTimeoutError, time::Duration};

use bytes::Bytes;
use gstllhlssink::{
    http::{Server, ServerConfig, bind},
    origin::media::{
        Constants, InitSection, NewPart, Publication, RenditionId, RenditionKind,
        RenditionSettings, RunId,
    },
    time::{MediaTime, Timescale, UnixTime},
};

use crate::{
    Outcome, origin,
    process::{now, unix_now},
};

/// Publishes parts of a size, each a segment, until standard input ends; then prints how long each call took.
pub(crate) fn child(part_bytes: &str, part_millis: &str) -> Outcome<()> {
    let (part_bytes, part_millis) = (part_bytes.parse::<usize>()?, part_millis.parse::<u32>()?);
    let duration = MediaTime {
        ticks: i64::from(part_millis),
        timescale: Timescale::new(1000).ok_or("milliseconds are a time scale")?,
    };
    let listener = bind("127.0.0.1", 0)?;
    println!("{} 0", listener.local_addr()?.port());
    let run = RunId::new("bench").ok_or("a plain name")?;
    let renditions = vec![RenditionSettings::new(RenditionKind::Video, "video")];
    let config = ServerConfig::new(run, renditions);
    let server = Server::start(listener, config, Box::new(|_| ()))?;
    server.publish(Publication::Init(
        RenditionId::MAIN,
        InitSection {
            bytes: Bytes::from_static(b"init"),
            codec: "avc1.64001f".to_owned(),
            resolution: Some((1280, 720)),
            frame_rate: Some((30, 1)),
            channels: None,
        },
    ));
    let mut constants = Some(Constants {
        target_duration: part_millis.div_ceil(1000),
        part_target: duration,
        first_segment_has_parts: true,
    });
    let bytes = Bytes::from(vec![0; part_bytes]);

    let end = origin::end_of_input();
    let start = now();
    let mut calls = Vec::new();
    for number in 1_i64.. {
        let due = start + number * i64::from(part_millis) * 1_000_000;
        let left = Duration::from_nanos(u64::try_from(due - now()).unwrap_or(0));
        if end.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
        let captured = UnixTime(unix_now() - i64::from(part_millis) * 1_000_000);
        let part = NewPart {
            bytes: bytes.clone(),
            duration,
            is_independent: true,
            captured,
            program_date_time: captured,
            is_discontinuity: false,
        };
        let before = now();
        server.publish(Publication::Part(RenditionId::MAIN, part));
        calls.push((before, now() - before));
        server.publish(Publication::SegmentEnd(RenditionId::MAIN, constants.take()));
    }
    server.stop();
    origin::print_pushes(&calls);
    Ok(())
}
