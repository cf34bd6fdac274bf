//! Tracks under one conductor, as the sink runs them, without threads: whoever may go on does. And what holds for each.

use std::collections::VecDeque;

use crate::cmaf::{
    conductor::{Conductor, Leave, TrackIndex},
    segmenter::{Constants, Cut, DropReason, Frame, Gap, Plan, SegmentEnd, Segmenter, Step},
    turn,
};
use crate::time::{NANOS_PER_SECOND, Nanos, RunningTime, Timescale};

pub(super) const VIDEO: usize = 0;
pub(super) const AUDIO: usize = 1;
pub(super) const FRAME_30: i64 = NANOS_PER_SECOND / 30;
pub(super) const RATE: u32 = 48_000;
pub(super) const AUDIO_FRAME: i64 = 1024 * NANOS_PER_SECOND / RATE as i64;

#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Frame(Frame),
    /// A flush.
    Interrupt,
    /// Other caps.
    Format,
    /// Nothing for as long as others are waited for. What comes next comes in its own time.
    Silence,
}

/// What a rendition shows, in order.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Part(Cut),
    Gap(Gap),
}

impl Piece {
    pub(super) fn cut(&self) -> Option<&Cut> {
        match self {
            Self::Part(cut) => Some(cut),
            Self::Gap(_) => None,
        }
    }

    /// Decode time, duration, and whether it is a discontinuity.
    pub(super) fn place(&self) -> (i64, i64, bool) {
        match self {
            Self::Part(cut) => (cut.decode, cut.duration.ticks, cut.is_discontinuity),
            Self::Gap(gap) => (gap.decode, gap.duration.ticks, gap.is_discontinuity),
        }
    }
}

/// One track and what came of it.
pub(super) struct Player {
    pub(super) inputs: VecDeque<Input>,
    pub(super) segmenter: Segmenter,
    pub(super) timescale: Timescale,
    pub(super) has_arrived: bool,
    pub(super) has_ended: bool,
    pub(super) is_silent: bool,
    pub(super) first: Option<u64>,
    /// What is in each finished segment.
    pub(super) segments: Vec<(Vec<Piece>, SegmentEnd)>,
    pub(super) open: Vec<Piece>,
    pub(super) dropped: Vec<DropReason>,
    /// Presentation times of what was fed.
    pub(super) fed: Vec<i64>,
}

impl Player {
    pub(super) fn new(plan: Plan, inputs: impl IntoIterator<Item = Input>) -> Self {
        Self {
            inputs: inputs.into_iter().collect(),
            segmenter: Segmenter::new(plan),
            timescale: plan.timescale,
            has_arrived: false,
            has_ended: false,
            is_silent: false,
            first: None,
            segments: Vec::new(),
            open: Vec::new(),
            dropped: Vec::new(),
            fed: Vec::new(),
        }
    }

    pub(super) fn carry_out(
        &mut self,
        conductor: &mut Conductor,
        track: TrackIndex,
        steps: Vec<Step>,
        frame: Option<Frame>,
    ) {
        for step in steps {
            match step {
                Step::Feed(_) => self.fed.extend(frame.map(|frame| frame.presentation.0)),
                Step::Drop(reason) => self.dropped.push(reason),
                Step::CutPart(cut) => self.open.push(Piece::Part(cut)),
                Step::Gap(gap) => self.open.push(Piece::Gap(gap)),
                Step::EndSegment(end) => {
                    if let Some(constants) = end.constants
                        && conductor.leads(track)
                    {
                        conductor.fix_target_duration(constants.target_duration);
                    }
                    self.segments.push((std::mem::take(&mut self.open), end));
                }
                Step::RequestKeyFrame(_) => {}
                Step::BeginSegment(border) => {
                    let number = conductor.begin_segment(
                        border.presentation,
                        border.zero,
                        border.is_discontinuity,
                    );
                    self.segmenter.begin(number);
                    self.first.get_or_insert(number);
                    assert_eq!(number, self.number_of_open(), "the leader's number");
                }
                Step::Join(number) => {
                    assert_eq!(self.first, None, "joins once");
                    self.first = Some(number);
                }
            }
        }
    }

