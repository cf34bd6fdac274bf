//! The segmenter against single rules, and against whatever a source may do.

use proptest::prelude::*;

use super::*;

const FRAME_30: Nanos = Nanos(33_333_333);

fn plan(timescale: u32, frame_duration: Option<Nanos>) -> Plan {
    Plan {
        timescale: Timescale::new(timescale).unwrap(),
        segment_duration: Nanos::from_seconds(1),
        part_duration: Nanos::from_millis(200),
        frame_duration,
        is_audio: false,
        has_company: false,
        constants: None,
    }
}

fn frame(nanos: i64, is_sync: bool) -> Frame {
    Frame {
        decode: RunningTime(nanos),
        presentation: RunningTime(nanos),
        duration: None,
        is_sync,
    }
}

/// `index / fps` in nanoseconds, rounded down as GStreamer's sources do.
fn at(index: i64, numerator: i64, denominator: i64) -> i64 {
    index * NANOS_PER_SECOND * denominator / numerator
}

/// Everything a run produced, checked against the rules that hold for every input.
#[derive(Debug, Default)]
struct Run {
    cuts: Vec<Cut>,
    /// Cuts per finished segment, and how it ended.
    segments: Vec<(Vec<Cut>, SegmentEnd)>,
    dropped: Vec<DropReason>,
    requests: Vec<Option<RunningTime>>,
    borders: Vec<NewBorder>,
    joined: Option<u64>,
    fed: usize,
    open: Vec<Cut>,
}

impl Run {
    fn of(plan: Plan, frames: impl IntoIterator<Item = Frame>) -> Self {
        let mut segmenter = Segmenter::new(plan);
        let mut run = Self::default();
        for frame in frames {
            run.take(segmenter.push(frame));
        }
        run.take(segmenter.finish());
        run.check();
        run
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Feed(_) => self.fed += 1,
                Step::Drop(reason) => self.dropped.push(reason),
                Step::CutPart(cut) => {
                    self.open.push(cut.clone());
                    self.cuts.push(cut);
                }
                Step::EndSegment(end) => {
                    self.segments.push((std::mem::take(&mut self.open), end));
                }
                Step::RequestKeyFrame(at) => self.requests.push(at),
                Step::BeginSegment(border) => self.borders.push(border),
                Step::Join(number) => self.joined = Some(number),
                Step::Gap(gap) => panic!("alone a track has no gap: {gap:?}"),
            }
        }
    }

    fn constants(&self) -> Option<Constants> {
        self.segments.first().and_then(|(_, end)| end.constants)
    }

    fn check(&self) {
        assert!(self.open.is_empty(), "a part outside any segment");
        let mut decode = 0;
        for cut in &self.cuts {
            assert_eq!(cut.decode, decode, "a hole in decode time (CM-09)");
            let sum: i64 = cut.samples.iter().map(|sample| sample.duration).sum();
            assert_eq!(sum, cut.duration.ticks, "CM-10");
            assert!(
                cut.samples.iter().all(|sample| sample.duration > 0),
                "a sample without duration: {cut:?}"
            );
            decode += sum;
        }
        let samples: usize = self.cuts.iter().map(|cut| cut.samples.len()).sum();
        assert_eq!(samples, self.fed, "every fed frame is a sample");

        let Some(constants) = self.constants() else {
            return;
        };
        let target = constants.part_target;
        for (index, (cuts, end)) in self.segments.iter().enumerate() {
            let sum: i64 = cuts.iter().map(|cut| cut.duration.ticks).sum();
            assert_eq!(sum, end.duration.ticks, "CM-11");
            assert!(
                end.duration.to_units_nearest(1) <= i64::from(constants.target_duration),
                "PL-08: {end:?}"
            );
            assert!(index == 0 || end.constants.is_none(), "PL-17");
            if index == 0 && !constants.first_segment_has_parts {
                continue;
            }
            for (place, cut) in cuts.iter().enumerate() {
                let printed = cut.duration.to_units_nearest(100_000);
                assert!(
                    printed <= target.to_units_ceil(100_000),
                    "PL-15: {:?} of {target:?}",
                    cut.duration
                );
                if place + 1 < cuts.len() {
                    assert!(
                        printed * 100 >= target.to_units_ceil(100_000) * 85,
                        "PL-16: {:?} of {target:?}",
                        cut.duration
                    );
                }
            }
        }
    }
}

