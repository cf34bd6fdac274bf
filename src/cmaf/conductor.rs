//! Keeps the tracks of a presentation in step: where segments begin, and how far each track may go.
//!
//! Belongs here: the borders the leading track decides, the time all decode lines count from, who leads and when the start
//! is. Does not: waiting (`sink/ensemble`), cutting (`segmenter`).
//!
//! One track leads: the first video track, else the first audio track. Its key frames decide where segments begin; the other
//! tracks begin theirs at their first (key) frame from there on. A follower goes no further than the leader has come and a
//! frame of the leader's more, before which no border can come: so it always knows whether a border is behind it, and all
//! renditions stay in step (rule MV-12).

use std::collections::VecDeque;

use super::segmenter::LONGEST_BRIDGED_HOLE;
use crate::time::{NANOS_PER_SECOND, Nanos, RunningTime};

/// How many borders are remembered: as many as a follower may be behind the leader, with files that are not paced.
const REMEMBERED_BORDERS: usize = 4096;

/// A discontinuity this far before the newest frame is a jump back; less is reordering.
const SHORTEST_JUMP_BACK: Nanos = Nanos::from_millis(500);

/// Place of a track in the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackIndex(pub usize);

/// Where a segment of the leader begins, and so every track's segment of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// The segment's number.
    pub number: u64,
    /// Presentation time of its first frame.
    pub presentation: RunningTime,
    /// Time or format jumped here.
    pub is_discontinuity: bool,
    /// What source time decode time 0 is at, from here to the next discontinuity, for every track.
    pub zero: RunningTime,
    /// Presentation time the segment before it ended at: the same, but for a discontinuity.
    pub ended: RunningTime,
    /// How far the leader had come when time jumped back here: what follows on from there is from before the jump.
    pub left_at: Option<RunningTime>,
}

/// What a track may do with its next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It decides the borders itself.
    Lead,
    /// It takes the borders that are known.
    Follow,
    /// Nothing has begun: it has to wait until every track is there, or is given up.
    WaitForStart,
    /// It is ahead of the leader.
    WaitForLeader,
}

/// The state the tracks share. See the module's documentation.
#[derive(Debug)]
pub struct Conductor {
    tracks: Vec<TrackState>,
    leader: TrackIndex,
    /// Segments began.
    has_started: bool,
    borders: VecDeque<Border>,
    /// The newest presentation time the leader has dealt with: borders up to here are known.
    progress: Option<RunningTime>,
    /// How soon after that the leader's next frame, and so a border, may come.
    spacing: Nanos,
    target_duration: Option<u32>,
    /// As long as what a leader that fell silent has of the first segment.
    least_target_duration: u32,
    next_number: u64,
    /// A follower was interrupted: the leader's next segment is a discontinuity for all (rule MV-11).
    wants_break: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrackState {
    Awaited,
    Here,
    /// It has fallen silent while others went on; it is here again with its next frame.
    Silent,
    /// It did not come in time; it may still.
    GivenUp,
    Ended,
}

impl Conductor {
    /// `tracks` tracks, in the order of their importance; `leader` is the one that leads if it comes.
    pub fn new(tracks: usize, leader: TrackIndex) -> Self {
        Self {
            tracks: vec![TrackState::Awaited; tracks],
            leader,
            has_started: false,
            borders: VecDeque::new(),
            progress: None,
            spacing: Nanos(0),
            target_duration: None,
            least_target_duration: 0,
            next_number: 0,
            wants_break: false,
        }
    }

    /// A first frame of the track is there, or the first after a silence.
    pub fn arrive(&mut self, track: TrackIndex) {
        let leader_is_over = self.tracks.get(self.leader.0) == Some(&TrackState::Ended);
        if let Some(state @ (TrackState::Awaited | TrackState::GivenUp | TrackState::Silent)) =
            self.tracks.get_mut(track.0)
        {
            *state = TrackState::Here;
            if leader_is_over {
                self.leader = track;
            }
        }
    }

    /// Whether any track has had a frame.
    pub fn has_arrivals(&self) -> bool {
        self.has_started || self.tracks.contains(&TrackState::Here)
    }

