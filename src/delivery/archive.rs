//! The text of playlists that lie beside files: what is on a disk, for any server and player of files.
//!
//! Belongs here: their lines, made one segment at a time, so that a long recording is never held in memory. Does not: files
//! (`watch/`), the live playlists, which name parts and wait (`playlist`).

use std::fmt::Write as _;

use quick_m3u8::Writer;
use quick_m3u8::tag::hls::{Map, ProgramDateTime};

use super::playlist::{date_time, extinf};
use super::sounds;
use crate::origin::media::{InitSection, RenditionKind, RenditionSettings};
use crate::time::{MediaTime, UnixTime};

/// A whole segment as a playlist beside its file names it.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedSegment {
    /// File name.
    pub name: String,
    /// File name of the init section, where it is another one than before.
    pub init: Option<String>,
    /// EXTINF.
    pub duration: MediaTime,
    /// PROGRAM-DATE-TIME.
    pub program_date_time: UnixTime,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub is_discontinuity: bool,
    /// Whether there is no such file, and EXT-X-GAP says so.
    pub is_gap: bool,
}

/// What a playlist promises of its future (RFC 8216bis 4.4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// Old segments leave it.
    Live,
    /// Segments are appended and none leaves.
    Event,
}

/// The tag of a recording that goes on, and of one that is complete.
pub const EVENT: &str = "#EXT-X-PLAYLIST-TYPE:EVENT";
/// See [`EVENT`].
pub const VOD: &str = "#EXT-X-PLAYLIST-TYPE:VOD";
/// The last line of a playlist that is complete.
pub const END: &str = "#EXT-X-ENDLIST";
/// What the line of the target duration begins with.
pub const TARGET_DURATION: &str = "#EXT-X-TARGETDURATION:";
/// What the lines begin with that only a multivariant playlist has, and only a media playlist.
pub const VARIANT: &str = "#EXT-X-STREAM-INF:";
/// See [`VARIANT`].
pub const SEGMENT: &str = "#EXTINF:";
/// The line before a segment that does not follow from the one before it.
pub const DISCONTINUITY: &str = "#EXT-X-DISCONTINUITY";

/// The line before a segment that has a number and a time and no file.
pub const GAP: &str = "#EXT-X-GAP";

/// What stands before the first segment.
pub fn header(
    kind: ArchiveKind,
    target_duration: u32,
    media_sequence: u64,
    discontinuity_sequence: u64,
) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n{TARGET_DURATION}{target_duration}\n#EXT-X-MEDIA-SEQUENCE:{media_sequence}\n"
    );
    if discontinuity_sequence > 0 {
        line(
            &mut text,
            &format!("#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}"),
        );
    }
    if kind == ArchiveKind::Event {
        line(&mut text, EVENT);
    }
    text
}

/// The lines of one segment.
pub fn segment(segment: &ArchivedSegment) -> String {
    let mut text = String::new();
    if segment.is_discontinuity {
        line(&mut text, DISCONTINUITY);
    }
    let mut writer = Writer::new(Vec::new());
    if let Some(init) = &segment.init {
        write(&mut writer, Map::builder().with_uri(init.clone()).finish());
    }
    write(
        &mut writer,
        ProgramDateTime::new(date_time(segment.program_date_time)),
    );
    text.push_str(&String::from_utf8_lossy(&writer.into_inner()));
    if segment.is_gap {
        line(&mut text, GAP);
    }
    line(
        &mut text,
        &format!("{SEGMENT}{},", extinf(segment.duration)),
    );
    line(&mut text, &segment.name);
    text
}

/// A rendition as the multivariant playlist beside the files offers it.
#[derive(Clone, Debug)]
pub struct ArchivedRendition<'a> {
    /// What it is and is called.
    pub settings: &'a RenditionSettings,
    /// File name of its playlist.
    pub playlist: &'a str,
    /// Its newest init section.
    pub init: &'a InitSection,
    /// Bits a second of its heaviest segment.
    pub bandwidth: u64,
}

