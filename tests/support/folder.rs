//! The element with a folder in place of pads.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use gst::prelude::*;

use super::{http::Client, init, playlist::Playlist, stream::engine_property, wait_for};

/// `llhlssink mode=... location=...` alone in a pipeline.
pub struct Watching {
    pipeline: gst::Pipeline,
    pub sink: gst::Element,
    pub location: PathBuf,
    warnings: Arc<Mutex<Vec<String>>>,
    /// Waiting for segments goes on in spite of them.
    pub expects_warnings: bool,
}

impl Watching {
    pub fn start(location: &Path, mode: &str, properties: &str) -> Self {
        init();
        let engine = engine_property();
        let line = format!(
            "llhlssink name=sink port=0 host=127.0.0.1 playlist-length=10000 max-files=10000 mode={mode} location={} {engine} {properties}",
            location.display()
        );
        let sink = gst::parse::launch(&line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .downcast::<gst::Element>()
            .unwrap();
        let pipeline = gst::Pipeline::new();
        pipeline.add(&sink).unwrap();
        let warnings = Arc::new(Mutex::new(Vec::new()));
        pipeline.bus().unwrap().set_sync_handler({
            let warnings = Arc::clone(&warnings);
            move |_, message| {
                let text = match message.view() {
                    gst::MessageView::Warning(warning) => warning.error().to_string(),
                    gst::MessageView::Error(error) => format!("error: {}", error.error()),
                    _ => return gst::BusSyncReply::Drop,
                };
                warnings.lock().unwrap().push(text);
                gst::BusSyncReply::Drop
            }
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            sink,
            location: location.to_owned(),
            warnings,
            expects_warnings: false,
        }
    }

    pub fn port(&self) -> u16 {
        u16::try_from(self.sink.property::<u32>("current-port")).unwrap()
    }

    pub fn client(&self) -> Client {
        Client::new(self.port())
    }

    /// Warnings and errors so far.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }

    pub fn wait_for_warning(&self, text: &str) -> String {
        wait_for(text, || {
            self.warnings()
                .into_iter()
                .find(|warning| warning.contains(text))
        })
    }

    pub fn assert_no_warnings(&self) {
        assert_eq!(self.warnings(), [""; 0]);
    }

    /// The playlist, once it has so many whole segments.
    pub fn wait_for_segments(&self, count: usize) -> Playlist {
        wait_for("segments", || {
            let warnings = self.warnings();
            assert!(self.expects_warnings || warnings.is_empty(), "{warnings:?}");
            let answer = self.client().get("/live.m3u8");
            if answer.status != 200 {
                return None;
            }
            Some(Playlist::read(answer.text())).filter(|playlist| playlist.segments.len() >= count)
        })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
