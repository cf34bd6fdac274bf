//! The elements behind a pad: `clocksync -> [parser] -> feeder -> mp4mux -> collector`.
//!
//! Belongs here: building, starting and removing that line. Does not: what flows through it (`feeder`).
//!
//! Feeder and collector are two elements, so that the bin's graph is a line and not a loop. mp4mux is a visible child with
//! its state locked: the feeder alone drives it.

use std::sync::Mutex;

use gst::{glib, prelude::*};

use super::{collector::Collector, feeder::Feeder};
use crate::origin::media::RenditionKind;

/// The muxer all of this is about. Part of GStreamer's isomp4 plugin, in gst-plugins-good.
pub(super) const MUXER: &str = "mp4mux";

/// How much the muxer's pad may queue: whatever a part is. The feeder fills the queue while it keeps the muxer's thread off, so
/// a full one would never empty. The pad counts from zero to a frame's end, and frames start late: see `RUN_START`.
const MUXER_QUEUE: gst::ClockTime = gst::ClockTime::from_seconds(10 * 365 * 86_400);

/// The line behind one pad.
#[derive(Debug)]
pub(super) struct Track {
    pacer: gst::Element,
    /// Put in when byte-stream caps come.
    parser: Mutex<Option<gst::Element>>,
    pub(super) feeder: Feeder,
    mux: gst::Element,
    mux_pad: gst::Pad,
    collector: Collector,
}

impl Track {
    /// Builds the line inside `bin`.
    pub(super) fn build(bin: &gst::Bin, kind: RenditionKind) -> Result<Self, glib::BoolError> {
        let pacer = gst::ElementFactory::make("clocksync")
            .property("sync", false)
            .build()?;
        let mux = gst::ElementFactory::make(MUXER)
            // A run is cut by its end, never by its length.
            .property("fragment-duration", u32::MAX)
            .property("streamable", true)
            .property("latency", MUXER_QUEUE.nseconds())
            .build()?;
        let mux_pad = mux
            .request_pad_simple(&format!("{}_%u", kind.as_str()))
            .ok_or_else(|| glib::bool_error!("{MUXER} has no {} pad", kind.as_str()))?;
        mux.set_locked_state(true);
        let feeder = Feeder::new();
        let collector = Collector::new(feeder.sinkpad());
        feeder.attach(mux.clone(), collector.clone());

        let elements = [&pacer, feeder.upcast_ref(), &mux, collector.upcast_ref()];
        bin.add_many(elements)?;
        gst::Element::link_many(elements)?;
        Ok(Self {
            pacer,
            parser: Mutex::new(None),
            feeder,
            mux,
            mux_pad,
            collector,
        })
    }

    /// Where the bin's ghost pad leads.
    pub(super) fn entry(&self) -> Option<gst::Pad> {
        self.pacer.static_pad("sink")
    }

    /// Whether input is paced by the clock.
    pub(super) fn set_sync(&self, sync: bool) {
        self.pacer.set_property("sync", sync);
    }

    /// Puts a parser before the feeder, unless it is there already.
    ///
    /// Called with the stream lock of the bin's pad held, so nothing flows meanwhile.
    pub(super) fn insert_parser(
        &self,
        bin: &gst::Bin,
        factory: &str,
    ) -> Result<(), glib::BoolError> {
        let current = self.parser().clone();
        if let Some(current) = current {
            let is_same = current
                .factory()
                .is_some_and(|made_by| made_by.name() == factory);
            if is_same {
                return Ok(());
            }
            self.pacer.unlink(&current);
            current.unlink(&self.feeder);
            current
                .set_state(gst::State::Null)
                .map_err(|_| glib::bool_error!("{} does not stop", current.name()))?;
            bin.remove(&current)?;
        }
        let parser = gst::ElementFactory::make(factory).build()?;
        bin.add(&parser)?;
        self.pacer.unlink(&self.feeder);
        gst::Element::link_many([&self.pacer, &parser, self.feeder.upcast_ref()])?;
        parser.sync_state_with_parent()?;
        *self.parser() = Some(parser);
        Ok(())
    }

    /// Lets the line follow the bin's state; for one built while the bin was running.
    pub(super) fn sync_state_with_parent(&self) -> Result<(), glib::BoolError> {
        self.collector.sync_state_with_parent()?;
        self.feeder.sync_state_with_parent()?;
        self.pacer.sync_state_with_parent()
    }

    /// Lets go of a frame that waits for the clock: the pad is about to be released, and that waits for the frame.
    pub(super) fn let_go(&self) {
        if let Some(entry) = self.entry() {
            entry.send_event(gst::event::FlushStart::new());
        }
    }

    /// Stops the line and takes it out of `bin`; nothing can be done with it afterwards.
    pub(super) fn remove(&self, bin: &gst::Bin) {
        // Sink first, as bins do: the collector's end releases a waiting feeder.
        let parser = self.parser().take();
        let elements = [
            Some(self.collector.clone().upcast()),
            Some(self.feeder.clone().upcast()),
            Some(self.mux.clone()),
            parser,
            Some(self.pacer.clone()),
        ];
        for element in elements.into_iter().flatten() {
            // Going to NULL cannot fail for these, and there is nothing else to do about them.
            let _ = element.set_state(gst::State::Null);
            let _ = bin.remove(&element);
        }
        self.mux.release_request_pad(&self.mux_pad);
    }

    fn parser(&self) -> std::sync::MutexGuard<'_, Option<gst::Element>> {
        self.parser.lock().expect("parser lock poisoned")
    }
}
