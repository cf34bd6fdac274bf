//! What there is to see of a window: for playlists, requests and figures.
//!
//! Belongs here: reading. Does not: what changes it.

use super::*;

impl LiveWindow {
    /// How media of this rendition is called.
    pub fn names(&self) -> &MediaNames {
        &self.names
    }

    /// The constants; `None` until there is a playlist.
    pub fn constants(&self) -> Option<&Constants> {
        self.constants.as_ref().filter(|_| self.is_live)
    }

    /// The bit rates measured so far.
    pub fn bandwidth(&self) -> Bandwidth {
        self.bandwidth
    }

    /// How many parts were published, whether or not they are still here.
    pub fn parts_published(&self) -> u64 {
        self.next_part.0
    }

    /// How many segments were completed, whether or not they are still here.
    pub fn segments_published(&self) -> u64 {
        self.next_msn.0 - self.first_msn.0
    }

    /// Counts visible changes of the playlist.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the rendition is over (rule PL-42).
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether the rendition is over without ever having had a segment to list. One that has may still come to light, with
    /// the others.
    pub fn is_stillborn(&self) -> bool {
        self.is_ended && self.constants.is_none()
    }

    /// How many DISCONTINUITY tags have left the playlist.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.discontinuity_sequence
    }

    /// The number of the first listed segment, EXT-X-MEDIA-SEQUENCE.
    pub fn first_listed(&self) -> Msn {
        self.first_listed
    }

    /// The complete segments a playlist lists, oldest first.
    pub fn listed(&self) -> impl ExactSizeIterator<Item = &Segment> {
        let unlisted = self
            .segments
            .front()
            .map_or(0, |front| self.first_listed.0.saturating_sub(front.msn.0));
        self.segments
            .iter()
            .skip(usize::try_from(unlisted).unwrap_or(usize::MAX))
    }

    /// The segment parts are appended to, when it has one.
    pub fn open(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    /// Every complete segment that can be fetched, oldest first.
    pub fn kept(&self) -> impl ExactSizeIterator<Item = &Segment> {
        self.segments.iter()
    }

    /// The oldest segment whose parts a playlist lists: the whole segment lies within three target durations of the
    /// end (rule PL-36). Whole segments, because a player counts a segment's parts from its first tag.
    pub fn first_listed_parts(&self) -> Msn {
        let Some(target_duration) = self.target_duration() else {
            return self.first_with_parts;
        };
        let limit = target_duration.0 * PART_TARGET_DURATIONS;
        let mut from_end = self.open.as_ref().map_or(0, |open| open.duration.nanos().0);
        let mut first = self.next_msn;
        for segment in self.segments.iter().rev() {
            from_end += segment.duration.nanos().0;
            if from_end > limit {
                break;
            }
            first = segment.msn;
        }
        first.max(self.first_with_parts)
    }

    /// The Skip Boundary in seconds from the end of the playlist, CAN-SKIP-UNTIL. `None` when a playlist of the length that
    /// was set has nothing beyond it, as far as segments are as long as the first one. Follows from what is fixed with that
    /// one, so it never changes (rule PL-17).
    pub fn skip_boundary(&self) -> Option<u32> {
        let constants = self.constants()?;
        let boundary = SKIP_BOUNDARY_TARGET_DURATIONS.saturating_mul(constants.target_duration);
        let length = i64::try_from(self.settings.playlist_length).unwrap_or(i64::MAX);
        let listed = self.first_duration.0.saturating_mul(length);
        // The open segment is never as long as a whole one: as many as just reach the boundary do not reach beyond it.
        (listed > Nanos::from_seconds(i64::from(boundary)).0).then_some(boundary)
    }

    /// How many listed segments a delta update may leave out: those that lie beyond the Skip Boundary to their last
    /// moment, counted from the newest (rule DD-13).
    pub fn skippable(&self) -> usize {
        let Some(boundary) = self.skip_boundary() else {
            return 0;
        };
        let limit = Nanos::from_seconds(i64::from(boundary)).0;
        let mut from_end = self.open.as_ref().map_or(0, |open| open.duration.nanos().0);
        let mut within = 0;
        let listed = self.listed().len();
        for segment in self.segments.iter().rev().take(listed) {
            if from_end > limit {
                break;
            }
            from_end += segment.duration.nanos().0;
            within += 1;
        }
        listed - within
    }

    /// The newest part.
    pub fn edge(&self) -> Option<LiveEdge> {
        let newest = self.open.as_ref().or(self.segments.back())?;
        let last = newest.parts.len().checked_sub(1)?;
        Some(LiveEdge {
            msn: newest.msn,
            part: PartIndex(last as u64),
        })
    }

    /// The last complete segment.
    pub fn last_complete(&self) -> Option<&Segment> {
        self.segments.back()
    }

    /// The number of the segment that is complete next.
    pub fn next_msn(&self) -> Msn {
        self.next_msn
    }

    /// Whether there is a playlist.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The newest part by the numbers a playlist shows, for the reports others give of it (4.4.5.4). Without a part when
    /// the segment lists none.
    pub fn last_listed(&self) -> Option<(Msn, Option<PartIndex>)> {
        let edge = self.edge()?;
        let has_parts = edge.msn >= self.first_listed_parts();
        Some((edge.msn, has_parts.then_some(edge.part)))
    }

    /// The number of the part that comes next, which the playlist hints at.
    pub fn next_part(&self) -> PartNumber {
        self.next_part
    }

    /// The init section the next part needs, when it is known to be another one than that of the part before it.
    pub fn coming_init(&self) -> Option<InitNumber> {
        if self.is_ended || self.open.is_some() {
            return None;
        }
        if self.awaits_init {
            return Some(self.next_init);
        }
        let (newest, _) = self.inits.back()?;
        let before = self.segments.back()?.init;
        (*newest != before).then_some(*newest)
    }

    /// The init section the newest segment, or else the next one, needs.
    pub fn current_init(&self) -> Option<&InitSection> {
        self.inits.back().map(|(_, init)| init)
    }

    /// An init section, as long as a segment kept needs it.
    pub fn init(&self, number: InitNumber) -> Option<&InitSection> {
        self.inits
            .iter()
            .find(|(candidate, _)| *candidate == number)
            .map(|(_, init)| init)
    }

    /// A complete segment in memory.
    pub fn segment(&self, msn: Msn) -> Option<&Segment> {
        let front = self.segments.front()?.msn;
        let index = usize::try_from(msn.0.checked_sub(front.0)?).ok()?;
        self.segments.get(index)
    }

    /// A part in memory, of a complete segment or the open one.
    pub fn part(&self, number: PartNumber) -> Option<&Part> {
        let first_after = self
            .segments
            .partition_point(|segment| first_number(segment) <= number);
        let of_segment = |segment: &'_ Segment| {
            let index = number.0.checked_sub(first_number(segment).0)?;
            usize::try_from(index).ok()
        };
        if let Some(open) = &self.open
            && first_number(open) <= number
        {
            return open.parts.get(of_segment(open)?);
        }
        let segment = self.segments.get(first_after.checked_sub(1)?)?;
        segment.parts.get(of_segment(segment)?)
    }
}
