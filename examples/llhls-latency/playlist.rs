//! What a follower needs of a playlist: where to go next, and when each part was captured.
//!
//! Belongs here: reading text. Does not: fetching it (`follow`).

use std::fmt;

use chrono::DateTime;
use quick_m3u8::{
    HlsLine, Reader, config::ParsingOptionsBuilder, date, tag::KnownTag, tag::hls::Tag,
};

/// A playlist, of either kind.
#[derive(Debug, PartialEq)]
pub(crate) enum Playlist {
    /// URIs of the variants, the first one first, and then those of renditions that have a playlist of their own.
    Multivariant(Vec<String>),
    Media(Media),
}

/// A media playlist.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Media {
    pub(crate) parts: Vec<Part>,
    /// EXT-X-PART-INF: without it there is nothing to measure.
    pub(crate) has_parts: bool,
    pub(crate) can_block: bool,
    pub(crate) is_ended: bool,
    /// The place of the part that comes next.
    pub(crate) next: Place,
}

/// Media sequence number, and the part's place in that segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) msn: u64,
    pub(crate) part: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.msn, self.part)
    }
}

/// An EXT-X-PART that holds media.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) place: Place,
    pub(crate) uri: String,
    /// Seconds.
    pub(crate) duration: f64,
    /// EXT-X-PROGRAM-DATE-TIME of its first sample in Unix nanoseconds; `None` in a playlist without dates.
    pub(crate) date: Option<i64>,
}

/// Reads a playlist. Fails with a sentence on what is none.
pub(crate) fn read(text: &str) -> Result<Playlist, String> {
    if !text.starts_with("#EXTM3U") {
        return Err("the answer is no playlist: it does not begin with #EXTM3U".to_owned());
    }
    let options = ParsingOptionsBuilder::new()
        .with_parsing_for_all_tags()
        .build();
    let mut reader = Reader::from_str(text, options);
    let mut media = Media::default();
    let mut variants = Vec::new();
    let mut renditions = Vec::new();
    let mut names_a_variant = false;
    let mut date = None;
    loop {
        let line = match reader.read_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => return Err(format!("a line of the playlist cannot be read: {error}")),
        };
        match line {
            HlsLine::Uri(uri) if names_a_variant => {
                names_a_variant = false;
                variants.push(uri.into_owned());
            }
            HlsLine::Uri(_) => {
                media.next = Place {
                    msn: media.next.msn + 1,
                    part: 0,
                };
                // Until a tag says otherwise the next segment begins where the parts of this one ended.
            }
            HlsLine::KnownTag(KnownTag::Hls(tag)) => match tag {
                Tag::StreamInf(_) => names_a_variant = true,
                Tag::Media(rendition) => renditions.extend(rendition.uri().map(str::to_owned)),
                Tag::MediaSequence(first) => media.next.msn = first.media_sequence(),
                Tag::PartInf(_) => media.has_parts = true,
                Tag::ServerControl(control) => media.can_block = control.can_block_reload(),
                Tag::ProgramDateTime(tag) => {
                    let text = date::string_from(&tag.program_date_time());
                    let parsed = DateTime::parse_from_rfc3339(&text)
                        .map_err(|error| format!("the date {text} cannot be read: {error}"))?;
                    date = parsed.timestamp_nanos_opt();
                }
                // A delta update: what is skipped is known already.
                Tag::Skip(skip) => media.next.msn += skip.skipped_segments(),
                Tag::Part(part) => {
                    if !part.gap() {
                        media.parts.push(Part {
                            place: media.next,
                            uri: part.uri().to_owned(),
                            duration: part.duration(),
                            date,
                        });
                    }
                    media.next.part += 1;
                    date = date.map(|date| date + nanos(part.duration()));
                }
                Tag::Inf(inf) if media.next.part == 0 => {
                    // Listed without parts.
                    date = date.map(|date| date + nanos(inf.duration()));
                }
                Tag::Endlist(_) => media.is_ended = true,
                _ => {}
            },
            _ => {}
        }
    }
    Ok(if variants.is_empty() {
        Playlist::Media(media)
    } else {
        variants.extend(renditions);
        Playlist::Multivariant(variants)
    })
}

fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z
#EXTINF:1.00000,
run/segment_00007.m4s
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:11.000Z
#EXT-X-PART:DURATION=0.50000,URI=\"run/part_00016.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.40000,URI=\"run/part_00017.m4s\"
#EXTINF:0.90000,
run/segment_00008.m4s
#EXT-X-PART:DURATION=0.50000,URI=\"run/part_00018.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00019.m4s\"
";

    #[test]
    fn parts_have_places_and_dates() {
        let Playlist::Media(media) = read(LIVE).unwrap() else {
            panic!("a media playlist");
        };
        let found: Vec<(String, Option<i64>)> = media
            .parts
            .iter()
            .map(|part| (format!("{} {}", part.place, part.uri), part.date))
            .collect();
        let at = |millis: i64| Some(millis * 1_000_000);
        let expected = [
            ("8.0 run/part_00016.m4s", at(11_000)),
            ("8.1 run/part_00017.m4s", at(11_500)),
            ("9.0 run/part_00018.m4s", at(11_900)),
        ];
        assert_eq!(
            found,
            expected.map(|(part, date)| (part.to_owned(), date)),
            "a segment without a date of its own goes on from the last"
        );
        assert_eq!(media.next, Place { msn: 9, part: 1 });
        assert!(media.has_parts && media.can_block && !media.is_ended);
    }

    #[test]
    fn a_delta_update_counts_what_it_skips() {
        let delta = LIVE.replace(
            "#EXT-X-MAP:URI=\"run/init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10.000Z\n#EXTINF:1.00000,\nrun/segment_00007.m4s\n",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n",
        );
        assert_ne!(delta, LIVE);
        assert_eq!(read(&delta), read(LIVE));
    }

    #[test]
    fn holes_are_not_parts_to_fetch() {
        let text = LIVE.replace("part_00017.m4s\"", "part_00017.m4s\",GAP=YES");
        let Playlist::Media(media) = read(&text).unwrap() else {
            panic!("a media playlist");
        };
        assert_eq!(media.parts.len(), 2);
        assert_eq!(media.next, Place { msn: 9, part: 1 });
    }

    #[test]
    fn a_multivariant_playlist_names_its_children() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\",URI=\"live_audio.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1\nlive_video.m3u8\n";
        assert_eq!(
            read(text),
            Ok(Playlist::Multivariant(vec![
                "live_video.m3u8".to_owned(),
                "live_audio.m3u8".to_owned()
            ]))
        );
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence() {
        assert!(read("<html>").unwrap_err().contains("#EXTM3U"));
    }
}
