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
    /// They were in an init section by itself: media behind it that has none is theirs.
    is_init: bool,
}

/// A line that begins with the rival's tracks, and the first file on it.
pub(super) struct Successor {
    pub(super) timeline: Timeline,
    pub(super) publications: Vec<Publication>,
}

impl Rival {
    /// What was seen in a file.
    pub(super) fn of(headers: Vec<TrackHeader>, is_init: bool) -> Self {
        Self { headers, is_init }
    }

    /// A second file in a row brings its own header with these tracks: the first may have been anything.
    pub(super) fn is_borne_out_by(&self, headers: &[TrackHeader]) -> bool {
        let kinds = |headers: &[TrackHeader]| -> Vec<bool> {
            headers.iter().map(TrackHeader::is_audio).collect()
        };
        !self.is_init && kinds(&self.headers) == kinds(headers)
    }

    /// Media without a header of its own is the rival's if it has the rival's tracks; but where it could be of the present ones as
    /// well, only if it is the same kind of thing: renditions of one ladder may lie side by side.
    pub(super) fn claims(&self, file: &FragmentedFile<'_>, present: &Timeline) -> bool {
        let main = |headers: &[TrackHeader]| headers.first().map(TrackHeader::is_audio);
        let is_alike = main(&self.headers) == present.main_is_audio();
        self.is_init && (is_alike || !present.has_all_of(file))
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
