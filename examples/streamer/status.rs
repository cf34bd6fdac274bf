//! How the stream stands, in one line: from the figures of the element's `stats`, and what the queue before it left out.
//!
//! Belongs here: reading them and putting them into words. Does not: where the words go (`screen`).

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Over how long the bit rate is taken.
const BITRATE_SPAN: Duration = Duration::from_secs(3);

/// The figures at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Counted from any fixed moment.
    at: Duration,
    /// Connections: a browser may have more than one.
    viewers: u32,
    /// The newest part; `None` before the first.
    edge: Option<(u64, u64)>,
    /// From the capture of the newest part's first frame until it could be fetched.
    delay: Duration,
    /// Bytes of media published since the start.
    published: u64,
    /// Frames left out since the start, for whatever reason.
    dropped: u64,
}

impl Reading {
    /// `left_out` is what never came as far as the element.
    pub(crate) fn of(stats: &gst::StructureRef, left_out: u64, at: Duration) -> Self {
        let edge = (stats.get("edge-msn").ok()).zip(stats.get("edge-part").ok());
        let delay = stats
            .get::<gst::Structure>("capture-to-publish-delay")
            .ok()
            .and_then(|delay| delay.get::<u64>("last").ok());
        Self {
            at,
            viewers: stats.get("clients").unwrap_or_default(),
            edge,
            delay: Duration::from_nanos(delay.unwrap_or_default()),
            published: stats.get("bytes-published").unwrap_or_default(),
            dropped: left_out + dropped(stats),
        }
    }
}

/// The sum of all `dropped-...` of all pads, but for what came before the stream began.
fn dropped(stats: &gst::StructureRef) -> u64 {
    stats
        .iter()
        .filter_map(|(_, value)| value.get::<gst::Structure>().ok())
        .flat_map(|pad| {
            pad.iter()
                .filter(|(name, _)| {
                    name.starts_with("dropped-") && *name != "dropped-before-joining"
                })
                .filter_map(|(_, count)| count.get::<u64>().ok())
                .collect::<Vec<_>>()
        })
        .sum()
}

/// The last readings, from which the line is made.
#[derive(Debug, Default)]
pub(crate) struct Status(VecDeque<Reading>);

impl Status {
    pub(crate) fn take(&mut self, reading: Reading) {
        let now = reading.at;
        self.0.push_back(reading);
        while self.0.len() > 2 && self.0[1].at + BITRATE_SPAN <= now {
            self.0.pop_front();
        }
    }

    /// Somebody could watch.
    pub(crate) fn is_live(&self) -> bool {
        self.0.back().is_some_and(|last| last.edge.is_some())
    }

    /// In kbit/s.
    fn bitrate(&self) -> f64 {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return 0.0;
        };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        if seconds == 0.0 {
            return 0.0;
        }
        let bytes = last.published.saturating_sub(first.published);
        bytes as f64 * 8.0 / 1000.0 / seconds
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.0.back() else {
            return Ok(());
        };
        let viewers = last.viewers;
        let Some((msn, part)) = last.edge else {
            return write!(f, "viewers {viewers} | waiting for the first segment");
        };
        write!(
            f,
            "viewers {viewers} | edge {msn}.{part} | delay {:.2} s | {:.0} kbit/s | dropped {}",
            last.delay.as_secs_f64(),
            self.bitrate(),
            last.dropped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(millis: u64, published: u64) -> Reading {
        Reading {
            at: Duration::from_millis(millis),
            viewers: 3,
            edge: Some((12, 2)),
            delay: Duration::from_millis(347),
            published,
            dropped: 1,
        }
    }

    #[test]
    fn the_line() {
        let mut status = Status::default();
        status.take(Reading::default());
        assert_eq!(
            status.to_string(),
            "viewers 0 | waiting for the first segment"
        );
        assert!(!status.is_live());
        // 2480 kbit/s from a second to four seconds; what was before does not count any more.
        for second in 1..=4 {
            status.take(reading(second * 1000, 7_000_000 + second * 310_000));
        }
        assert_eq!(
            status.to_string(),
            "viewers 3 | edge 12.2 | delay 0.35 s | 2480 kbit/s | dropped 1"
        );
        assert!(status.is_live());
    }

    #[test]
    fn figures_are_read_from_the_property() {
        gst::init().unwrap();
        let pad = |dropped: u64| {
            gst::Structure::builder("llhls-track")
                .field("taken", 90_u64)
                .field("dropped-ahead", dropped)
                .field("dropped-empty", 1_u64)
                .field("dropped-before-joining", 5_u64)
                .build()
        };
        let stats = gst::Structure::builder("llhls-stats")
            .field("video", pad(2))
            .field("audio", pad(0))
            .field("edge-msn", 12_u64)
            .field("edge-part", 2_u64)
            .field("clients", 3_u32)
            .field("bytes-published", 4567_u64)
            .field(
                "capture-to-publish-delay",
                gst::Structure::builder("llhls-delay")
                    .field("last", 347_000_000_u64)
                    .build(),
            )
            .build();
        let expected = Reading {
            dropped: 4 + 7,
            ..reading(0, 4567)
        };
        assert_eq!(Reading::of(&stats, 7, Duration::ZERO), expected);
    }
}
