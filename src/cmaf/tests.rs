//! Several tracks under one conductor, as the sink runs them, without threads: whoever may go on does.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{
    conductor::{Border, Conductor, Leave, TrackIndex},
    segmenter::{Constants, Cut, DropReason, Frame, Gap, Plan, SegmentEnd, Segmenter, Step},
    turn,
};
use crate::time::{NANOS_PER_SECOND, Nanos, RunningTime, Timescale};

const VIDEO: usize = 0;
const AUDIO: usize = 1;
const FRAME_30: i64 = NANOS_PER_SECOND / 30;
const RATE: u32 = 48_000;
const AUDIO_FRAME: i64 = 1024 * NANOS_PER_SECOND / RATE as i64;

#[derive(Clone, Copy, Debug)]
enum Input {
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
enum Piece {
    Part(Cut),
    Gap(Gap),
}

impl Piece {
    fn cut(&self) -> Option<&Cut> {
        match self {
            Self::Part(cut) => Some(cut),
            Self::Gap(_) => None,
        }
    }

    /// Decode time, duration, and whether it is a discontinuity.
    fn place(&self) -> (i64, i64, bool) {
        match self {
            Self::Part(cut) => (cut.decode, cut.duration.ticks, cut.is_discontinuity),
            Self::Gap(gap) => (gap.decode, gap.duration.ticks, gap.is_discontinuity),
        }
    }
}

/// One track and what came of it.
struct Player {
    inputs: VecDeque<Input>,
    segmenter: Segmenter,
    timescale: Timescale,
    has_arrived: bool,
    has_ended: bool,
    is_silent: bool,
    first: Option<u64>,
    /// What is in each finished segment.
    segments: Vec<(Vec<Piece>, SegmentEnd)>,
    open: Vec<Piece>,
    dropped: Vec<DropReason>,
    /// Presentation times of what was fed.
    fed: Vec<i64>,
}

impl Player {
    fn new(plan: Plan, inputs: impl IntoIterator<Item = Input>) -> Self {
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

    fn carry_out(
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
    fn number_of_open(&self) -> u64 {
        self.first.unwrap() + self.segments.len() as u64
    }

    /// Number, running time and media time in seconds of the first sample of each segment that has one there.
    fn starts(&self) -> Vec<(u64, i64, f64)> {
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

    fn cuts(&self) -> impl Iterator<Item = &Cut> {
        let pieces = self.segments.iter().flat_map(|(pieces, _)| pieces);
        pieces.filter_map(Piece::cut)
    }

    /// Numbers of the segments that lack media.
    fn gaps(&self) -> Vec<u64> {
        (self.first.unwrap()..)
            .zip(&self.segments)
            .filter(|(_, (pieces, _))| pieces.iter().any(|piece| piece.cut().is_none()))
            .map(|(number, _)| number)
            .collect()
    }

    fn constants(&self) -> Option<Constants> {
        self.segments.iter().find_map(|(_, end)| end.constants)
    }
}

/// All tracks, to their ends, each as fast as the others let it.
fn play(players: Vec<Player>) -> Vec<Player> {
    play_at(Pace::Even, players)
}

/// How the host shares its time out among tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Even,
    /// The leader runs whenever it can, once the others have joined.
    LeaderFirst,
}

fn play_at(pace: Pace, mut players: Vec<Player>) -> Vec<Player> {
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
        check(player);
    }
    check_together(&players);
    players
}

/// One input of a track, if it may. As `sink/road` does it.
fn step(
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
fn check(player: &Player) {
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
            end.duration.to_units_nearest(1) <= i64::from(constants.target_duration),
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
fn check_together(players: &[Player]) {
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
fn breaks(player: &Player) -> Vec<u64> {
    (player.first.unwrap()..)
        .zip(&player.segments)
        .filter(|(_, (pieces, _))| pieces[0].place().2)
        .map(|(number, _)| number)
        .collect()
}

/// Segments of one number begin at the same time: of running time and of media time (MV-12).
fn assert_in_step(one: &Player, other: &Player, within: i64) {
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

fn video_plan() -> Plan {
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

fn audio_plan() -> Plan {
    Plan {
        timescale: Timescale::new(RATE).unwrap(),
        frame_duration: Some(Nanos(AUDIO_FRAME)),
        is_audio: true,
        ..video_plan()
    }
}

fn frame(nanos: i64, duration: i64, is_sync: bool) -> Input {
    Input::Frame(Frame {
        decode: RunningTime(nanos),
        presentation: RunningTime(nanos),
        duration: Some(Nanos(duration)),
        is_sync,
    })
}

/// Frames from `from` to `until` milliseconds, with a key frame each `gop` from the first on.
fn video(from: i64, until: i64, gop: i64) -> Vec<Input> {
    let (from, until) = (from * 1_000_000, until * 1_000_000);
    (0..)
        .map(|index| (index, from + index * NANOS_PER_SECOND / 30))
        .take_while(|&(_, time)| time < until)
        .map(|(index, time)| frame(time, FRAME_30, index % gop == 0))
        .collect()
}

fn audio(from: i64, until: i64) -> Vec<Input> {
    let (from, until) = (from * 1_000_000, until * 1_000_000);
    (0..)
        .map(|index| from + index * 1024 * NANOS_PER_SECOND / i64::from(RATE))
        .take_while(|&time| time < until)
        .map(|time| frame(time, AUDIO_FRAME, true))
        .collect()
}

fn pair(video: Vec<Input>, audio: Vec<Input>) -> Vec<Player> {
    play(pair_of(video, audio))
}

fn pair_of(video: Vec<Input>, audio: Vec<Input>) -> Vec<Player> {
    vec![
        Player::new(video_plan(), video),
        Player::new(audio_plan(), audio),
    ]
}

#[test]
fn audio_begins_its_segments_within_a_frame_of_the_videos() {
    let players = pair(video(0, 20_000, 30), audio(0, 20_000));
    assert_eq!(players[VIDEO].segments.len(), 20);
    assert_eq!(players[AUDIO].segments.len(), 20);
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
    for player in &players {
        assert!(player.dropped.is_empty());
        assert!(breaks(player).is_empty());
    }
    for cut in players[AUDIO].cuts() {
        for sample in &cut.samples {
            assert!((1023..=1025).contains(&sample.duration), "{sample:?}");
        }
    }
}

/// At a border too: that the next frame is behind it is known when this one ends there, which in live time is when it comes.
#[test]
fn sound_does_not_wait_for_the_frame_after_a_part() {
    let mut segmenter = Segmenter::new(audio_plan());
    segmenter.give_target_duration(1);
    let border = |number: u64| {
        let presentation = RunningTime(i64::try_from(number).unwrap() * NANOS_PER_SECOND);
        Border {
            number,
            presentation,
            is_discontinuity: false,
            zero: RunningTime(0),
            ended: presentation,
            left_at: None,
        }
    };
    let (mut parts, mut segments) = (0, 0);
    for input in audio(0, 10_000) {
        let Input::Frame(frame) = input else { continue };
        let next = segmenter.number().map_or(0, |number| number + 1);
        let steps = segmenter.push_following(frame, Some(border(next)));
        let place = |is: fn(&Step) -> bool| steps.iter().position(is);
        let fed = place(|step| matches!(step, Step::Feed(_)));
        let cut = place(|step| matches!(step, Step::CutPart(_)));
        assert!(cut.is_none() || fed < cut, "{steps:?}");
        parts += usize::from(cut.is_some());
        segments += usize::from(place(|step| matches!(step, Step::EndSegment(_))).is_some());
    }
    assert_eq!(segments, 9);
    assert!(parts >= 50, "{parts}");
}

#[test]
fn the_offset_of_the_input_is_kept() {
    // Audio first, by 7.3 ms; the frame that begins before the video is left out.
    let players = pair(video(1_000, 5_000, 30), audio(993, 5_000));
    assert_eq!(players[AUDIO].dropped, [DropReason::BeforeJoining]);
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
    let first = &players[AUDIO].starts()[0];
    let late = first.1 - 1_000_000_000;
    assert!(((first.2 * 1e9) as i64 - late).abs() <= 1_000_000_000 / i64::from(RATE));
}

#[test]
fn b_frames_of_the_video_do_not_move_the_audio() {
    let delayed = video(0, 6_000, 30).into_iter().map(|input| match input {
        Input::Frame(frame) => Input::Frame(Frame {
            decode: frame.decode + Nanos(-2 * FRAME_30),
            ..frame
        }),
        other => other,
    });
    let players = pair(delayed.collect(), audio(0, 6_000));
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

#[test]
fn a_late_track_joins_with_the_right_number() {
    let players = pair(video(0, 10_000, 30), audio(3_300, 10_000));
    assert_eq!(players[AUDIO].first, Some(4), "the border at 4 s");
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
    // And on the border itself.
    let players = pair(video(0, 10_000, 30), audio(3_000, 10_000));
    assert_eq!(players[AUDIO].first, Some(3));
}

#[test]
fn late_video_follows_audio_that_began() {
    let mut players = vec![
        Player::new(audio_plan(), audio(0, 10_000)),
        Player::new(video_plan(), video(3_000, 10_000, 30)),
    ];
    players = play(players);
    assert_eq!(players[0].segments.len(), 10);
    let first = players[1].first.unwrap();
    assert!((3..=4).contains(&first), "{first}");
    assert_in_step(&players[0], &players[1], 1_000_000_000);
}

#[test]
fn who_follows_takes_the_lead_when_the_leader_ends() {
    let players = pair(video(0, 5_000, 30), audio(0, 12_000));
    assert_eq!(players[VIDEO].segments.len(), 5);
    let lengths = players[AUDIO].segments.len();
    assert!((12..=13).contains(&lengths), "{lengths}");
    assert!(breaks(&players[AUDIO]).is_empty());
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

#[test]
fn a_follower_may_end_early() {
    let players = pair(video(0, 8_000, 30), audio(0, 2_500));
    assert_eq!(players[VIDEO].segments.len(), 8);
    assert_eq!(players[AUDIO].segments.len(), 3);
}

#[test]
fn a_leader_that_changes_its_format_takes_the_others_along() {
    let mut frames = video(0, 3_500, 30);
    frames.push(Input::Interrupt);
    frames.extend(video(3_500, 8_000, 30));
    let players = pair(frames, audio(0, 8_000));
    assert_eq!(breaks(&players[VIDEO]), [4]);
    assert_eq!(breaks(&players[AUDIO]), [4]);
    assert!(players[AUDIO].dropped.is_empty());
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

#[test]
fn a_follower_that_changes_its_format_is_followed_by_the_leader() {
    let mut frames = audio(0, 3_500);
    frames.push(Input::Interrupt);
    frames.extend(audio(3_520, 8_000));
    let players = pair(video(0, 8_000, 30), frames);
    assert_eq!(breaks(&players[AUDIO]), [4]);
    assert_eq!(breaks(&players[VIDEO]), [4]);
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

/// The leader may be several segments further when a follower's format changes.
#[test]
fn another_format_begins_where_all_have_a_discontinuity() {
    for pace in [Pace::Even, Pace::LeaderFirst] {
        let mut rung = video(0, 3_000, 30);
        rung.push(Input::Format);
        rung.extend(video(3_000, 9_000, 30));
        let rungs = vec![
            Player::new(video_plan(), video(0, 9_000, 30)),
            Player::new(video_plan(), rung),
        ];
        let players = play_at(pace, rungs);
        // Once the leader is over the other one leads, and needs to ask nobody.
        let mut of_rung = breaks(&players[1]);
        of_rung.retain(|&number| number < players[0].segments.len() as u64);
        assert_eq!(breaks(&players[0]), of_rung, "{pace:?}");
        for (number, (pieces, _)) in players[1].segments.iter().enumerate() {
            let is_before = number < 3 || pieces.iter().all(|piece| piece.cut().is_none());
            let is_after = breaks(&players[1])
                .first()
                .is_some_and(|&first| number as u64 >= first);
            assert!(
                is_before || is_after,
                "{pace:?}: segment {number} in the new format"
            );
        }
    }
}

#[test]
fn an_interrupted_follower_that_stays_away_keeps_its_numbers() {
    let mut rung = video(0, 2_500, 30);
    rung.push(Input::Interrupt);
    rung.push(Input::Silence);
    rung.extend(video(8_000, 12_000, 30));
    let rungs = vec![
        Player::new(video_plan(), video(0, 12_000, 30)),
        Player::new(video_plan(), rung),
    ];
    let players = play(rungs);
    assert_eq!(breaks(&players[0]), breaks(&players[1]));
    assert_in_step(&players[0], &players[1], NANOS_PER_SECOND / 30);
    assert!(players[1].gaps().len() >= 4, "{:?}", players[1].gaps());
}

#[test]
fn both_jump_forwards() {
    let mut frames = video(0, 3_500, 30);
    frames.extend(video(60_000, 65_000, 30));
    let mut sound = audio(0, 3_500);
    sound.extend(audio(60_000, 65_000));
    let players = pair(frames, sound);
    assert_eq!(breaks(&players[VIDEO]), [4]);
    assert_eq!(breaks(&players[AUDIO]), [4]);
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

/// Where the leader is after its jumps says nothing of where a follower is before them.
#[test]
fn a_follower_far_behind_goes_through_each_jump() {
    let mut frames = video(10_000, 13_000, 30);
    frames.extend(video(60_000, 63_000, 30));
    frames.extend(video(1_000, 7_000, 30));
    let mut sound = audio(10_000, 13_000);
    sound.extend(audio(60_000, 63_000));
    sound.extend(audio(1_000, 7_000));
    let players = play_at(Pace::LeaderFirst, pair_of(frames, sound));
    assert_eq!(players[AUDIO].gaps(), [0; 0]);
    assert_eq!(breaks(&players[VIDEO]), [3, 6]);
    assert_eq!(breaks(&players[AUDIO]), [3, 6]);
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

#[test]
fn both_jump_back_and_nobody_waits_for_what_was() {
    // The sound of the old line is longer, as it usually is.
    let mut frames = video(0, 9_500, 30);
    frames.extend(video(100, 5_000, 30));
    let mut sound = audio(0, 9_700);
    sound.extend(audio(100, 5_000));
    let players = pair(frames, sound);
    assert_eq!(breaks(&players[VIDEO]), [10]);
    assert_eq!(breaks(&players[AUDIO]), [10]);
    let fed = players[AUDIO].fed.len();
    assert!(
        fed >= audio(0, 9_700).len() + audio(100, 5_000).len() - 2,
        "{fed}"
    );
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

#[test]
fn only_the_leader_jumps_back() {
    let mut frames = video(0, 4_500, 30);
    frames.extend(video(100, 9_000, 30));
    let players = pair(frames, audio(0, 9_000));
    assert_eq!(breaks(&players[VIDEO]), breaks(&players[AUDIO]));
}

#[test]
fn a_ladder_cuts_where_its_first_rung_does() {
    let rung = || Player::new(video_plan(), video(0, 10_000, 30));
    let players = play(vec![rung(), rung(), rung()]);
    for player in &players {
        assert_eq!(player.segments.len(), 10);
        assert_in_step(&players[0], player, 0);
    }
}

#[test]
fn a_rung_without_its_key_frames_keeps_its_numbers() {
    let players = play(vec![
        Player::new(video_plan(), video(0, 20_000, 30)),
        // A deaf encoder, a key frame each 4 s.
        Player::new(video_plan(), video(0, 20_000, 120)),
    ]);
    let lag = players[0]
        .segments
        .len()
        .abs_diff(players[1].segments.len());
    assert!(lag <= 1, "{lag}");
    assert_in_step(&players[0], &players[1], NANOS_PER_SECOND);
}

/// Frames until `from`, nothing until `to`, and nobody waits meanwhile.
fn stalled(frames: Vec<Input>, from: i64, to: i64) -> Vec<Input> {
    let time = |input: &Input| match input {
        Input::Frame(frame) => frame.presentation.0 / 1_000_000,
        _ => 0,
    };
    let mut all: Vec<Input> = frames
        .iter()
        .copied()
        .filter(|input| time(input) < from)
        .collect();
    all.push(Input::Silence);
    all.extend(frames.into_iter().filter(|input| time(input) >= to));
    all
}

#[test]
fn a_leader_that_stalls_leaves_the_lead_and_takes_it_back() {
    let players = pair(
        stalled(video(0, 20_000, 30), 4_500, 9_300),
        audio(0, 20_000),
    );
    let (video, audio) = (&players[VIDEO], &players[AUDIO]);
    assert_eq!(audio.gaps(), [0; 0]);
    assert!(audio.dropped.is_empty());
    // Half of the segment it stalled in, all until it is back, and what is left of that second.
    assert_eq!(video.gaps(), [4, 5, 6, 7, 8, 9]);
    for player in &players {
        assert!(breaks(player).is_empty());
        assert_eq!(player.segments.len(), 20);
    }
    assert_in_step(video, audio, AUDIO_FRAME + 1);
    // The key frame at 10 s: until then its time goes on without it, to a tick.
    let starts = video.starts();
    assert_eq!(starts[5].0, 10);
    assert!((starts[5].1 - 10_000_000_000).abs() < AUDIO_FRAME);
    // From there on it leads: the sound begins where the picture does, or after it.
    for (number, captured, _) in &starts[6..] {
        let sound = audio.starts();
        let (_, other, _) = sound.iter().find(|(other, ..)| other == number).unwrap();
        assert!((0..=AUDIO_FRAME).contains(&(other - captured)), "{number}");
    }
}

#[test]
fn a_leader_that_is_back_without_a_key_frame_at_the_border_joins_inside_a_segment() {
    // A deaf encoder with key frames each 1.67 s.
    let frames = stalled(video(1_700, 20_000, 50), 4_500, 9_000);
    let players = pair(frames, audio(1_700, 20_000));
    let video = &players[VIDEO];
    assert!(video.dropped.contains(&DropReason::NoKeyFrameYet));
    assert!(video.cuts().all(|cut| cut.samples.len() <= 6));
    let back = video
        .cuts()
        .find(|cut| cut.captured.0 > 9_000_000_000)
        .unwrap();
    assert_eq!(back.captured.0 / 1_000_000, 10_033);
    assert!(back.samples[0].is_sync);
    assert_in_step(video, &players[AUDIO], AUDIO_FRAME + 1);
}

/// Periodic intra refresh: there is a key frame at the start and no more.
#[test]
fn a_rung_without_any_key_frames_comes_back_all_the_same() {
    let rung = || {
        let without = |(index, input)| match input {
            Input::Frame(frame) => Input::Frame(Frame {
                is_sync: frame.is_sync && index == 0,
                ..frame
            }),
            other => other,
        };
        let frames = video(0, 20_000, 30).into_iter().enumerate();
        frames.map(without).collect::<Vec<_>>()
    };
    let mut with_hole = rung();
    with_hole.drain(120..180);
    let players = play(vec![
        Player::new(video_plan(), video(0, 20_000, 30)),
        Player::new(video_plan(), with_hole),
    ]);
    assert!(breaks(&players[1]).is_empty());
    // Two seconds are missing, and five were waited for a key frame.
    let back = players[1].cuts().find(|cut| cut.captured.0 > 4_100_000_000);
    let back = back.unwrap().captured.0;
    assert!((11_000_000_000..11_500_000_000).contains(&back), "{back}");
    assert_eq!(players[1].segments.len(), 20);
}

#[test]
fn a_rung_with_a_hole_of_several_segments_has_gaps_and_the_same_numbers() {
    let mut with_hole = video(0, 3_500, 30);
    with_hole.extend(video(0, 20_000, 30).into_iter().skip(7 * 30 + 10));
    let players = play(vec![
        Player::new(video_plan(), video(0, 20_000, 30)),
        Player::new(video_plan(), with_hole),
        Player::new(audio_plan(), audio(0, 20_000)),
    ]);
    assert_eq!(players[1].gaps(), [3, 4, 5, 6, 7]);
    for player in &players {
        assert!(breaks(player).is_empty());
        assert_eq!(player.segments.len(), 20);
    }
    assert_in_step(&players[0], &players[1], 0);
}

#[test]
fn a_discontinuity_meanwhile_counts_for_who_is_silent_too() {
    let frames = stalled(video(0, 20_000, 30), 4_500, 9_300);
    let mut sound = audio(0, 6_200);
    sound.push(Input::Interrupt);
    sound.extend(audio(6_200, 20_000));
    let players = pair(frames, sound);
    assert_eq!(breaks(&players[VIDEO]), breaks(&players[AUDIO]));
    assert_eq!(breaks(&players[VIDEO]).len(), 1);
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

#[test]
fn an_hour_of_a_slower_audio_clock_does_not_drift() {
    let drift = |time: i64| time + time / 10_000;
    let sound = audio(0, 3_599_000).into_iter().map(|input| match input {
        Input::Frame(frame) => Input::Frame(Frame {
            decode: RunningTime(drift(frame.decode.0)),
            presentation: RunningTime(drift(frame.presentation.0)),
            ..frame
        }),
        other => other,
    });
    let players = pair(video(0, 3_600_000, 30), sound.collect());
    assert_eq!(players[VIDEO].segments.len(), 3600);
    assert!(breaks(&players[AUDIO]).is_empty());
    assert_in_step(&players[VIDEO], &players[AUDIO], 2 * AUDIO_FRAME);
    // Where each sample is against where its frame was.
    let mut fed = players[AUDIO].fed.iter();
    let mut worst = 0;
    for cut in players[AUDIO].cuts() {
        let mut decode = cut.decode;
        for sample in &cut.samples {
            let shown = players[AUDIO].timescale.nanos(decode).0;
            worst = worst.max((shown - fed.next().unwrap()).abs());
            decode += sample.duration;
        }
    }
    assert!(worst <= 1_000_000, "{worst} ns");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Jitter, holes, jumps, changes of format, of one or both, and any phase between them.
    #[test]
    fn any_two_tracks_make_legal_lines(
        offset in -500_i64..3_500,
        gop in 10_i64..70,
        events in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u8..7, 200_i64..6_000), 1..6),
        leader_is_audio in any::<bool>(),
    ) {
        let mut frames = Vec::new();
        let mut sound = Vec::new();
        let (mut video_at, mut audio_at) = (10_000, 10_000 + offset);
        for (to_video, to_audio, event, length) in events {
            frames.extend(video(video_at, video_at + length, gop));
            sound.extend(audio(audio_at, audio_at + length));
            video_at += length;
            audio_at += length;
            for (applies, at, track) in [(to_video, &mut video_at, &mut frames), (to_audio, &mut audio_at, &mut sound)] {
                match event {
                    _ if !applies => {}
                    0 => *at += 300,
                    1 => *at += 2_500,
                    2 => *at += 20_000,
                    3 => *at -= 4_000,
                    4 => track.push(Input::Interrupt),
                    5 => {
                        track.push(Input::Silence);
                        *at += 4_000;
                    }
                    _ => {}
                }
            }
        }
        let video = Player::new(video_plan(), frames);
        let audio = Player::new(audio_plan(), sound);
        play(if leader_is_audio { vec![audio, video] } else { vec![video, audio] });
    }
}
