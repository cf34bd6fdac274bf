//! Files with other tracks than what is presented: of a writer that has begun anew, or of something that lies about.
//!
//! Belongs here: when they are the stream from now on. Does not: what a file's tracks are (`timeline`), what becomes of the
//! presentation before (`sink/`).

use super::timeline::Timeline;
use crate::{
    cmaf::fragment::{FragmentedFile, TrackHeader},
    origin::media::Publication,
    time::{Nanos, UnixTime},
};

/// Other tracks that were seen.
pub(super) struct Rival {
    headers: Vec<TrackHeader>,
    /// They were in an init section by itself: media behind it that has none may be theirs.
    is_init: bool,
    /// The file before was such media.
    has_claimed: bool,
}

/// A line that begins with the rival's tracks, and the first file on it.
pub(super) struct Successor {
    pub(super) timeline: Timeline,
    pub(super) publications: Vec<Publication>,
}

impl Rival {
    /// What was seen in a file.
    pub(super) fn of(headers: Vec<TrackHeader>, is_init: bool) -> Self {
        Self {
            headers,
            is_init,
            has_claimed: false,
        }
    }

    /// A second file in a row brings its own header with these tracks: the first may have been anything.
    pub(super) fn is_borne_out_by(&self, headers: &[TrackHeader]) -> bool {
        let kinds = |headers: &[TrackHeader]| -> Vec<bool> {
            headers.iter().map(TrackHeader::is_audio).collect()
        };
        !self.is_init && kinds(&self.headers) == kinds(headers)
    }

    /// Whether what is decoded with these headers can go on with the rival's.
    pub(super) fn has_format_of(&self, headers: &[TrackHeader]) -> bool {
        let mut pairs = self.headers.iter().zip(headers);
        pairs.all(|(mine, theirs)| mine.has_format_of(theirs))
    }

    /// Whether media without a header of its own, which has the rival's tracks, may be the rival's: it lacks one of those presented,
    /// or the rival has one more.
    pub(super) fn claims(&self, file: &FragmentedFile<'_>, present: &Timeline) -> bool {
        let has_more = self.headers.len() > present.renditions().len();
        self.is_init && (has_more || !present.has_all_of(file))
    }

    /// Takes note of a file it claims, and answers whether the one before was one as well: a rung of another ladder may lie beside
    /// the stream.
    pub(super) fn has_claimed_before(&mut self) -> bool {
        std::mem::replace(&mut self.has_claimed, true)
    }

    /// What is left of it when a file was of the present tracks: an init section counts on for what comes behind it.
    pub(super) fn after_another(self) -> Option<Self> {
        self.is_init.then_some(Self {
            has_claimed: false,
            ..self
        })
    }

    /// Begins anew with a file; `None` if it does not have these tracks.
    pub(super) fn succeed(
        &self,
        file: &FragmentedFile<'_>,
        segment_duration: Nanos,
        at: UnixTime,
    ) -> Option<Successor> {
        let mut timeline = Timeline::new(segment_duration);
        timeline.take_header(self.headers.clone());
        let publications = timeline.take(file, at).ok()?;
        Some(Successor {
            timeline,
            publications,
        })
    }
}