    /// What the origin numbers the next segment.
    pub(super) fn number_of_open(&self) -> u64 {
        self.first.unwrap() + self.segments.len() as u64
    }

    /// Number, running time and media time in seconds of the first sample of each segment that has one there.
    pub(super) fn starts(&self) -> Vec<(u64, i64, f64)> {
        self.segments
            .iter()
            .zip(self.first.unwrap_or(0)..)
            .filter_map(|((pieces, _), number)| {
                let cut = pieces[0].cut()?;
                let media = cut.decode + cut.samples[0].composition_offset;
                let seconds = media as f64 / f64::from(self.timescale.ticks_per_second());
                Some((number, cut.captured.0, seconds))
            })
            .collect()
    }

    pub(super) fn cuts(&self) -> impl Iterator<Item = &Cut> {
        let pieces = self.segments.iter().flat_map(|(pieces, _)| pieces);
        pieces.filter_map(Piece::cut)
    }

    /// Numbers of the segments that lack media.
    pub(super) fn gaps(&self) -> Vec<u64> {
        (self.first.unwrap()..)
            .zip(&self.segments)
            .filter(|(_, (pieces, _))| pieces.iter().any(|piece| piece.cut().is_none()))
            .map(|(number, _)| number)
            .collect()
    }

    pub(super) fn constants(&self) -> Option<Constants> {
        self.segments.iter().find_map(|(_, end)| end.constants)
    }
}

/// All tracks, to their ends, each as fast as the others let it.
pub(super) fn play(players: Vec<Player>) -> Vec<Player> {
    play_at(Pace::Even, players)
}

/// How the host shares its time out among tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Even,
    /// The leader runs whenever it can, once the others have joined.
    LeaderFirst,
}

pub(super) fn play_at(pace: Pace, mut players: Vec<Player>) -> Vec<Player> {
    let mut conductor = Conductor::new(players.len(), TrackIndex(0));
    let mut idle = 0;
    while players.iter().any(|player| !player.has_ended) {
        let mut has_moved = false;
        for index in 0..players.len() {
            let track = TrackIndex(index);
            let mut rest = (0..players.len()).filter(|&other| other != index);
            let is_last = rest.all(|other| players[other].has_ended);
            let runs =
                pace == Pace::LeaderFirst && players.iter().all(|player| player.first.is_some());
            let player = &mut players[index];
            has_moved |= step(&mut conductor, track, player, is_last);
            // A follower is as fast as it may be.
            while (runs || !conductor.leads(track)) && step(&mut conductor, track, player, is_last)
            {
            }
        }
        if has_moved {
            idle = 0;
            continue;
        }
        idle += 1;
        assert!(idle < 3, "all wait for each other");
        let waiting = players
            .iter()
            .position(|player| player.has_arrived && !player.has_ended);
        conductor.give_up(TrackIndex(waiting.expect("somebody has come")));
    }
    for player in &players {
        check(player, conductor.target_duration());
    }
    check_together(&players);
    players
}