fn constant_rate(numerator: i64, denominator: i64, frames: i64, gop: i64) -> Vec<Frame> {
    (0..frames)
        .map(|index| frame(at(index, numerator, denominator), index % gop == 0))
        .collect()
}

#[test]
fn thirty_frames_a_second_make_five_parts_of_six_frames() {
    let run = Run::of(plan(90_000, Some(FRAME_30)), constant_rate(30, 1, 90, 30));
    assert_eq!(run.segments.len(), 3);
    for (cuts, end) in &run.segments {
        assert_eq!(end.duration.ticks, 90_000);
        assert_eq!(cuts.len(), 5);
        assert!(cuts.iter().all(|cut| cut.samples.len() == 6));
    }
    let constants = run.constants().unwrap();
    assert_eq!(constants.target_duration, 1);
    assert_eq!(constants.part_target.ticks, 18_000);
    assert!(constants.first_segment_has_parts);
}

#[test]
fn a_part_closes_with_its_last_frame() {
    let mut segmenter = Segmenter::new(plan(90_000, Some(FRAME_30)));
    for index in 0..5 {
        let steps = segmenter.push(frame(at(index, 30, 1), index == 0));
        assert!(!steps.iter().any(|step| matches!(step, Step::CutPart(_))));
    }
    let steps = segmenter.push(frame(at(5, 30, 1), false));
    assert!(
        matches!(steps[..], [Step::Feed(_), Step::CutPart(_)]),
        "{steps:?}"
    );
}

#[test]
fn usual_frame_rates_fill_their_parts_exactly() {
    for (numerator, denominator, timescale) in [
        (24_000, 1001, 24_000),
        (24, 1, 90_000),
        (25, 1, 90_000),
        (30_000, 1001, 90_000),
        (30, 1, 90_000),
        (50, 1, 90_000),
        (60_000, 1001, 60_000),
        (60, 1, 90_000),
        (2, 1, 90_000),
    ] {
        let frame_duration = Nanos(at(1, numerator, denominator));
        let per_second = (numerator + denominator / 2) / denominator;
        let run = Run::of(
            plan(timescale, Some(frame_duration)),
            constant_rate(numerator, denominator, per_second * 20, per_second),
        );
        let ticks_per_frame = i64::from(timescale) * denominator / numerator;
        for cut in &run.cuts {
            assert!(
                cut.samples
                    .iter()
                    .all(|sample| sample.duration == ticks_per_frame
                        && sample.composition_offset == 0),
                "{numerator}/{denominator}: {cut:?}"
            );
        }
        assert_eq!(run.segments.len(), 20, "{numerator}/{denominator}");
    }
}

#[test]
fn key_frame_requests_form_a_grid() {
    let run = Run::of(plan(90_000, Some(FRAME_30)), constant_rate(30, 1, 90, 30));
    let half_frame = FRAME_30.0 / 2;
    let wanted: Vec<_> = (1..=5)
        .map(|second| Some(RunningTime(second * NANOS_PER_SECOND - half_frame)))
        .collect();
    assert_eq!(run.requests, wanted);
}

#[test]
fn intra_only_segments_keep_to_the_grid() {
    let run = Run::of(plan(90_000, Some(FRAME_30)), constant_rate(30, 1, 300, 1));
    assert_eq!(run.segments.len(), 10);
    assert!(
        run.segments
            .iter()
            .all(|(_, end)| end.duration.ticks == 90_000)
    );
}

#[test]
fn an_encoder_with_its_own_ntsc_gop_ends_segments_at_its_key_frames() {
    let run = Run::of(
        plan(90_000, Some(Nanos(33_366_666))),
        constant_rate(30_000, 1001, 30 * 1200, 30),
    );
    assert_eq!(run.segments.len(), 1200);
}

