//! Takes a track's frames and gives them to the muxer.
//!
//! Belongs here: the element with its two pads, and which thread does the work on what comes in: the streaming thread, or with
//! several tracks one of the track's own. Does not: what is done with the frames (`road`), the muxer's runs (`muxing`).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender};
use gst::{glib, prelude::*, subclass::prelude::*};

use crate::{cmaf::conductor::TrackIndex, time::RunningTime};

use super::{
    CAT, clock,
    collector::Collector,
    ensemble::Ensemble,
    requests::Requests,
    road::{Access, Input, Orders, Road, count},
};

/// Frames of one track that may wait for another: four seconds of video, three of audio.
const MOST_FRAMES_WAITING: usize = 128;

/// How long the streaming thread waits for room among them.
const LONGEST_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

glib::wrapper! {
    pub(crate) struct Feeder(ObjectSubclass<imp::Feeder>) @extends gst::Element, gst::Object;
}

/// What happened to the frames of a track, for `stats`.
#[derive(Debug, Default)]
pub(super) struct FrameCounts {
    pub(super) taken: AtomicU64,
    pub(super) before_key_frame: AtomicU64,
    pub(super) before_joining: AtomicU64,
    pub(super) ahead: AtomicU64,
    /// Not left out, but kept until the leading track had come as far.
    pub(super) waited: AtomicU64,
    pub(super) backwards: AtomicU64,
    pub(super) without_timestamp: AtomicU64,
    pub(super) empty: AtomicU64,
    pub(super) key_frame_requests: AtomicU64,
}

impl Feeder {
    pub(super) fn new() -> Self {
        glib::Object::new()
    }

    /// The pad frames come in at.
    pub(super) fn sinkpad(&self) -> &gst::Pad {
        &self.imp().sinkpad
    }

    /// The muxer to drive and the collector behind it.
    pub(super) fn attach(&self, mux: gst::Element, collector: Collector) {
        *self.imp().line() = Some(imp::Line { mux, collector });
    }

    /// What to do from the next PAUSED on. With other tracks to wait for, the work gets a thread of its own: a streaming
    /// thread that feeds two pads must never wait in one of them.
    pub(super) fn prepare(&self, orders: Orders) {
        let has_company = orders.has_company;
        let road = Road::new(orders);
        let mode = if has_company {
            imp::Mode::threaded(self, road)
        } else {
            imp::Mode::Direct(Box::new(road))
        };
        let old = std::mem::replace(&mut *self.imp().mode(), mode);
        if let imp::Mode::Threaded(worker) = &old {
            worker.stop();
        }
        old.end();
        self.imp().requests.forget();
        // A run that begins anew because another pad came: what upstream has said before still holds.
        let pad = self.sinkpad();
        let caps = pad.sticky_event::<gst::event::Caps>(0);
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let tags = pad.sticky_event::<gst::event::Tag>(0);
        let said: [Option<gst::Event>; 3] = [
            tags.map(Into::into),
            caps.map(Into::into),
            segment.map(Into::into),
        ];
        for event in said.into_iter().flatten() {
            self.imp().sink_event(event);
        }
    }

    /// The pad is released: the others go on without this track.
    pub(super) fn leave(&self) {
        if let imp::Mode::Threaded(worker) = &*self.imp().mode() {
            worker.stop();
        }
        let _ = self.imp().pass_on(Input::Leave);
        // It still muxes its last part.
        let mode = std::mem::replace(&mut *self.imp().mode(), imp::Mode::Idle);
        mode.end();
    }

    /// The counters, shared and alive.
    pub(super) fn counts(&self) -> Arc<FrameCounts> {
        Arc::clone(&self.imp().counts)
    }
}

pub(super) mod imp {
    use super::*;

    pub(crate) struct Feeder {
        pub(in crate::sink) sinkpad: gst::Pad,
        pub(in crate::sink) srcpad: gst::Pad,
        line: Mutex<Option<Line>>,
        mode: Mutex<Mode>,
        pub(in crate::sink) counts: Arc<FrameCounts>,
        pub(in crate::sink) requests: Requests,
    }

    #[derive(Clone)]
    pub(in crate::sink) struct Line {
        pub(in crate::sink) mux: gst::Element,
        pub(in crate::sink) collector: Collector,
    }

    /// Which thread does the work.
    pub(in crate::sink) enum Mode {
        /// Nothing runs.
        Idle,
        /// The streaming thread. Taken out while it works, so that no lock is held while it pushes.
        Direct(Box<Road>),
        /// A thread of the track's own.
        Threaded(Worker),
    }

