//! How many frames the queue behind the camera has left out: it does not say so itself.
//!
//! Belongs here: counting them. Does not: the queue, and why it leaves frames out (`camera`); what the sink leaves out (`status`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

use crate::camera::KEEP_UP_NAME;

/// The count of one pipeline, from the moment it is made.
#[derive(Clone, Default)]
pub(crate) struct LeftOut(Arc<Mutex<Passage>>);

impl LeftOut {
    /// Counts in this pipeline, if there is a camera in it.
    pub(crate) fn of(pipeline: &gst::Pipeline) -> Self {
        let left_out = Self::default();
        let queue = pipeline.by_name(KEEP_UP_NAME);
        let pads = queue.and_then(|queue| {
            let ends = (queue.static_pad("sink"), queue.static_pad("src"));
            ends.0.zip(ends.1)
        });
        if let Some((entrance, exit)) = pads {
            left_out.watch(&entrance, Passage::goes_in);
            left_out.watch(&exit, Passage::comes_out);
        }
        left_out
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().expect("passage lock poisoned").left_out
    }

    fn watch(&self, pad: &gst::Pad, tell: fn(&mut Passage, Option<gst::ClockTime>)) {
        let passage = Arc::clone(&self.0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(frame) = info.buffer() {
                let mut passage = passage.lock().expect("passage lock poisoned");
                tell(&mut passage, frame.pts());
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Frames on their way through a queue, known by their presentation times.
#[derive(Default)]
struct Passage {
    /// Went in and have not come out, in order. What is left out stays here until a later frame comes out.
    inside: VecDeque<Option<gst::ClockTime>>,
    left_out: u64,
}

impl Passage {
    fn goes_in(&mut self, frame: Option<gst::ClockTime>) {
        self.inside.push_back(frame);
    }

    /// Frames keep their order: those that went in before this one will not come any more.
    fn comes_out(&mut self, frame: Option<gst::ClockTime>) {
        if let Some(place) = self.inside.iter().position(|it| *it == frame) {
            self.left_out += place as u64;
            self.inside.drain(..=place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera;

    #[test]
    fn what_is_overtaken_was_left_out() {
        let frame = |number: u64| Some(gst::ClockTime::from_mseconds(number * 40));
        let mut passage = Passage::default();
        for number in 0..6 {
            passage.goes_in(frame(number));
        }
        passage.comes_out(frame(0));
        assert_eq!(passage.left_out, 0);
        passage.comes_out(frame(3));
        assert_eq!(passage.left_out, 2);
        passage.comes_out(frame(4));
        // Nothing is known of this one.
        passage.comes_out(frame(9));
        assert_eq!(passage.left_out, 2);
        passage.comes_out(frame(5));
        assert_eq!(passage.left_out, 2);
        assert!(passage.inside.is_empty());
    }

    /// More frames than what follows can take, as from a camera on a slow machine.
    #[test]
    fn what_goes_in_comes_out_or_is_counted() {
        const FRAMES: u64 = 60;
        gst::init().unwrap();
        let line = format!(
            "( videotestsrc num-buffers={FRAMES} ! video/x-raw,width=16,height=16 ! {} \
             ! identity sleep-time=20000 ) ! fakesink name=out",
            camera::keep_up()
        );
        let pipeline = gst::parse::launch(&line)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let left_out = LeftOut::of(&pipeline);
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &ends);
        assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
        let out = pipeline.by_name("out").unwrap();
        let stats = out.property::<gst::Structure>("stats");
        let arrived = stats.get::<u64>("rendered").unwrap();
        assert!(arrived < FRAMES, "{arrived}");
        assert_eq!(left_out.count(), FRAMES - arrived);
        pipeline.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn without_a_camera_there_is_nothing_to_count() {
        gst::init().unwrap();
        assert_eq!(LeftOut::of(&gst::Pipeline::new()).count(), 0);
    }
}
