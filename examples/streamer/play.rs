//! From the first frame to the last: what the pipeline says, signals, the status line.
//!
//! Belongs here: the main loop and how it ends. Does not: what is in the pipeline (`main`).

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: figures are taken by the host's clock"
)]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::process;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use rustix::process::Signal;

use crate::Outcome;
use crate::clip::Clip;
use crate::left_out::LeftOut;
use crate::messages::{reason, sentence};
use crate::screen::Screen;
use crate::status::{Reading, Status};

/// How often the status on a terminal is renewed, and elsewhere how often it is looked at.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is a line, where there is no terminal; the first comes as soon as somebody could watch.
const STATUS_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How long the last part may take to come out before the program ends without it.
const END_DEADLINE: Duration = Duration::from_secs(3);

/// How long the finished playlist can still be fetched when there are viewers: those who wait for it have it at once, the
/// others ask once a target duration.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Runs the pipeline until it ends: by a signal, by itself or by an error. `greet` is called once it runs.
pub(crate) fn play(
    pipeline: &gst::Pipeline,
    sink: &gst::Element,
    clip: &Clip,
    screen: &Rc<Screen>,
    greet: impl FnOnce(),
) -> Outcome<()> {
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    let left_out = LeftOut::of(pipeline);
    if pipeline.set_state(gst::State::Playing).is_err() {
        // The element has said why; a taken port, most of the time.
        let said = bus.pop_filtered(&[gst::MessageType::Error]);
        return Err(said.map_or_else(
            || "the pipeline does not start".into(),
            |message| reason(&message).into(),
        ));
    }
    let stage = Stage {
        main_loop: glib::MainLoop::new(None, false),
        sink: sink.clone(),
        screen: Rc::clone(screen),
        left_out,
        ending: Rc::default(),
        status: Rc::default(),
    };
    let result: Rc<RefCell<Result<(), Box<dyn Error>>>> = Rc::new(RefCell::new(Ok(())));
    let _watch = bus.add_watch_local({
        let (stage, result) = (stage.clone(), Rc::clone(&result));
        let (pipeline, clip) = (pipeline.clone(), clip.clone());
        move |_, message| {
            match message.view() {
                gst::MessageView::Eos(_) => stage.say_farewell(),
                gst::MessageView::Error(_) => {
                    *result.borrow_mut() = Err(reason(message).into());
                    stage.main_loop.quit();
                }
                gst::MessageView::Warning(warning) => {
                    let text = sentence(&warning.error(), warning.debug());
                    stage.screen.complain(text);
                }
                gst::MessageView::SegmentDone(_) => clip.again(),
                gst::MessageView::StreamCollection(found)
                    if !has_video(&found.stream_collection()) =>
                {
                    *result.borrow_mut() = Err("there is no video in the file".into());
                    stage.main_loop.quit();
                }
                gst::MessageView::Latency(_) => drop(pipeline.recalculate_latency()),
                _ => (),
            }
            glib::ControlFlow::Continue
        }
    })?;
    let _signals = [Signal::INT, Signal::TERM].map(|signal| {
        let stage = stage.clone();
        glib_unix::unix_signal_add_local(signal.as_raw(), move || {
            stage.end(signal);
            glib::ControlFlow::Continue
        })
    });
    // It may take seconds to learn about the clock: a signal that comes meanwhile waits for the loop.
    greet();
    stage.watch_status();

    stage.main_loop.run();
    result.replace(Ok(()))
}

fn has_video(streams: &gst::StreamCollection) -> bool {
    streams
        .iter()
        .any(|stream| stream.stream_type().contains(gst::StreamType::VIDEO))
}

/// What the callbacks of the main loop share.
#[derive(Clone)]
struct Stage {
    main_loop: glib::MainLoop,
    sink: gst::Element,
    screen: Rc<Screen>,
    left_out: LeftOut,
    /// Somebody asked for the end.
    ending: Rc<Cell<bool>>,
    status: Rc<RefCell<Status>>,
}

impl Stage {
    /// Lets the stream end as it should, with its last part published, but not for longer than [`END_DEADLINE`]. Asked a
    /// second time, ends the program on the spot.
    fn end(&self, signal: Signal) {
        if self.ending.replace(true) {
            // As shells count who was killed.
            process::exit(128 + signal.as_raw());
        }
        self.screen.say("\nending; once more to end at once");
        // Straight into the sink: a looping demuxer does not pass an end on. From another thread, because the pad may be
        // busy.
        self.sink.call_async(|sink| {
            for pad in sink.sink_pads() {
                pad.send_event(gst::event::Eos::new());
            }
        });
        self.quit_after(END_DEADLINE);
    }

    /// Everything is published: leaves viewers the time to notice.
    fn say_farewell(&self) {
        let stats = self.sink.property::<gst::Structure>("stats");
        if stats.get("clients").is_ok_and(|clients: u32| clients > 0) {
            self.quit_after(FAREWELL);
        } else {
            self.main_loop.quit();
        }
    }

    fn quit_after(&self, span: Duration) {
        let main_loop = self.main_loop.clone();
        glib::timeout_add_local_once(span, move || main_loop.quit());
    }

    fn watch_status(&self) {
        let stage = self.clone();
        let start = Instant::now();
        let next_line = Cell::new(Duration::ZERO);
        glib::timeout_add_local(STATUS_INTERVAL, move || {
            let at = start.elapsed();
            let stats = stage.sink.property::<gst::Structure>("stats");
            let mut status = stage.status.borrow_mut();
            status.take(Reading::of(&stats, stage.left_out.count(), at));
            let is_due = if stage.screen.is_terminal() {
                !stage.ending.get()
            } else {
                status.is_live() && next_line.get() <= at
            };
            if is_due {
                next_line.set(at + STATUS_LINE_INTERVAL);
                stage.screen.show_status(&status.to_string());
            }
            glib::ControlFlow::Continue
        });
    }
}