#[test]
fn nothing_is_fed_before_the_first_key_frame() {
    let frames: Vec<_> = (0..10)
        .map(|index| frame(at(index, 30, 1), index == 4))
        .collect();
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    assert_eq!(run.dropped, [DropReason::NoKeyFrameYet; 4]);
    assert_eq!(run.requests[0], None, "one request, at once");
    assert_eq!(run.requests.iter().filter(|at| at.is_none()).count(), 1);
    assert_eq!(run.cuts[0].decode, 0);
    assert!(!run.cuts[0].is_discontinuity);
}

#[test]
fn a_deaf_encoder_sets_the_target_duration() {
    let run = Run::of(
        plan(90_000, Some(FRAME_30)),
        constant_rate(30, 1, 1000, 250),
    );
    assert_eq!(run.constants().unwrap().target_duration, 8);
    assert!(
        run.segments[..3]
            .iter()
            .all(|(_, end)| end.cause == SegmentEndCause::KeyFrame)
    );
}

#[test]
fn a_long_gop_after_the_first_is_cut_without_a_key_frame() {
    let mut frames = constant_rate(30, 1, 60, 30);
    frames.extend((60..300).map(|index| frame(at(index, 30, 1), index == 60 || index == 250)));
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    let forced = run
        .segments
        .iter()
        .filter(|(_, end)| end.cause == SegmentEndCause::NoKeyFrame);
    assert!(forced.count() >= 3);
    let starts: Vec<_> = run
        .segments
        .iter()
        .map(|(cuts, _)| cuts[0].samples[0].is_sync)
        .collect();
    assert!(
        starts.ends_with(&[true, true]) || starts.ends_with(&[true, false]),
        "{starts:?}"
    );
}

#[test]
fn a_first_segment_without_end_is_cut_at_last() {
    let run = Run::of(
        plan(90_000, Some(FRAME_30)),
        constant_rate(30, 1, 1200, 100_000),
    );
    assert_eq!(run.constants().unwrap().target_duration, 15);
    assert_eq!(run.segments[0].1.cause, SegmentEndCause::NoKeyFrame);
}

#[test]
fn two_frames_a_second_are_a_part_each() {
    let run = Run::of(
        plan(90_000, Some(Nanos::from_millis(500))),
        constant_rate(2, 1, 20, 2),
    );
    assert_eq!(run.constants().unwrap().part_target.ticks, 45_000);
    assert!(run.cuts.iter().all(|cut| cut.samples.len() == 1));
}

#[test]
fn frames_without_duration_or_rate_wait_for_the_second_frame() {
    let run = Run::of(plan(90_000, None), constant_rate(25, 1, 100, 25));
    assert_eq!(run.constants().unwrap().part_target.ticks, 18_000);
    assert!(run.cuts.iter().all(|cut| cut.samples.len() == 5));
}

#[test]
fn a_single_frame_makes_a_stream() {
    let run = Run::of(plan(90_000, None), [frame(0, true)]);
    assert_eq!(run.segments.len(), 1);
    assert_eq!(run.cuts[0].duration.ticks, 18_000);
}

#[test]
fn spacing_that_doubles_keeps_every_part_within_its_target() {
    let mut now = 0;
    let frames: Vec<_> = (0..600)
        .map(|index| {
            now += if index < 100 {
                FRAME_30.0
            } else {
                2 * FRAME_30.0
            };
            Frame {
                duration: Some(FRAME_30),
                ..frame(now, index % 15 == 0)
            }
        })
        .collect();
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    assert!(run.cuts.iter().all(|cut| !cut.is_discontinuity));
    assert_eq!(run.constants().unwrap().part_target.ticks, 18_000);
}

#[test]
fn a_key_frame_that_was_asked_for_ends_the_segment_whatever_the_spacing_was_then() {
    // A hole just before the frame at 4.1 s, which opens a segment: the newest spacing is 0.23 s when it asks.
    let times = (0..300).filter(|index| !(117..123).contains(index));
    let mut segmenter = Segmenter::new(plan(90_000, Some(FRAME_30)));
    let mut run = Run::default();
    let mut answered = 0;
    for time in times.map(|index| at(index, 30, 1)) {
        let due = |at: &Option<RunningTime>| at.is_none_or(|at| at.0 <= time);
        let has_request = run.requests[answered..].iter().any(due);
        let is_sync = time == 0 || has_request;
        if is_sync {
            answered = run.requests.iter().filter(|at| due(at)).count();
        }
        run.take(segmenter.push(frame(time, is_sync)));
    }
    run.take(segmenter.finish());
    run.check();
    for (_, end) in &run.segments[..run.segments.len() - 1] {
        assert_eq!(end.cause, SegmentEndCause::KeyFrame);
    }
}