    /// Stops waiting for tracks that are not there. Answers which those are. If the leader is among them, `by` leads.
    pub fn give_up(&mut self, by: TrackIndex) -> Vec<TrackIndex> {
        if self.has_started {
            return Vec::new();
        }
        let mut absent = Vec::new();
        for (index, state) in self.tracks.iter_mut().enumerate() {
            if *state == TrackState::Awaited {
                *state = TrackState::GivenUp;
                absent.push(TrackIndex(index));
            }
        }
        if absent.contains(&self.leader) {
            self.leader = by;
        }
        absent
    }

    /// The track has nothing to give, and nobody has to wait for it until it comes back. If it leads, the first of the others
    /// that `can_lead` does from now on; when there is none, nobody has gone on without it and it is not silent.
    ///
    /// Answers whether it is silent now.
    pub fn fall_silent(
        &mut self,
        track: TrackIndex,
        can_lead: impl Fn(TrackIndex) -> bool,
    ) -> bool {
        if !self.has_started || self.tracks.get(track.0) != Some(&TrackState::Here) {
            return false;
        }
        if track == self.leader {
            let mut others = (0..self.tracks.len()).map(TrackIndex);
            let next = others.find(|&other| {
                other != track && self.tracks[other.0] == TrackState::Here && can_lead(other)
            });
            let Some(next) = next else { return false };
            self.leader = next;
            if let (None, Some(first), Some(progress)) =
                (self.target_duration, self.borders.front(), self.progress)
            {
                let length = (progress + self.spacing - first.presentation).0;
                let seconds = (length + NANOS_PER_SECOND / 2) / NANOS_PER_SECOND + 1;
                self.least_target_duration = u32::try_from(seconds).unwrap_or(0);
            }
        }
        self.tracks[track.0] = TrackState::Silent;
        true
    }

    /// Gives the lead back to a track that comes before the leader in importance and has a frame presented at `presentation`
    /// in the newest segment, if it is no further behind than `slack`. Otherwise the others would be past the borders it
    /// decides.
    pub fn reclaim(&mut self, track: TrackIndex, presentation: RunningTime, slack: Nanos) -> bool {
        let is_in_step = self
            .progress
            .is_some_and(|progress| (progress - presentation).0 <= slack.0);
        let is_here = self.tracks.get(track.0) == Some(&TrackState::Here);
        let leads_again = self.has_started && is_here && track < self.leader && is_in_step;
        if leads_again {
            self.leader = track;
        }
        leads_again
    }

    /// Where the oldest segment begins that a track can still join.
    pub fn first_border(&self) -> Option<RunningTime> {
        self.borders.front().map(|border| border.presentation)
    }

    /// The track that decides the borders.
    pub fn leader(&self) -> TrackIndex {
        self.leader
    }

    /// Whether the track decides the borders.
    pub fn leads(&self, track: TrackIndex) -> bool {
        track == self.leader
    }

    /// What the track, in segment `number`, may do with a frame presented at `presentation`.
    ///
    /// A frame that `may_run_ahead` need not know of a border as near as its own half: sound, and pictures that no segment
    /// begins with. Such a one goes while the leader's next frame cannot have come yet; waiting for that, a part of sound
    /// would now and then be a picture late.
    pub fn leave(
        &self,
        track: TrackIndex,
        number: Option<u64>,
        presentation: RunningTime,
        may_run_ahead: bool,
    ) -> Leave {
        let is_awaiting = self.tracks.contains(&TrackState::Awaited);
        if !self.has_started && is_awaiting {
            return Leave::WaitForStart;
        }
        if track == self.leader {
            return Leave::Lead;
        }
        // The leader has jumped back: it will not come to where this track still is, and is past that all the same.
        match self.progress {
            _ if self.has_left(number) => Leave::Follow,
            Some(progress) if presentation <= progress => Leave::Follow,
            Some(progress) if may_run_ahead && presentation < progress + self.spacing => {
                Leave::Follow
            }
            _ => Leave::WaitForLeader,
        }
    }

    /// Whether the leader has jumped back ahead of a track in segment `number`.
    pub fn has_left(&self, number: Option<u64>) -> bool {
        number.is_some_and(|number| {
            let mut ahead = self.borders_after(number);
            ahead.any(|border| border.left_at.is_some())
        })
    }