/// The multivariant playlist: each video with every audio, or the audio that plays by default where there is no video.
pub fn multivariant(renditions: &[ArchivedRendition<'_>]) -> String {
    let of = |kind| {
        renditions
            .iter()
            .filter(move |one| one.settings.kind == kind)
    };
    let has_video = of(RenditionKind::Video).next().is_some();
    let has_group = of(RenditionKind::Audio).count() > usize::from(!has_video);
    let sounds: Vec<_> = of(RenditionKind::Audio).map(|one| one.settings).collect();
    let mut writer = Writer::new(b"#EXTM3U\n#EXT-X-VERSION:6\n".to_vec());
    if has_group {
        for (nth, audio) in of(RenditionKind::Audio).enumerate() {
            let channels = audio.init.channels;
            write(
                &mut writer,
                sounds::media(&sounds, nth, audio.playlist, channels),
            );
        }
    }
    let mut text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    let heaviest_audio = of(RenditionKind::Audio)
        .map(|audio| audio.bandwidth)
        .max()
        .unwrap_or(0);
    let variants: Vec<_> = if has_video {
        of(RenditionKind::Video).collect()
    } else {
        let default = of(RenditionKind::Audio).nth(sounds::default_of(&sounds));
        default.into_iter().collect()
    };
    for variant in variants {
        let beside = if has_video { heaviest_audio } else { 0 };
        let mut codecs: Vec<&str> = vec![&variant.init.codec];
        for audio in of(RenditionKind::Audio) {
            if !codecs.contains(&audio.init.codec.as_str()) {
                codecs.push(&audio.init.codec);
            }
        }
        let mut tag = format!(
            "{VARIANT}BANDWIDTH={},CODECS=\"{}\"",
            (variant.bandwidth + beside).max(1),
            codecs.join(",")
        );
        if let Some((width, height)) = variant.init.resolution {
            write!(tag, ",RESOLUTION={width}x{height}").expect(IN_MEMORY);
        }
        if has_group {
            write!(tag, ",AUDIO=\"{}\"", sounds::GROUP).expect(IN_MEMORY);
        }
        line(&mut text, &tag);
        line(&mut text, variant.playlist);
    }
    text
}

const IN_MEMORY: &str = "writing to memory does not fail";

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect(IN_MEMORY);
}

fn write<'a>(writer: &mut Writer<Vec<u8>>, tag: impl Into<quick_m3u8::HlsLine<'a>>) {
    writer.write_line(tag.into()).expect(IN_MEMORY);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timescale;

    #[test]
    fn a_recording_that_goes_on() {
        let first = ArchivedSegment {
            name: "segment_00012.m4s".to_owned(),
            init: Some("init.mp4".to_owned()),
            duration: MediaTime {
                ticks: 90_000,
                timescale: Timescale::new(90_000).unwrap(),
            },
            program_date_time: UnixTime(1_785_585_600_000_000_000),
            is_discontinuity: true,
            is_gap: false,
        };
        let second = ArchivedSegment {
            name: "segment_00013.m4s".to_owned(),
            init: None,
            program_date_time: UnixTime(1_785_585_601_000_000_000),
            is_discontinuity: false,
            is_gap: true,
            ..first.clone()
        };
        let text = header(ArchiveKind::Event, 1, 12, 0) + &segment(&first) + &segment(&second);
        assert_eq!(
            text,
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-MEDIA-SEQUENCE:12
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXTINF:1.00000,
segment_00012.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-GAP
#EXTINF:1.00000,
segment_00013.m4s
"
        );
        assert!(!header(ArchiveKind::Live, 1, 12, 3).contains(EVENT));
    }

    #[test]
    fn picture_and_sound() {
        let init = |codec: &str, resolution| InitSection {
            bytes: bytes::Bytes::new(),
            codec: codec.to_owned(),
            resolution,
            frame_rate: None,
            channels: None,
        };
        let (video, audio) = (
            init("avc1.64001F", Some((1280, 720))),
            init("mp4a.40.2", None),
        );
        let settings = |kind, name: &str| RenditionSettings::new(kind, name);
        let picture = settings(RenditionKind::Video, "video");
        let first = settings(RenditionKind::Audio, "audio");
        let second = RenditionSettings {
            is_default: true,
            language: Some("de".to_owned()),
            ..settings(RenditionKind::Audio, "audio_1")
        };
        let offered = |settings, playlist, init, bandwidth| ArchivedRendition {
            settings,
            playlist,
            init,
            bandwidth,
        };
        let text = multivariant(&[
            offered(&picture, "live_video.m3u8", &video, 2_000_000),
            offered(&first, "live_audio.m3u8", &audio, 100_000),
            offered(&second, "live_audio_1.m3u8", &audio, 90_000),
        ]);
        assert_eq!(
            text,
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"audio\",GROUP-ID=\"audio\",URI=\"live_audio.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"audio_1\",GROUP-ID=\"audio\",URI=\"live_audio_1.m3u8\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES
#EXT-X-STREAM-INF:BANDWIDTH=2100000,CODECS=\"avc1.64001F,mp4a.40.2\",RESOLUTION=1280x720,AUDIO=\"audio\"
live_video.m3u8
"
        );
    }
}
