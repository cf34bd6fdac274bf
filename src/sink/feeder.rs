//! Takes a track's frames and gives them to the muxer.
//!
//! Belongs here: the element with its two pads; what comes in goes to the track's road. It never waits for anything but the
//! muxer, and for that with a deadline. Does not: what is done with the frames (`road`), the muxer's runs (`muxing`).

use std::sync::{Arc, Mutex, MutexGuard, atomic::AtomicU64};

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{CAT, collector::Collector, road::Road};
use crate::{origin::media::Publication, time::Nanos};

glib::wrapper! {
    pub(crate) struct Feeder(ObjectSubclass<imp::Feeder>) @extends gst::Element, gst::Object;
}

/// What the feeder needs to know for one life of the pipeline.
pub(super) struct Orders {
    pub(super) segment_duration: Nanos,
    pub(super) part_duration: Nanos,
    pub(super) send_keyframe_requests: bool,
    /// Takes what players shall see. Never blocks.
    pub(super) publish: Box<dyn Fn(Publication) + Send>,
}

/// What happened to the frames of a track, for `stats`.
#[derive(Debug, Default)]
pub(super) struct FrameCounts {
    pub(super) taken: AtomicU64,
    pub(super) before_key_frame: AtomicU64,
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

    /// What to do from the next PAUSED on.
    pub(super) fn prepare(&self, orders: Orders) {
        *self.imp().road() = Some(Road::new(orders));
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
        /// Taken out while the streaming thread works on it, so that no lock is held while it pushes.
        road: Mutex<Option<Road>>,
        pub(in crate::sink) counts: Arc<FrameCounts>,
    }

    #[derive(Clone)]
    pub(in crate::sink) struct Line {
        pub(in crate::sink) mux: gst::Element,
        pub(in crate::sink) collector: Collector,
    }

    impl Feeder {
        pub(in crate::sink) fn line(&self) -> MutexGuard<'_, Option<Line>> {
            self.line.lock().expect("line lock poisoned")
        }

        pub(in crate::sink) fn road(&self) -> MutexGuard<'_, Option<Road>> {
            self.road.lock().expect("road lock poisoned")
        }

        /// Works on the road without holding its lock. `None` when there is none: not started, or stopped.
        ///
        /// The stream lock of the sink pad keeps two threads from getting here at once.
        fn on_road<T>(&self, work: impl FnOnce(&mut Road) -> T) -> Option<T> {
            let mut road = self.road().take()?;
            let result = work(&mut road);
            *self.road() = Some(road);
            Some(result)
        }

        fn chain(&self, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
            self.on_road(|road| self.take_buffer(road, buffer))
                .unwrap_or(Err(gst::FlowError::Flushing))
        }

        fn sink_event(&self, event: gst::Event) -> bool {
            match event.view() {
                gst::EventView::Caps(caps) => self
                    .on_road(|road| self.take_caps(road, caps.caps()))
                    .unwrap_or(false),
                gst::EventView::Segment(segment) => {
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                    self.on_road(|road| road.segment = segment).is_some()
                }
                gst::EventView::Eos(eos) => {
                    let finished = self.on_road(|road| self.finish(road));
                    if let Some(Err(error)) = finished {
                        gst::warning!(CAT, imp = self, "The last part is lost: {error}");
                    }
                    let line = self.line().clone();
                    if let Some(line) = line {
                        line.collector.post_eos(eos.seqnum());
                    }
                    true
                }
                gst::EventView::FlushStop(_) => {
                    let interrupted = self.on_road(|road| self.interrupt(road));
                    if let Some(Err(error)) = interrupted {
                        gst::warning!(CAT, imp = self, "A part is lost in a flush: {error}");
                    }
                    true
                }
                // The rest is between upstream and us: the muxer gets events of our own with each run.
                _ => true,
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
                road: Mutex::new(None),
                counts: Arc::default(),
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
                    let h264 = gst::Caps::builder("video/x-h264")
                        .field("stream-format", "avc")
                        .field("alignment", "au")
                        .build();
                    let h265 = gst::Caps::builder("video/x-h265")
                        .field("stream-format", "hvc1")
                        .field("alignment", "au")
                        .build();
                    let caps: gst::Caps = [h264, h265]
                        .into_iter()
                        .flat_map(|caps| caps.iter().map(ToOwned::to_owned).collect::<Vec<_>>())
                        .collect();
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
            let result = self.parent_change_state(transition)?;
            if transition == gst::StateChange::PausedToReady {
                // The pads are inactive: no run is under way any more.
                drop(self.road().take());
                let line = self.line().clone();
                if let Some(line) = line {
                    line.mux.set_state(gst::State::Null)?;
                }
            }
            Ok(result)
        }
    }
}