    /// The leader begins a segment. Answers its number.
    pub fn begin_segment(
        &mut self,
        presentation: RunningTime,
        zero: RunningTime,
        is_discontinuity: bool,
    ) -> u64 {
        self.has_started = true;
        if self.borders.len() == REMEMBERED_BORDERS {
            self.borders.pop_front();
        }
        let jumps_from = self.progress.filter(|progress| {
            is_discontinuity && (*progress - presentation).0 >= SHORTEST_JUMP_BACK.0
        });
        let ended = self
            .progress
            .filter(|_| is_discontinuity)
            .map_or(presentation, |progress| progress + self.spacing);
        self.wants_break &= !is_discontinuity;
        self.borders.push_back(Border {
            number: self.next_number,
            presentation,
            is_discontinuity,
            zero,
            ended,
            left_at: jumps_from,
        });
        self.next_number += 1;
        self.next_number - 1
    }

    /// The leader has dealt with a frame presented at `presentation`. Its next one comes no sooner than `spacing` after
    /// that, as far as can be told; zero when it cannot.
    pub fn advance(&mut self, presentation: RunningTime, spacing: Nanos) {
        self.spacing = spacing;
        let jumped_back = self
            .borders
            .back()
            .is_some_and(|border| border.is_discontinuity && border.presentation == presentation);
        self.progress = match self.progress {
            Some(progress) if !jumped_back => Some(progress.max(presentation)),
            _ => Some(presentation),
        };
    }

    /// A follower in segment `number` was interrupted. All count the same discontinuities, so the next border is one.
    pub fn ask_for_break(&mut self, number: Option<u64>) {
        let Some(number) = number else { return };
        let is_coming = self
            .borders_after(number)
            .any(|border| border.is_discontinuity);
        self.wants_break |= !is_coming;
    }

    /// Whether the next segment of the leader has to be a discontinuity.
    pub fn wants_break(&self) -> bool {
        self.wants_break
    }

    /// The leader's first segment is complete: EXT-X-TARGETDURATION for all.
    pub fn fix_target_duration(&mut self, seconds: u32) {
        self.target_duration.get_or_insert(seconds);
    }

    /// EXT-X-TARGETDURATION, once it is known.
    pub fn target_duration(&self) -> Option<u32> {
        self.target_duration
    }

    /// What EXT-X-TARGETDURATION has to be at least, while it is not known.
    pub fn least_target_duration(&self) -> u32 {
        self.least_target_duration
    }

    /// The track is over. If it led, the next one that is there leads.
    pub fn end(&mut self, track: TrackIndex) {
        if let Some(state) = self.tracks.get_mut(track.0) {
            *state = TrackState::Ended;
        }
        if track == self.leader {
            let first = |wanted| self.tracks.iter().position(|state| *state == wanted);
            let next = first(TrackState::Here).or_else(|| first(TrackState::Silent));
            self.leader = next.map_or(self.leader, TrackIndex);
        }
    }

    /// Whether every track is over.
    pub fn is_over(&self) -> bool {
        self.tracks
            .iter()
            .all(|state| matches!(state, TrackState::Ended | TrackState::GivenUp))
    }

    /// The first border after segment `number`, if it is known.
    fn border_after(&self, number: u64) -> Option<Border> {
        self.borders_after(number).next().copied()
    }

    /// The border ahead of a track in segment `number`, or the one to join at.
    pub fn next_border(&self, number: Option<u64>, presentation: RunningTime) -> Option<Border> {
        match number {
            Some(number) => self.border_after(number),
            None => self.border_to_join(presentation),
        }
    }

    /// The borders a silent track in segment `number` goes past: all there are.
    pub fn missed(&self, number: u64) -> Vec<Border> {
        self.borders_after(number).copied().collect()
    }

    /// The borders a track in segment `number` goes past without a frame: those after which there is another one before it
    /// goes on at `presentation`.
    ///
    /// One that `is_behind` has not been silent: its frame is from before the leader's next jump back, if it can be.
    pub fn missed_until(
        &self,
        number: u64,
        presentation: RunningTime,
        is_behind: bool,
    ) -> Vec<Border> {
        let mut ahead = self.missed(number);
        let jump = ahead.iter().position(|border| {
            let left_at = border.left_at.filter(|_| is_behind);
            left_at.is_some_and(|left_at| presentation - left_at <= LONGEST_BRIDGED_HOLE)
        });
        ahead.truncate(jump.unwrap_or(ahead.len()));
        let next = ahead
            .iter()
            .rposition(|border| border.presentation <= presentation);
        ahead.truncate(next.unwrap_or(0));
        ahead
    }