    /// The track's thread, as the streaming thread sees it.
    pub(in crate::sink) struct Worker {
        inputs: Sender<Input>,
        /// A token for each frame among them: only frames have to wait for room. What else there is must not be lost and is
        /// little, and waiting with it could be for ever when one thread feeds several tracks.
        room: Sender<()>,
        ensemble: Arc<Ensemble>,
        track: TrackIndex,
        /// Frames are left out because nobody takes them: there is no waiting for room any more until there is some.
        is_crowded: Arc<AtomicBool>,
        /// Why it ended early.
        failure: Arc<Mutex<Option<gst::FlowError>>>,
        thread: Option<JoinHandle<()>>,
    }

    impl Worker {
        /// Lets it wait for nobody.
        pub(in crate::sink) fn stop(&self) {
            self.ensemble.stop(self.track);
        }
    }

    impl Mode {
        pub(in crate::sink) fn threaded(feeder: &super::Feeder, road: Road) -> Self {
            let (inputs, receiver) = crossbeam_channel::unbounded();
            let (room, taken) = crossbeam_channel::bounded(MOST_FRAMES_WAITING);
            let ensemble = road.ensemble();
            let track = road.track();
            let failure = Arc::new(Mutex::new(None));
            let spawned = std::thread::Builder::new()
                .name(format!("llhls-{}", road.pad()))
                .spawn({
                    let feeder = feeder.clone();
                    let failure = Arc::clone(&failure);
                    move || feeder.imp().work(road, &receiver, &taken, &failure)
                });
            match spawned {
                Ok(thread) => Self::Threaded(Worker {
                    inputs,
                    room,
                    ensemble,
                    track,
                    is_crowded: Arc::default(),
                    failure,
                    thread: Some(thread),
                }),
                Err(error) => {
                    gst::element_error!(
                        feeder,
                        gst::ResourceError::Failed,
                        ("No thread for a track: {error}")
                    );
                    Self::Idle
                }
            }
        }
    }

    impl Mode {
        /// Ends the thread, if there is one, and waits for it.
        pub(in crate::sink) fn end(self) {
            if let Self::Threaded(Worker { inputs, thread, .. }) = self {
                drop(inputs);
                // Its panics were caught and reported inside.
                let _ = thread.map(JoinHandle::join);
            }
        }
    }

    impl Feeder {
        pub(in crate::sink) fn line(&self) -> MutexGuard<'_, Option<Line>> {
            self.line.lock().expect("line lock poisoned")
        }

        pub(in crate::sink) fn mode(&self) -> MutexGuard<'_, Mode> {
            self.mode.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Tells the pipeline that this track is over.
        pub(in crate::sink) fn post_eos(&self, seqnum: gst::Seqnum) {
            let line = self.line().clone();
            if let Some(line) = line {
                line.collector.post_eos(seqnum);
            }
        }

        /// Gives the input to whoever does the work.
        ///
        /// The stream lock of the sink pad keeps two threads from getting here at once.
        pub(in crate::sink) fn pass_on(&self, input: Input) -> Result<(), gst::FlowError> {
            let mut mode = self.mode();
            match std::mem::replace(&mut *mode, Mode::Idle) {
                Mode::Idle => Err(gst::FlowError::Flushing),
                Mode::Direct(mut road) => {
                    drop(mode);
                    let result = self.take(&mut road, input);
                    let mut mode = self.mode();
                    // Another run may have begun meanwhile.
                    if matches!(*mode, Mode::Idle) {
                        *mode = Mode::Direct(road);
                    }
                    result
                }
                Mode::Threaded(worker) => {
                    let head = input.head().and_then(|head| self.running_time(head));
                    if let Some(head) = head {
                        worker.ensemble.note_head(worker.track, head);
                    }
                    let inputs = worker.inputs.clone();
                    let room = worker.room.clone();
                    let failure = Arc::clone(&worker.failure);
                    let is_crowded = Arc::clone(&worker.is_crowded);
                    let (ensemble, track) = (Arc::clone(&worker.ensemble), worker.track);
                    *mode = Mode::Threaded(worker);
                    drop(mode);
                    if matches!(input, Input::Frame(_)) && room.try_send(()).is_err() {
                        ensemble.note_crowd(track, true);
                        let was_crowded = is_crowded.load(Ordering::Relaxed);
                        if !self.wait_for_room(&room, &is_crowded) {
                            if was_crowded {
                                return Ok(());
                            }
                            return inputs.send(Input::Lost).map_err(|_| ended(&failure));
                        }
                    }
                    ensemble.note_crowd(track, false);
                    is_crowded.store(false, Ordering::Relaxed);
                    inputs.send(input).map_err(|_| ended(&failure))
                }
            }
        }