#[test]
fn a_camera_slower_than_its_part_target_raises_it_before_the_first_playlist() {
    let frames = (0..40).map(|index| frame(index * 400_000_000, true));
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    let constants = run.constants().unwrap();
    assert!(constants.part_target.ticks >= 30_000, "{constants:?}");
    assert!(!constants.first_segment_has_parts);
}

#[test]
fn a_short_hole_is_bridged_and_presentation_times_stay() {
    let mut frames = constant_rate(30, 1, 45, 30);
    frames.extend((45..90).map(|index| frame(at(index, 30, 1) + 900_000_000, index % 30 == 0)));
    let source: Vec<_> = frames.iter().map(|frame| frame.presentation.0).collect();
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    assert!(run.cuts.iter().all(|cut| !cut.is_discontinuity));
    let timescale = Timescale::new(90_000).unwrap();
    let mut decode = 0;
    let mut presented = Vec::new();
    for sample in run.cuts.iter().flat_map(|cut| &cut.samples) {
        presented.push(decode + sample.composition_offset);
        decode += sample.duration;
    }
    let wanted: Vec<_> = source
        .iter()
        .map(|&nanos| timescale.ticks(Nanos(nanos)))
        .collect();
    assert_eq!(presented, wanted);
}

#[test]
fn a_long_hole_is_a_discontinuity_that_starts_with_a_key_frame() {
    let mut frames = constant_rate(30, 1, 45, 30);
    frames.extend((45..120).map(|index| frame(at(index, 30, 1) + 5_000_000_000, index % 30 == 0)));
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    let jumps: Vec<_> = run.cuts.iter().filter(|cut| cut.is_discontinuity).collect();
    assert_eq!(jumps.len(), 1);
    assert!(jumps[0].samples[0].is_sync);
    assert_eq!(
        jumps[0].captured,
        RunningTime(at(60, 30, 1) + 5_000_000_000)
    );
    assert_eq!(jumps[0].date, jumps[0].captured);
    assert_eq!(run.dropped, [DropReason::NoKeyFrameYet; 15]);
    let opener = run
        .segments
        .iter()
        .find(|(cuts, _)| cuts[0].is_discontinuity);
    assert!(opener.is_some(), "a discontinuity opens a segment");
}

#[test]
fn a_jump_back_is_a_discontinuity_and_a_step_back_a_dropped_frame() {
    let mut frames = constant_rate(30, 1, 60, 30);
    frames.push(frame(at(58, 30, 1), false));
    frames.extend(constant_rate(30, 1, 60, 30));
    let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
    assert_eq!(run.dropped, [DropReason::Backwards]);
    assert_eq!(
        run.cuts.iter().filter(|cut| cut.is_discontinuity).count(),
        1
    );
}

/// All of it is key frames, and none is worth a second of its own time.
#[test]
fn sound_that_steps_back_is_dropped_until_it_is_new() {
    let sound = Plan {
        is_audio: true,
        ..plan(48_000, None)
    };
    let frame = |index| frame(at(index, 48_000, 1024), true);
    let run = Run::of(sound, (0..100).chain(76..200).map(frame));
    assert_eq!(run.dropped, [DropReason::Backwards; 24]);
    let samples = run.cuts.iter().flat_map(|cut| &cut.samples);
    let (shortest, count) = samples.fold((i64::MAX, 0), |(least, count), sample| {
        (least.min(sample.duration), count + 1)
    });
    assert!(shortest >= 1023, "{shortest}");
    assert_eq!(count, 200);
}

