//! Takes the bytes the muxer writes and hands each run to the feeder.
//!
//! Belongs here: the end of the line in the bin. As a sink it answers for the bin: it posts end of stream, and it passes
//! queries and upstream events past the muxer, which is torn down between parts, to the feeder's side.

use std::sync::{Mutex, MutexGuard};

use crossbeam_channel::{Receiver, Sender};
use gst::{glib, prelude::*, subclass::prelude::*};

glib::wrapper! {
    pub(crate) struct Collector(ObjectSubclass<imp::Collector>) @extends gst::Element, gst::Object;
}

/// What one run of the muxer wrote.
pub(super) type Muxed = Vec<u8>;

impl Collector {
    /// `upstream` is the pad that queries and events reach the source through.
    pub(super) fn new(upstream: &gst::Pad) -> Self {
        let collector: Self = glib::Object::new();
        *collector.imp().upstream() = Some(upstream.clone());
        collector
    }

    /// Where the runs arrive; a new one each time the element goes to PAUSED.
    pub(super) fn runs(&self) -> Option<Receiver<Muxed>> {
        self.imp().line().as_ref().map(|line| line.receiver.clone())
    }

    /// Tells the pipeline that this track is over.
    pub(super) fn post_eos(&self, seqnum: gst::Seqnum) {
        let message = gst::message::Eos::builder()
            .src(self)
            .seqnum(seqnum)
            .build();
        // Fails without a bus, when nobody is there to tell.
        let _ = self.post_message(message);
    }
}

mod imp {
    use super::*;

    pub(crate) struct Collector {
        sinkpad: gst::Pad,
        upstream: Mutex<Option<gst::Pad>>,
        line: Mutex<Option<Line>>,
    }

    /// Exists from PAUSED on. Dropping it tells a waiting feeder that nothing will come.
    pub(super) struct Line {
        pub(super) receiver: Receiver<Muxed>,
        sender: Sender<Muxed>,
        bytes: Muxed,
    }

    impl Collector {
        pub(super) fn upstream(&self) -> MutexGuard<'_, Option<gst::Pad>> {
            self.upstream.lock().expect("upstream lock poisoned")
        }

        pub(super) fn line(&self) -> MutexGuard<'_, Option<Line>> {
            self.line.lock().expect("line lock poisoned")
        }

        fn chain(&self, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Ok(map) = buffer.map_readable() else {
                return Err(gst::FlowError::Error);
            };
            let mut line = self.line();
            let Some(line) = line.as_mut() else {
                return Err(gst::FlowError::Flushing);
            };
            line.bytes.extend_from_slice(&map);
            Ok(gst::FlowSuccess::Ok)
        }

        fn sink_event(&self, event: &gst::Event) -> bool {
            if event.type_() == gst::EventType::Eos
                && let Some(line) = self.line().as_mut()
            {
                let run = std::mem::take(&mut line.bytes);
                // The receiver lives beside the sender.
                let _ = line.sender.send(run);
            }
            true
        }

        /// A copy, so that no lock is held while the pad is used.
        fn upstream_pad(&self) -> Option<gst::Pad> {
            self.upstream().clone()
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Collector {
        const NAME: &'static str = "GstLlHlsCollector";
        type Type = super::Collector;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = class.pad_template("sink").expect("declared below");
            let sinkpad = gst::Pad::builder_from_template(&template)
                .chain_function(|_pad, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |this| this.chain(&buffer),
                    )
                })
                .event_function(|_pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(&event))
                })
                .query_function(|pad, parent, query| {
                    // Seekable downstream would make the muxer come back and rewrite its head: unanswered means no.
                    query.type_() != gst::QueryType::Seeking
                        && gst::Pad::query_default(pad, parent, query)
                })
                .build();
            Self {
                sinkpad,
                upstream: Mutex::new(None),
                line: Mutex::new(None),
            }
        }
    }

    impl ObjectImpl for Collector {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            element
                .add_pad(&self.sinkpad)
                .expect("a new element has no pad");
            element.set_element_flags(gst::ElementFlags::SINK);
        }
    }

    impl GstObjectImpl for Collector {}

    impl ElementImpl for Collector {
        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
                std::sync::LazyLock::new(|| {
                    gst::PadTemplate::new(
                        "sink",
                        gst::PadDirection::Sink,
                        gst::PadPresence::Always,
                        &gst::Caps::new_any(),
                    )
                    .into_iter()
                    .collect()
                });
            &TEMPLATES
        }

        fn change_state(
            &self,
            transition: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            match transition {
                gst::StateChange::ReadyToPaused => {
                    let (sender, receiver) = crossbeam_channel::unbounded();
                    *self.line() = Some(Line {
                        receiver,
                        sender,
                        bytes: Muxed::new(),
                    });
                }
                // Before chaining up: a feeder that waits for the muxer holds the stream lock upstream.
                gst::StateChange::PausedToReady => drop(self.line().take()),
                _ => {}
            }
            self.parent_change_state(transition)
        }

        fn query(&self, query: &mut gst::QueryRef) -> bool {
            self.upstream_pad()
                .is_some_and(|upstream| upstream.peer_query(query))
        }

        fn send_event(&self, event: gst::Event) -> bool {
            event.is_upstream()
                && self
                    .upstream_pad()
                    .is_some_and(|upstream| upstream.push_event(event))
        }
    }
}
