//! The element's side of folders.
//!
//! Belongs here: starting what watches files, passing on what it tells. Does not: files themselves (`watch/`).

use std::sync::Arc;

use gst::subclass::prelude::*;

use super::{CAT, imp::LlHlsSink, settings::Settings};
use crate::watch::{Intake, IntakeSettings, Manner, News};

impl LlHlsSink {
    /// Takes media from files another program writes.
    pub(super) fn start_intake(
        &self,
        settings: &Settings,
        manner: Manner,
    ) -> Result<Intake, gst::StateChangeError> {
        let location = settings.location.clone().unwrap_or_default();
        let config = IntakeSettings {
            location: location.clone().into(),
            manner,
            poll_interval: settings.poll_interval(),
            segment_duration: settings.segment_duration(),
            max_files: settings.max_files as usize,
        };
        let sink = self.obj().downgrade();
        let tell = Box::new(move |news| {
            if let Some(sink) = sink.upgrade() {
                sink.imp().hear(news);
            }
        });
        Intake::start(config, tell).map_err(|error| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::OpenRead,
                ("location {location} cannot be watched: {error}")
            );
            gst::StateChangeError
        })
    }

    /// Passes on what the intake tells, on its thread.
    fn hear(&self, news: News) {
        match news {
            News::Renditions(renditions) => {
                gst::info!(CAT, imp = self, "Files hold {renditions:?}");
                self.present_instead(renditions);
            }
            News::Publication(publication, completed) => {
                let presentation = self
                    .running()
                    .as_ref()
                    .map(|running| Arc::clone(&running.presentation));
                if let Some(presentation) = presentation {
                    presentation.publish_completed(publication, completed);
                }
            }
            News::Warning(text) => {
                gst::element_imp_warning!(self, gst::ResourceError::Read, ("{text}"));
            }
        }
    }
}