/// One input of a track, if it may. As `sink/road` does it.
pub(super) fn step(
    conductor: &mut Conductor,
    track: TrackIndex,
    player: &mut Player,
    others_are_over: bool,
) -> bool {
    let Some(&input) = player.inputs.front() else {
        if player.has_ended {
            return false;
        }
        if let Some(seconds) = conductor.target_duration() {
            player.segmenter.give_target_duration(seconds);
        }
        let steps = player.segmenter.finish();
        player.carry_out(conductor, track, steps, None);
        player.has_ended = true;
        conductor.end(track);
        return true;
    };
    let frame = match input {
        Input::Frame(frame) => frame,
        Input::Interrupt | Input::Format => {
            player.inputs.pop_front();
            let steps = match input {
                Input::Format => player.segmenter.change_format(),
                _ => player.segmenter.interrupt(),
            };
            player.carry_out(conductor, track, steps, None);
            if player.segmenter.is_interrupted() && !conductor.leads(track) {
                conductor.ask_for_break(player.segmenter.number());
            }
            return true;
        }
        Input::Silence => {
            player.inputs.pop_front();
            player.is_silent = conductor.fall_silent(track, |_| true);
            return true;
        }
    };
    if player.is_silent {
        let steps = turn::miss(conductor, &mut player.segmenter);
        let has_moved = !steps.is_empty();
        player.carry_out(conductor, track, steps, None);
        if !others_are_over && conductor.progress() < Some(frame.presentation) {
            return has_moved;
        }
        player.is_silent = false;
        conductor.arrive(track);
    }
    if !std::mem::replace(&mut player.has_arrived, true) {
        conductor.arrive(track);
    }
    let number = player.segmenter.number();
    let may_run_ahead = player.segmenter.may_run_ahead(&frame);
    match conductor.leave(track, number, frame.presentation, may_run_ahead) {
        Leave::Lead | Leave::Follow => {}
        Leave::WaitForStart | Leave::WaitForLeader => return false,
    }
    player.inputs.pop_front();
    let steps = turn::push(conductor, track, &mut player.segmenter, frame);
    player.carry_out(conductor, track, steps, Some(frame));
    if conductor.leads(track) {
        conductor.advance(frame.presentation, player.segmenter.closest_spacing());
    }
    if player.first.is_some() && !player.open.is_empty() {
        assert_eq!(
            player.segmenter.number(),
            Some(player.number_of_open()),
            "the origin and the segmenter count alike"
        );
    }
    true
}

/// What holds for each track alone.
///
/// The target duration is what the leader made it; a follower that was done with its first segment before has one of its own in
/// mind until it hears of that.
pub(super) fn check(player: &Player, target_duration: Option<u32>) {
    let mut end = None;
    let pieces = player
        .segments
        .iter()
        .flat_map(|(pieces, _)| pieces.iter().enumerate());
    for (place, piece) in pieces {
        let (decode, duration, _) = piece.place();
        if let Some(cut) = piece.cut() {
            let sum: i64 = cut.samples.iter().map(|sample| sample.duration).sum();
            assert_eq!(sum, duration, "CM-10");
            assert!(
                cut.samples.iter().all(|sample| sample.duration > 0),
                "{cut:?}"
            );
        }
        assert!(duration > 0, "{piece:?}");
        match end {
            // A follower whose interruption came too late for a discontinuity leaves a hole.
            Some(end) if place == 0 => assert!(decode >= end, "time runs back"),
            Some(end) => assert_eq!(decode, end, "CM-09: {piece:?}"),
            None => {}
        }
        end = Some(decode + duration);
    }
    let Some(constants) = player.constants() else {
        return;
    };
    for (index, (pieces, end)) in player.segments.iter().enumerate() {
        assert!(
            end.duration.to_units_nearest(1)
                <= i64::from(target_duration.unwrap_or(constants.target_duration)),
            "PL-08: {end:?}"
        );
        assert!(!pieces.is_empty());
        for (place, piece) in pieces.iter().enumerate() {
            let (.., is_discontinuity) = piece.place();
            assert!(
                place == 0 || !is_discontinuity,
                "a discontinuity opens a segment"
            );
            let Some(cut) = piece.cut() else {
                assert!(index > 0, "a gap before PART-TARGET is known");
                continue;
            };
            if index == 0 && !constants.first_segment_has_parts {
                continue;
            }
            let printed = cut.duration.to_units_nearest(100_000);
            let target = constants.part_target.to_units_ceil(100_000);
            assert!(printed <= target, "PL-15: {cut:?}");
            let is_before_gap = pieces
                .get(place + 1)
                .is_none_or(|next| next.cut().is_none());
            assert!(
                is_before_gap || printed * 100 >= target * 85,
                "PL-16: {cut:?}"
            );
        }
    }
}

