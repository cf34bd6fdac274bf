//! A frame of one of several tracks, under their conductor.
//!
//! Belongs here: what a frame means for the track itself and for who leads. Does not: waiting for the frame's turn
//! (`sink/ensemble`), carrying out the steps (`sink/road`).

use super::{
    conductor::{Border, Conductor, TrackIndex},
    segmenter::{Frame, Segmenter, Step},
};
use crate::time::Nanos;

/// How far behind the leader a track may be to take the lead back: half of a usual part, so that segments of one number still
/// begin within a part of each other (rule MV-12).
const RECLAIM_SLACK: Nanos = Nanos::from_millis(100);

/// Takes the track's next frame, whose turn it is ([`Conductor::leave`]). Once the steps are carried out,
/// [`Conductor::advance`] has to be called if the track leads.
pub fn push(
    conductor: &mut Conductor,
    track: TrackIndex,
    segmenter: &mut Segmenter,
    frame: Frame,
) -> Vec<Step> {
    if let Some(seconds) = conductor.target_duration() {
        segmenter.give_target_duration(seconds);
    }
    segmenter.require_target_duration(conductor.least_target_duration());
    let mut steps = Vec::new();
    let mut border = conductor.next_border(segmenter.number(), frame.presentation);
    // A track that has just become the leader has borders of the old one to pass first.
    let follows = !conductor.leads(track) || border.is_some();
    if follows && let Some(number) = segmenter.number() {
        let was_silent = segmenter.is_missing();
        steps = segmenter.notice_hole(&frame);
        let awaits_break = segmenter.awaits_break();
        if awaits_break && border.is_some_and(|border| !border.is_discontinuity) {
            // The leader was faster than the wish for one: until then there is nothing.
            steps.append(&mut segmenter.fall_silent());
        }
        if segmenter.is_missing() {
            let mut missed = if awaits_break {
                conductor.missed(number)
            } else {
                conductor.missed_until(number, frame.presentation, !was_silent)
            };
            let is_break = |border: &Border| awaits_break && border.is_discontinuity;
            missed.truncate(missed.iter().position(is_break).unwrap_or(missed.len()));
            for border in missed {
                steps.append(&mut segmenter.miss(&border));
            }
            border = conductor.next_border(segmenter.number(), frame.presentation);
        }
    }
    if border.is_none() && segmenter.is_going_on() {
        conductor.reclaim(track, frame.presentation, RECLAIM_SLACK);
    }
    if conductor.leads(track) && border.is_none() {
        if conductor.wants_break() {
            segmenter.break_next();
        }
        steps.append(&mut segmenter.push(frame));
        return steps;
    }
    steps.append(&mut segmenter.push_following(frame, border));
    if segmenter.is_interrupted() {
        conductor.ask_for_break(segmenter.number());
    }
    steps
}

/// What becomes of a track that stays silent while others go on: its segments end where theirs do.
pub fn miss(conductor: &Conductor, segmenter: &mut Segmenter) -> Vec<Step> {
    let Some(number) = segmenter.number() else {
        return Vec::new();
    };
    if let Some(seconds) = conductor.target_duration() {
        segmenter.give_target_duration(seconds);
    }
    let mut steps = segmenter.fall_silent();
    for border in conductor.missed(number) {
        steps.append(&mut segmenter.miss(&border));
    }
    steps
}