    /// How far the leader has come.
    pub fn progress(&self) -> Option<RunningTime> {
        self.progress
    }

    fn borders_after(&self, number: u64) -> impl Iterator<Item = &Border> {
        let first = self.borders.front().map_or(0, |border| border.number);
        let passed = usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.borders.range(passed.min(self.borders.len())..)
    }

    /// The border a track joins at whose first frame is presented at `presentation`: the newest one not after it, or the
    /// first there is.
    fn border_to_join(&self, presentation: RunningTime) -> Option<Border> {
        let newest = self
            .borders
            .iter()
            .rev()
            .find(|border| border.presentation <= presentation);
        newest.or(self.borders.front()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: TrackIndex = TrackIndex(0);
    const AUDIO: TrackIndex = TrackIndex(1);

    fn at(millis: i64) -> RunningTime {
        RunningTime(millis * 1_000_000)
    }

    fn numbers(borders: &[Border]) -> Vec<u64> {
        borders.iter().map(|border| border.number).collect()
    }

    fn begin(conductor: &mut Conductor, millis: i64) {
        conductor.begin_segment(at(millis), at(0), false);
        conductor.advance(at(millis), Nanos(0));
    }

    #[test]
    fn one_track_leads_at_once() {
        let mut conductor = Conductor::new(1, VIDEO);
        conductor.arrive(VIDEO);
        assert_eq!(conductor.leave(VIDEO, None, at(0), false), Leave::Lead);
    }

    #[test]
    fn the_leader_waits_for_the_others_and_they_stay_behind_it() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.arrive(VIDEO);
        assert_eq!(
            conductor.leave(VIDEO, None, at(0), false),
            Leave::WaitForStart
        );
        conductor.arrive(AUDIO);
        assert_eq!(conductor.leave(VIDEO, None, at(0), false), Leave::Lead);
        assert_eq!(
            conductor.leave(AUDIO, None, at(0), false),
            Leave::WaitForLeader
        );
        begin(&mut conductor, 0);
        assert_eq!(conductor.leave(AUDIO, None, at(0), false), Leave::Follow);
        assert_eq!(
            conductor.leave(AUDIO, None, at(20), false),
            Leave::WaitForLeader
        );
        conductor.advance(at(33), Nanos(0));
        assert_eq!(conductor.leave(AUDIO, None, at(20), false), Leave::Follow);
    }

    #[test]
    fn a_follower_runs_ahead_of_no_border() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.arrive(VIDEO);
        conductor.arrive(AUDIO);
        conductor.begin_segment(at(0), at(0), false);
        conductor.advance(at(0), Nanos::from_millis(33));
        assert_eq!(conductor.leave(AUDIO, None, at(32), true), Leave::Follow);
        let at_the_border = conductor.leave(AUDIO, None, at(33), true);
        assert_eq!(at_the_border, Leave::WaitForLeader);
        let key_frame = conductor.leave(AUDIO, None, at(32), false);
        assert_eq!(key_frame, Leave::WaitForLeader);
    }

    #[test]
    fn an_absent_leader_is_replaced_by_whoever_waited() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.arrive(AUDIO);
        assert_eq!(conductor.give_up(AUDIO), [VIDEO]);
        assert_eq!(conductor.leave(AUDIO, None, at(0), false), Leave::Lead);
        begin(&mut conductor, 0);
        assert_eq!(conductor.give_up(AUDIO), [], "not after the start");
        conductor.arrive(VIDEO);
        assert_eq!(conductor.leave(VIDEO, None, at(0), false), Leave::Follow);
    }

