//! Several tracks under one conductor.

mod players;

use proptest::prelude::*;

use super::{
    conductor::Border,
    segmenter::{DropReason, Frame, Segmenter, Step},
};
use crate::time::{NANOS_PER_SECOND, Nanos, RunningTime};
use players::*;

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

/// What it waited for then must not hold it back when it follows later.
#[test]
fn a_leader_that_once_changed_its_format_comes_back_from_a_silence() {
    let mut frames = video(0, 3_500, 30);
    frames.push(Input::Format);
    frames.extend(video(3_500, 6_500, 30));
    frames.push(Input::Silence);
    frames.extend(video(9_500, 14_000, 30));
    let players = pair(frames, audio(0, 14_000));
    let (last, _) = players[VIDEO].segments.last().unwrap();
    assert!(last.iter().all(|piece| piece.cut().is_some()), "{last:?}");
    assert_eq!(breaks(&players[VIDEO]), breaks(&players[AUDIO]));
    assert_in_step(&players[VIDEO], &players[AUDIO], AUDIO_FRAME + 1);
}

/// Periodic intra refresh: no key frame ever comes again.
#[test]
fn a_leader_without_key_frames_goes_on_after_a_while() {
    let mut frames = video(0, 3_000, 30);
    frames.push(Input::Silence);
    frames.extend(
        video(5_000, 14_000, 30)
            .into_iter()
            .map(|input| match input {
                Input::Frame(frame) => Input::Frame(Frame {
                    is_sync: false,
                    ..frame
                }),
                other => other,
            }),
    );
    // Nobody else can lead.
    let players = pair(frames, audio(0, 2_000));
    let (last, _) = players[VIDEO].segments.last().unwrap();
    assert!(last.iter().any(|piece| piece.cut().is_some()), "{last:?}");
}

/// Sound that led while its format changed, and then has a picture beside it that leads.
#[test]
fn sound_that_changed_its_format_while_it_led_stays() {
    let mut sound = audio(0, 4_500);
    sound.push(Input::Format);
    sound.extend(audio(4_520, 14_000));
    let mut frames = video(0, 2_000, 30);
    frames.push(Input::Silence);
    frames.extend(video(7_000, 14_000, 30));
    let players = pair(frames, sound);
    let (last, _) = players[AUDIO].segments.last().unwrap();
    assert!(last.iter().all(|piece| piece.cut().is_some()), "{last:?}");
    let lost = players[AUDIO].dropped.len();
    assert!(lost < 50, "{lost} frames of sound");
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
        events in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u8..8, 200_i64..6_000), 1..6),
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
                    6 => track.push(Input::Format),
                    _ => {}
                }
            }
        }
        let video = Player::new(video_plan(), frames);
        let audio = Player::new(audio_plan(), sound);
        play(if leader_is_audio { vec![audio, video] } else { vec![video, audio] });
    }
}
