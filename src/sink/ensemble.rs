//! Lets the tracks of a run wait for each other: the conductor behind a lock, and a bell.
//!
//! Belongs here: waiting with a deadline, and the one clock mapping all tracks share. Does not: who waits for what
//! (`cmaf/conductor`). Only worker threads wait here, never a streaming thread.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::clock::{self, DateSource};
use crate::{
    cmaf::{
        conductor::{Conductor, Leave, TrackIndex},
        segmenter::LONGEST_BRIDGED_HOLE,
    },
    time::{ClockMapping, Nanos, RunningTime},
};

/// As many lines as tracks may be apart: a discontinuity each.
const REMEMBERED_LINES: usize = 64;

/// A shorter silence than this is a hole that is bridged, however little patience is asked for.
const SHORTEST_SILENCE: Duration = Duration::from_secs(1);

/// A head that has never leapt.
const NEVER: u64 = u64::MAX;

/// How long a follower whose time has jumped back waits for the leader to do the same: they are fed at about the same time.
const LONGEST_WAIT_FOR_JUMP: Duration = Duration::from_millis(500);

/// What the tracks of one run share.
#[derive(Debug)]
pub(super) struct Ensemble {
    state: Mutex<State>,
    changed: Condvar,
    /// How long a track may keep the others waiting at the start.
    patience: Duration,
    /// The newest time that came in at each pad, dealt with or not, in nanoseconds of running time.
    heads: Vec<AtomicI64>,
    /// When each head last leapt ahead, in milliseconds since `begun`: what all have lost it may be the first to have again.
    leapt: Vec<AtomicU64>,
    begun: Instant,
    /// Tracks with as many frames waiting as may: their heads stand still for want of room.
    crowded: Vec<AtomicBool>,
}

#[derive(Debug)]
struct State {
    conductor: Conductor,
    /// Tracks that are over and wait for nobody.
    stopped: Vec<TrackIndex>,
    /// Running time to Unix time, by the zero of the line it holds for, the newest last: sampled by whichever track
    /// publishes first on that line. Some may still be on an older line.
    mappings: VecDeque<(RunningTime, ClockMapping)>,
    date_source: Option<DateSource>,
    /// What the newest frame of any track that says when it was captured makes of running time.
    reference: Option<ClockMapping>,
}

impl State {
    fn mapping(&self, zero: RunningTime) -> Option<ClockMapping> {
        let mut all = self.mappings.iter();
        all.find(|(of, _)| *of == zero).map(|(_, mapping)| *mapping)
    }
}

/// What a track is told after it has waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It leads.
    Lead,
    /// It follows; `after_waiting` for the leader, or at once.
    Follow { after_waiting: bool },
    /// The run is over for it.
    Stop,
    /// These tracks did not come; ask again.
    Absent(Vec<TrackIndex>),
}

impl Ensemble {
    /// `tracks` tracks under a conductor for as many.
    pub(super) fn new(conductor: Conductor, tracks: usize, patience: Duration) -> Self {
        Self {
            heads: (0..tracks).map(|_| AtomicI64::new(i64::MIN)).collect(),
            leapt: (0..tracks).map(|_| AtomicU64::new(NEVER)).collect(),
            begun: clock::instant(),
            state: Mutex::new(State {
                conductor,
                stopped: Vec::new(),
                mappings: VecDeque::new(),
                date_source: None,
                reference: None,
            }),
            crowded: (0..tracks).map(|_| AtomicBool::new(false)).collect(),
            changed: Condvar::new(),
            patience,
        }
    }