    #[test]
    fn a_silent_leader_is_replaced_until_it_is_back_in_step() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.arrive(VIDEO);
        conductor.arrive(AUDIO);
        begin(&mut conductor, 0);
        assert_eq!(
            conductor.leave(AUDIO, Some(0), at(20), false),
            Leave::WaitForLeader
        );
        assert!(!conductor.fall_silent(VIDEO, |_| false), "nobody went on");
        assert!(conductor.leads(VIDEO));
        assert!(conductor.fall_silent(VIDEO, |other| other == AUDIO));
        assert!(!conductor.fall_silent(VIDEO, |_| true), "silent already");
        assert_eq!(conductor.leave(AUDIO, Some(0), at(20), false), Leave::Lead);
        begin(&mut conductor, 1000);
        begin(&mut conductor, 2000);
        begin(&mut conductor, 3000);
        assert_eq!(numbers(&conductor.missed(0)), [1, 2, 3]);
        let until = |millis| numbers(&conductor.missed_until(0, at(millis), false));
        assert_eq!(until(2500), [1], "it may begin the second");
        assert_eq!(until(500), [0; 0]);
        assert!(!conductor.reclaim(VIDEO, at(3000), Nanos(0)), "it is away");
        conductor.arrive(VIDEO);
        assert!(!conductor.reclaim(VIDEO, at(2800), Nanos::from_millis(100)));
        assert!(!conductor.reclaim(AUDIO, at(3000), Nanos(0)), "it leads");
        assert!(conductor.reclaim(VIDEO, at(2950), Nanos::from_millis(100)));
        assert!(conductor.leads(VIDEO));
    }

    #[test]
    fn a_hole_ends_before_the_next_jump_back_unless_the_track_was_silent() {
        let mut conductor = Conductor::new(2, VIDEO);
        for second in [0, 60, 61, 62] {
            begin(&mut conductor, second * 1000);
        }
        conductor.begin_segment(at(1000), at(0), true);
        conductor.advance(at(1000), Nanos(0));
        begin(&mut conductor, 2000);
        let behind = |millis| numbers(&conductor.missed_until(0, at(millis), true));
        assert_eq!(behind(61_500), [1]);
        assert_eq!(behind(60_000), [0; 0]);
        let silent = numbers(&conductor.missed_until(0, at(2500), false));
        assert_eq!(silent, [1, 2, 3, 4]);
    }

    #[test]
    fn a_track_that_ends_before_the_others_begin_leads_nobody() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.end(VIDEO);
        conductor.arrive(AUDIO);
        assert_eq!(conductor.leave(AUDIO, None, at(0), true), Leave::Lead);
    }

    #[test]
    fn a_silent_follower_keeps_nobody_waiting() {
        let mut conductor = Conductor::new(3, VIDEO);
        for track in 0..3 {
            conductor.arrive(TrackIndex(track));
        }
        begin(&mut conductor, 0);
        assert!(conductor.fall_silent(AUDIO, |_| false));
        conductor.end(VIDEO);
        assert!(conductor.leads(TrackIndex(2)), "the silent one cannot");
        conductor.end(TrackIndex(2));
        assert!(conductor.leads(AUDIO), "it is all that is left");
        assert!(!conductor.is_over());
    }

    #[test]
    fn borders_are_numbered_and_found() {
        let mut conductor = Conductor::new(2, VIDEO);
        for second in 0..4 {
            begin(&mut conductor, second * 1000);
        }
        assert_eq!(conductor.border_to_join(at(0)).unwrap().number, 0);
        assert_eq!(conductor.border_after(1).unwrap().presentation, at(2000));
        assert_eq!(conductor.border_after(3), None);
        assert_eq!(conductor.border_to_join(at(2500)).unwrap().number, 2);
        assert_eq!(conductor.border_to_join(at(-5)).unwrap().number, 0);
    }

    #[test]
    fn a_jump_back_of_the_leader_holds_the_others_there() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.arrive(VIDEO);
        conductor.arrive(AUDIO);
        begin(&mut conductor, 0);
        conductor.advance(at(9000), Nanos(0));
        conductor.begin_segment(at(100), at(-9000), true);
        conductor.advance(at(100), Nanos(0));
        assert_eq!(
            conductor.leave(AUDIO, None, at(150), false),
            Leave::WaitForLeader
        );
        conductor.advance(at(166), Nanos(0));
        assert_eq!(conductor.leave(AUDIO, None, at(150), false), Leave::Follow);
        assert!(conductor.has_left(Some(0)));
        assert!(!conductor.has_left(Some(1)) && !conductor.has_left(None));
    }

    #[test]
    fn who_is_left_leads_and_the_last_one_ends_it() {
        let mut conductor = Conductor::new(2, VIDEO);
        conductor.arrive(VIDEO);
        conductor.arrive(AUDIO);
        begin(&mut conductor, 0);
        conductor.end(VIDEO);
        assert!(!conductor.is_over());
        assert_eq!(conductor.leave(AUDIO, None, at(9000), false), Leave::Lead);
        conductor.end(AUDIO);
        assert!(conductor.is_over());
    }
}
