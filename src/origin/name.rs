//! The file names of media, written and read.
//!
//! Belongs here: the one spelling each resource has. A name read from a request becomes a number or nothing at all, so
//! no request can name a file, a folder or the same resource in two spellings.
//! Does not: the run folder before the name (`delivery/`).

use std::fmt;

use super::media::{Msn, PartNumber, RenditionId};

/// The place of an init section in its run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InitNumber(pub u64);

/// What a media URI names within its rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaName {
    /// `init.mp4`, then `init_1.mp4` and so on: a cache may keep each for good.
    Init(InitNumber),
    /// `segment_00012.m4s`.
    Segment(Msn),
    /// `part_00061.m4s`.
    Part(PartNumber),
}

impl MediaName {
    /// `None` for every spelling but the one [`fmt::Display`] writes: no sign, no spare or missing zero.
    pub fn parse(name: &str) -> Option<Self> {
        let parsed = if name == "init.mp4" {
            Self::Init(InitNumber(0))
        } else if let Some(digits) = between(name, "init_", ".mp4") {
            Self::Init(InitNumber(digits.parse().ok()?))
        } else if let Some(digits) = between(name, "segment_", ".m4s") {
            Self::Segment(Msn(digits.parse().ok()?))
        } else if let Some(digits) = between(name, "part_", ".m4s") {
            Self::Part(PartNumber(digits.parse().ok()?))
        } else {
            return None;
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

fn between<'a>(name: &'a str, prefix: &str, suffix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_suffix(suffix)
}

impl fmt::Display for MediaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(InitNumber(0)) => f.write_str("init.mp4"),
            Self::Init(InitNumber(number)) => write!(f, "init_{number}.mp4"),
            Self::Segment(Msn(msn)) => write!(f, "segment_{msn:05}.m4s"),
            Self::Part(PartNumber(number)) => write!(f, "part_{number:05}.m4s"),
        }
    }
}

/// How the media of one rendition is called within the run folder: that of the main one bare, that of any other behind
/// the rendition's name, as in `audio_segment_00012.m4s`. So a file name says all, wherever it stands alone.
///
/// No two renditions share a file name, whatever they are called: what follows an underscore in a bare name is a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaNames {
    prefix: String,
}

impl MediaNames {
    /// The names of rendition `id`, whose own name is `rendition`.
    pub fn new(id: RenditionId, rendition: &str) -> Self {
        Self {
            prefix: if id == RenditionId::MAIN {
                String::new()
            } else {
                format!("{rendition}_")
            },
        }
    }

    /// The file name of a resource.
    pub fn write(&self, name: MediaName) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The resource a file name stands for; `None` when it is not one of this rendition.
    pub fn read(&self, name: &str) -> Option<MediaName> {
        MediaName::parse(name.strip_prefix(&self.prefix)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_renditions_have_their_name_before_it() {
        let audio = MediaNames::new(RenditionId(1), "audio");
        assert_eq!(
            audio.write(MediaName::Init(InitNumber(0))),
            "audio_init.mp4"
        );
        let text = audio.write(MediaName::Segment(Msn(12)));
        assert_eq!(text, "audio_segment_00012.m4s");
        assert_eq!(audio.read(&text), Some(MediaName::Segment(Msn(12))));
        assert_eq!(audio.read("segment_00012.m4s"), None);
        let main = MediaNames::new(RenditionId::MAIN, "video");
        assert_eq!(
            main.write(MediaName::Part(PartNumber(61))),
            "part_00061.m4s"
        );
        assert_eq!(main.read("video_part_00061.m4s"), None);
    }

    #[test]
    fn no_name_belongs_to_two_renditions() {
        let names: Vec<MediaNames> = ["v", "init", "init_1", "a", "a_init", "a_1", "_", "part"]
            .into_iter()
            .enumerate()
            .map(|(place, name)| MediaNames::new(RenditionId(place), name))
            .collect();
        for writer in &names {
            for name in [
                MediaName::Init(InitNumber(0)),
                MediaName::Init(InitNumber(1)),
                MediaName::Segment(Msn(1)),
                MediaName::Part(PartNumber(1)),
            ] {
                let text = writer.write(name);
                let readers: Vec<&MediaNames> = names
                    .iter()
                    .filter(|reader| reader.read(&text).is_some())
                    .collect();
                assert_eq!(readers, [writer], "{text}");
            }
        }
    }

    #[test]
    fn names_have_five_digits_or_more() {
        assert_eq!(MediaName::Init(InitNumber(0)).to_string(), "init.mp4");
        assert_eq!(MediaName::Init(InitNumber(1)).to_string(), "init_1.mp4");
        assert_eq!(MediaName::Segment(Msn(12)).to_string(), "segment_00012.m4s");
        assert_eq!(
            MediaName::Part(PartNumber(1_234_567)).to_string(),
            "part_1234567.m4s"
        );
    }

    #[test]
    fn other_spellings_name_nothing() {
        for name in [
            "",
            "part_.m4s",
            "part_1.m4s",
            "part_0001.m4s",
            "part_000001.m4s",
            "part_+0001.m4s",
            "part_-0001.m4s",
            "part_0x001.m4s",
            "part_00001.m4s ",
            "part_00001.mp4",
            "part_99999999999999999999.m4s",
            "PART_00001.m4s",
            "segment_00001",
            "init_0.mp4",
            "init_01.mp4",
            "init_.mp4",
            "../part_00001.m4s",
        ] {
            assert_eq!(MediaName::parse(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_written_reads_back(number: u64) {
            for name in [
                MediaName::Init(InitNumber(number)),
                MediaName::Segment(Msn(number)),
                MediaName::Part(PartNumber(number)),
            ] {
                prop_assert_eq!(MediaName::parse(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn reading_never_panics(name in ".{0,40}") {
            let _ = MediaName::parse(&name);
        }
    }
}