        fn running_time(&self, position: gst::ClockTime) -> Option<RunningTime> {
            let event = self.sinkpad.sticky_event::<gst::event::Segment>(0)?;
            clock::running_time(event.segment().downcast_ref()?, position)
        }

        /// Waits a while for room for a frame. Answers whether there is some; without, the frame is left out.
        fn wait_for_room(&self, room: &Sender<()>, is_crowded: &AtomicBool) -> bool {
            let patience = if is_crowded.load(Ordering::Relaxed) {
                Duration::ZERO
            } else {
                LONGEST_WAIT_FOR_ROOM
            };
            // The other tracks may be fed by this very thread: waiting longer could be for ever.
            let is_full = matches!(
                room.send_timeout((), patience),
                Err(SendTimeoutError::Timeout(()))
            );
            is_crowded.store(is_full, Ordering::Relaxed);
            if is_full && count(&self.counts.ahead) == 1 {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Format,
                    ("{MOST_FRAMES_WAITING} frames wait for another track: frames are left out; feed the tracks in step or put queues before llhlssink")
                );
            }
            !is_full
        }

        /// The life of a track's thread.
        fn work(
            &self,
            mut road: Road,
            inputs: &Receiver<Input>,
            room: &Receiver<()>,
            failure: &Mutex<Option<gst::FlowError>>,
        ) {
            let mut is_flushing = false;
            // What comes and cannot be used is as good as nothing.
            let mut moved = clock::instant();
            loop {
                let input = match road.patience() {
                    Some(patience) if !is_flushing && moved.elapsed() >= patience => None,
                    Some(patience) if !is_flushing => {
                        match inputs.recv_deadline(moved + patience) {
                            Ok(input) => Some(input),
                            Err(RecvTimeoutError::Timeout) => None,
                            Err(RecvTimeoutError::Disconnected) => return,
                        }
                    }
                    _ => match inputs.recv() {
                        Ok(input) => Some(input),
                        Err(_) => return,
                    },
                };
                if matches!(input, Some(Input::Frame(_))) {
                    let _ = room.try_recv();
                }
                // Released while it waited: what is queued is lost, the rest of its playlist is not.
                if is_flushing && !matches!(input, Some(Input::Leave)) {
                    continue;
                }
                let taken = catch_unwind(AssertUnwindSafe(|| match input {
                    Some(input) => self.take(&mut road, input),
                    None => {
                        road.has_moved = true;
                        self.keep_up(&mut road)
                    }
                }));
                if std::mem::take(&mut road.has_moved) {
                    moved = clock::instant();
                }
                let error = match taken {
                    Ok(Ok(())) => continue,
                    Ok(Err(gst::FlowError::Flushing)) => {
                        is_flushing = true;
                        continue;
                    }
                    Ok(Err(error)) => error,
                    Err(_) => {
                        gst::element_imp_error!(
                            self,
                            gst::LibraryError::Failed,
                            ("The thread of the {} pad panicked", road.pad())
                        );
                        gst::FlowError::Error
                    }
                };
                *failure.lock().expect("failure lock poisoned") = Some(error);
                return;
            }
        }

        fn chain(&self, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Ok(bytes) = buffer.map_readable() else {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Read,
                    ("A frame cannot be mapped")
                );
                return Err(gst::FlowError::Error);
            };
            let result = self.pass_on(Input::Frame(Access {
                bytes: bytes.to_vec(),
                pts: buffer.pts(),
                dts: buffer.dts(),
                duration: buffer.duration(),
                captured: clock::reference(buffer),
                is_delta: buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            }));
            self.requests.send(&self.sinkpad);
            result.map(|()| gst::FlowSuccess::Ok)
        }

        pub(in crate::sink) fn sink_event(&self, event: gst::Event) -> bool {
            let input = match event.view() {
                gst::EventView::Caps(caps) => Input::Caps(caps.caps_owned()),
                gst::EventView::Segment(segment) => {
                    Input::Segment(segment.segment().downcast_ref::<gst::ClockTime>().cloned())
                }
                gst::EventView::Eos(eos) => Input::End(eos.seqnum()),
                gst::EventView::FlushStop(_) => Input::Flush,
                gst::EventView::Tag(tag) => Input::Tags(tag.tag_owned()),
                gst::EventView::Gap(gap) => {
                    let (start, duration) = gap.get();
                    Input::Gap { start, duration }
                }
                // The rest is between upstream and us: the muxer gets events of our own with each run.
                _ => return true,
            };
            let is_last = matches!(input, Input::End(_));
            match self.pass_on(input) {
                Ok(()) => true,
                Err(error) => {
                    gst::warning!(
                        CAT,
                        imp = self,
                        "{:?} was not dealt with: {error}",
                        event.type_()
                    );
                    is_last
                }
            }
        }

        fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
            match query.view_mut() {
                // The muxer must not wait for anyone's deadline, and must not ask upstream between runs.
                gst::QueryViewMut::Latency(latency) => {
                    latency.set(false, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                    true
                }
                _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
            }
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Feeder {
        const NAME: &'static str = "GstLlHlsFeeder";
        type Type = super::Feeder;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = |name| class.pad_template(name).expect("declared below");
            let sinkpad = gst::Pad::builder_from_template(&template("sink"))
                .chain_function(|_pad, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |this| this.chain(&buffer),
                    )
                })
                .event_function(|_pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(event))
                })
                .build();
            let srcpad = gst::Pad::builder_from_template(&template("src"))
                // The muxer sends seeks and key-frame requests of its own; nothing of it concerns upstream.
                .event_function(|_pad, _parent, _event| true)
                .query_function(|pad, parent, query| {
                    Self::catch_panic_pad_function(
                        parent,
                        || false,
                        |this| this.src_query(pad, query),
                    )
                })
                .build();
            Self {
                sinkpad,
                srcpad,
                line: Mutex::new(None),
                mode: Mutex::new(Mode::Idle),
                counts: Arc::default(),
                requests: Requests::default(),
            }
        }
    }

    impl ObjectImpl for Feeder {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            element
                .add_pad(&self.sinkpad)
                .expect("a new element has no pad");
            element.add_pad(&self.srcpad).expect("it has no src pad");
        }
    }

    impl GstObjectImpl for Feeder {}

    impl ElementImpl for Feeder {
        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
                std::sync::LazyLock::new(|| {
                    // What mp4mux takes; the pads of the bin accept more and convert.
                    let caps = muxer_caps();
                    [
                        gst::PadTemplate::new(
                            "sink",
                            gst::PadDirection::Sink,
                            gst::PadPresence::Always,
                            &caps,
                        ),
                        gst::PadTemplate::new(
                            "src",
                            gst::PadDirection::Src,
                            gst::PadPresence::Always,
                            &caps,
                        ),
                    ]
                    .into_iter()
                    .flatten()
                    .collect()
                });
            &TEMPLATES
        }

        fn change_state(
            &self,
            transition: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            if transition == gst::StateChange::PausedToReady
                && let Mode::Threaded(worker) = &*self.mode()
            {
                // Before chaining up: the streaming thread may be waiting for room behind a track that waits.
                worker.stop();
            }
            let result = self.parent_change_state(transition)?;
            if transition == gst::StateChange::PausedToReady {
                // The pads are inactive: nothing comes in any more.
                let mode = std::mem::replace(&mut *self.mode(), Mode::Idle);
                mode.end();
                let line = self.line().clone();
                if let Some(line) = line {
                    line.mux.set_state(gst::State::Null)?;
                }
            }
            Ok(result)
        }
    }
}

/// What mp4mux takes as it is.
fn muxer_caps() -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let all = caps.get_mut().expect("nobody else has seen it");
    for (name, format) in [("video/x-h264", "avc"), ("video/x-h265", "hvc1")] {
        all.append_structure(
            gst::Structure::builder(name)
                .field("stream-format", format)
                .field("alignment", "au")
                .build(),
        );
    }
    all.append_structure(
        gst::Structure::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu")
            .build(),
    );
    all.append_structure(
        gst::Structure::builder("audio/mpeg")
            .field("mpegversion", 4)
            .field("stream-format", "raw")
            .build(),
    );
    all.append_structure(gst::Structure::builder("audio/x-opus").build());
    caps
}

fn ended(failure: &Mutex<Option<gst::FlowError>>) -> gst::FlowError {
    let failure = *failure.lock().expect("failure lock poisoned");
    failure.unwrap_or(gst::FlowError::Flushing)
}