#[test]
fn an_interruption_ends_the_segment_and_waits_for_a_key_frame() {
    let mut segmenter = Segmenter::new(plan(90_000, Some(FRAME_30)));
    let mut run = Run::default();
    for index in 0..10 {
        run.take(segmenter.push(frame(at(index, 30, 1), index == 0)));
    }
    run.take(segmenter.interrupt());
    for index in 10..20 {
        run.take(segmenter.push(frame(at(index, 30, 1), index == 12)));
    }
    run.take(segmenter.finish());
    run.check();
    assert_eq!(run.segments[0].1.cause, SegmentEndCause::Discontinuity);
    assert_eq!(run.dropped.len(), 2);
    assert!(run.segments[1].0[0].is_discontinuity);
}

#[test]
fn negative_decode_times_start_the_line_at_zero() {
    let frames = (0..60).map(|index| Frame {
        decode: RunningTime(at(index, 25, 1) - 80_000_000),
        presentation: RunningTime(at(index, 25, 1)),
        duration: Some(Nanos::from_millis(40)),
        is_sync: index % 25 == 0,
    });
    let run = Run::of(plan(90_000, Some(Nanos::from_millis(40))), frames);
    assert_eq!(run.cuts[0].decode, 0);
    assert_eq!(run.cuts[0].samples[0].composition_offset, 7200);
    // PROGRAM-DATE-TIME is the capture time of the first sample, not its decode time.
    assert_eq!(run.cuts[0].date, RunningTime(0));
    assert_eq!(
        run.cuts[1].date - run.cuts[0].date,
        run.cuts[0].duration.nanos()
    );
}

#[test]
fn an_end_before_the_first_frame_yields_nothing() {
    let mut segmenter = Segmenter::new(plan(90_000, None));
    assert_eq!(segmenter.push(frame(0, false)).len(), 2);
    assert_eq!(segmenter.finish(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Jitter, changing rates, holes, steps back, key frames anywhere, with and without durations.
    #[test]
    fn any_source_makes_a_legal_line(
        rate in prop::sample::select(vec![2_i64, 5, 10, 15, 24, 25, 30, 48, 50, 60, 120]),
        caps in any::<bool>(),
        durations in any::<bool>(),
        jitter in 0_i64..8_000_000,
        key_share in 1_u32..60,
        reorder in 0_i64..4,
        steps in prop::collection::vec((any::<i16>(), 0_u32..60, 0_u32..200), 1..400),
    ) {
        let nominal = NANOS_PER_SECOND / rate;
        let mut now = 3_600_000_000_000_000_i64;
        let frames = steps.into_iter().map(|(noise, key, event)| {
            now += match event {
                0 => 700_000_000,
                1 => 40 * NANOS_PER_SECOND,
                2 => -3 * NANOS_PER_SECOND,
                3 => -nominal,
                4..=20 => 2 * nominal,
                _ => nominal,
            };
            let decode = now + i64::from(noise) * jitter.min(nominal / 4) / i64::from(i16::MAX);
            Frame {
                decode: RunningTime(decode),
                presentation: RunningTime(decode + reorder * nominal),
                duration: durations.then_some(Nanos(nominal)),
                is_sync: key < key_share,
            }
        });
        Run::of(plan(90_000, caps.then_some(Nanos(nominal))), frames);
    }

    /// What the issue of a camera in the dark is about: dropped frames, nominal durations.
    #[test]
    fn dropped_frames_never_make_a_discontinuity(drops in prop::collection::vec(any::<bool>(), 100..600)) {
        let frames = drops.iter().enumerate().filter(|&(index, &is_dropped)| index == 0 || !is_dropped).map(
            |(index, _)| Frame {
                duration: Some(FRAME_30),
                ..frame(at(index as i64, 30, 1), index % 30 == 0)
            },
        );
        let run = Run::of(plan(90_000, Some(FRAME_30)), frames);
        prop_assert!(run.cuts.iter().all(|cut| !cut.is_discontinuity));
        // Decode time runs ahead of presentation by less than a part, whatever is dropped.
        let offsets = run.cuts.iter().skip(10).flat_map(|cut| &cut.samples).map(|sample| sample.composition_offset);
        prop_assert!(offsets.min().unwrap_or(0) > -18_000, "decode time runs ahead of presentation");
    }
}