    /// Waits until the track, in segment `number`, may go on with a frame presented at `presentation`. See
    /// [`Conductor::leave`] for `may_run_ahead`.
    pub(super) fn wait(
        &self,
        track: TrackIndex,
        number: Option<u64>,
        presentation: RunningTime,
        may_run_ahead: bool,
    ) -> Told {
        let mut state = self.state();
        let mut after_waiting = false;
        loop {
            if state.stopped.contains(&track) {
                return Told::Stop;
            }
            let leave = state
                .conductor
                .leave(track, number, presentation, may_run_ahead);
            match leave {
                Leave::Lead => return Told::Lead,
                Leave::Follow => return Told::Follow { after_waiting },
                Leave::WaitForStart => {
                    let (after, timeout) = self
                        .changed
                        .wait_timeout(state, self.patience)
                        .unwrap_or_else(PoisonError::into_inner);
                    state = after;
                    if timeout.timed_out() {
                        let absent = state.conductor.give_up(track);
                        if !absent.is_empty() {
                            self.changed.notify_all();
                            return Told::Absent(absent);
                        }
                    }
                }
                // The leader went silent or is slower: the presentation stays in step with it.
                Leave::WaitForLeader => {
                    after_waiting = true;
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// A follower in segment `number` has jumped back. Most often all do, and the leader says where what it has goes on: waits a
    /// moment for that.
    pub(super) fn wait_for_jump(&self, track: TrackIndex, number: Option<u64>) {
        let state = self.state();
        let may_jump = |state: &mut State| {
            let conductor = &state.conductor;
            let is_stopped = state.stopped.contains(&track);
            !is_stopped && !conductor.leads(track) && !conductor.has_left(number)
        };
        // Guarded by its lock; whoever panicked with it has told.
        let _ = self
            .changed
            .wait_timeout_while(state, LONGEST_WAIT_FOR_JUMP, may_jump);
    }

    /// How long nothing may come from a track before the others go on without it.
    pub(super) fn longest_silence(&self) -> Duration {
        self.patience.max(SHORTEST_SILENCE)
    }

    /// Something of the track came in that reaches as far as `head`. Never blocks.
    pub(super) fn note_head(&self, track: TrackIndex, head: RunningTime) {
        let Some(newest) = self.heads.get(track.0) else {
            return;
        };
        let before = newest.load(Ordering::Relaxed);
        if before != i64::MIN
            && head - RunningTime(before) > LONGEST_BRIDGED_HOLE
            && let Some(leapt) = self.leapt.get(track.0)
        {
            leapt.store(self.millis(), Ordering::Relaxed);
        }
        // Behind that: whoever sees the head knows of the leap.
        newest.store(head.0, Ordering::Release);
    }

    /// Whether the track's frames find no room any more. Never blocks.
    pub(super) fn note_crowd(&self, track: TrackIndex, is_crowded: bool) {
        if let Some(crowded) = self.crowded.get(track.0) {
            crowded.store(is_crowded, Ordering::Relaxed);
        }
    }

    /// Nothing came from the track for [`Ensemble::longest_silence`]. That alone may be a pause of the pipeline: it is silent
    /// when another track, the leader or one that waits for it, has come as much further in time, or as far as there is room
    /// for, and not by a leap since: after an outage of everything one is back first. Answers whether it is.
    pub(super) fn fall_silent(&self, track: TrackIndex) -> bool {
        let silence = i64::try_from(self.longest_silence().as_nanos()).unwrap_or(i64::MAX);
        let head = |track: TrackIndex| {
            let head = self.heads.get(track.0)?.load(Ordering::Acquire);
            (head != i64::MIN).then_some(RunningTime(head))
        };
        let Some(mine) = head(track) else {
            return false;
        };
        let is_steady = |track: TrackIndex| {
            let leapt = self.leapt.get(track.0);
            let leapt = leapt.map_or(NEVER, |leapt| leapt.load(Ordering::Relaxed));
            let since = Duration::from_millis(self.millis().saturating_sub(leapt));
            leapt == NEVER || since >= self.longest_silence()
        };
        self.change(|conductor| {
            let is_ahead =
                |time: Option<RunningTime>| time.is_some_and(|time| (time - mine).0 >= silence);
            let is_crowded = |track: TrackIndex| {
                let crowded = self.crowded.get(track.0);
                crowded.is_some_and(|crowded| crowded.load(Ordering::Relaxed))
            };
            let goes_on = conductor.leads(track)
                || (is_ahead(conductor.progress()) && is_steady(conductor.leader()));
            goes_on
                && conductor.fall_silent(track, |other| {
                    (is_ahead(head(other)) || is_crowded(other)) && is_steady(other)
                })
        })
    }

    /// The track says itself that nothing comes: others need not be further.
    pub(super) fn declare_silent(&self, track: TrackIndex) -> bool {
        self.change(|conductor| conductor.fall_silent(track, |_| true))
    }

    /// Changes what the tracks share, and lets everyone look again.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Conductor) -> T) -> T {
        let result = change(&mut self.state().conductor);
        self.changed.notify_all();
        result
    }

    /// Reads what the tracks share.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Conductor) -> T) -> T {
        read(&self.state().conductor)
    }

    /// Releases the track if it waits, for good.
    pub(super) fn stop(&self, track: TrackIndex) {
        self.state().stopped.push(track);
        self.changed.notify_all();
    }

    /// The clock mapping of the line with this zero.
    pub(super) fn mapping(&self, zero: RunningTime) -> Option<ClockMapping> {
        self.state().mapping(zero)
    }

    /// Sets the clock mapping of a line, unless another track was faster. Answers the one that counts.
    pub(super) fn fix_mapping(
        &self,
        zero: RunningTime,
        sampled: ClockMapping,
        from: DateSource,
    ) -> ClockMapping {
        let mut state = self.state();
        if let Some(mapping) = state.mapping(zero) {
            return mapping;
        }
        if state.mappings.len() == REMEMBERED_LINES {
            state.mappings.pop_front();
        }
        state.mappings.push_back((zero, sampled));
        state.date_source = Some(from);
        sampled
    }

    /// Moves the dates of the newest line.
    pub(super) fn shift_dates(&self, span: Nanos) {
        if let Some((_, mapping)) = self.state().mappings.back_mut() {
            *mapping = mapping.shifted(span);
        }
    }

    /// The next line has other dates, even if it goes on where this one ends.
    pub(super) fn forget_mapping(&self) {
        let mut state = self.state();
        state.mappings.pop_back();
        state.date_source = None;
    }

    /// A frame says when it was captured. Answers whether dates are taken from something else so far.
    pub(super) fn note_reference(&self, reference: ClockMapping) -> bool {
        let mut state = self.state();
        state.reference = Some(reference);
        let source = state.date_source;
        source.is_some_and(|source| source != DateSource::ReferenceTimestamp)
    }

    /// What frames say of the time they were captured, whichever track they are of.
    pub(super) fn reference(&self) -> Option<ClockMapping> {
        self.state().reference
    }

    /// What the dates are taken from, once they are.
    pub(super) fn date_source(&self) -> Option<DateSource> {
        self.state().date_source
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whoever panicked with it has told; the others, and the host that reads a property, go on with what there is.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