/// What holds between tracks.
pub(super) fn check_together(players: &[Player]) {
    // One that ended inside the first segment could not know; the origin takes the main one's.
    let targets: Vec<u32> = players
        .iter()
        .filter(|player| player.segments.len() > 1)
        // Nor could one that was interrupted there.
        .filter(|player| {
            player.segments[0].1.cause != crate::cmaf::segmenter::SegmentEndCause::Discontinuity
        })
        .filter_map(|player| Some(player.constants()?.target_duration))
        .collect();
    assert!(
        targets.windows(2).all(|pair| pair[0] == pair[1]),
        "MV-09: {targets:?}"
    );
}

/// Discontinuities by number of the segment.
pub(super) fn breaks(player: &Player) -> Vec<u64> {
    (player.first.unwrap()..)
        .zip(&player.segments)
        .filter(|(_, (pieces, _))| pieces[0].place().2)
        .map(|(number, _)| number)
        .collect()
}

/// Segments of one number begin at the same time: of running time and of media time (MV-12).
pub(super) fn assert_in_step(one: &Player, other: &Player, within: i64) {
    let others = other.starts();
    let mut compared = 0;
    for (number, captured, media) in one.starts() {
        let Some(&(_, other_captured, other_media)) =
            others.iter().find(|(other, ..)| *other == number)
        else {
            continue;
        };
        compared += 1;
        assert!(
            (captured - other_captured).abs() <= within,
            "segment {number} begins {} ns apart",
            captured - other_captured
        );
        let apart = (media - other_media) * 1e9 - (captured - other_captured) as f64;
        assert!(
            apart.abs() <= 1e6,
            "segment {number}: {apart} ns between the tracks' media times"
        );
    }
    assert!(compared > 0, "nothing to compare");
}

pub(super) fn video_plan() -> Plan {
    Plan {
        timescale: Timescale::new(90_000).unwrap(),
        segment_duration: Nanos::from_seconds(1),
        part_duration: Nanos::from_millis(200),
        frame_duration: Some(Nanos(FRAME_30)),
        is_audio: false,
        has_company: true,
        constants: None,
    }
}

pub(super) fn audio_plan() -> Plan {
    Plan {
        timescale: Timescale::new(RATE).unwrap(),
        frame_duration: Some(Nanos(AUDIO_FRAME)),
        is_audio: true,
        ..video_plan()
    }
}

pub(super) fn frame(nanos: i64, duration: i64, is_sync: bool) -> Input {
    Input::Frame(Frame {
        decode: RunningTime(nanos),
        presentation: RunningTime(nanos),
        duration: Some(Nanos(duration)),
        is_sync,
    })
}

/// Frames from `from` to `until` milliseconds, with a key frame each `gop` from the first on.
pub(super) fn video(from: i64, until: i64, gop: i64) -> Vec<Input> {
    let (from, until) = (from * 1_000_000, until * 1_000_000);
    (0..)
        .map(|index| (index, from + index * NANOS_PER_SECOND / 30))
        .take_while(|&(_, time)| time < until)
        .map(|(index, time)| frame(time, FRAME_30, index % gop == 0))
        .collect()
}

pub(super) fn audio(from: i64, until: i64) -> Vec<Input> {
    let (from, until) = (from * 1_000_000, until * 1_000_000);
    (0..)
        .map(|index| from + index * 1024 * NANOS_PER_SECOND / i64::from(RATE))
        .take_while(|&time| time < until)
        .map(|time| frame(time, AUDIO_FRAME, true))
        .collect()
}

pub(super) fn pair(video: Vec<Input>, audio: Vec<Input>) -> Vec<Player> {
    play(pair_of(video, audio))
}

pub(super) fn pair_of(video: Vec<Input>, audio: Vec<Input>) -> Vec<Player> {
    vec![
        Player::new(video_plan(), video),
        Player::new(audio_plan(), audio),
    ]
}
