//! The element's side of folders.
//!
//! Belongs here: starting what watches files, passing on what it tells. Does not: files themselves (`watch/`).

use std::sync::{Arc, Mutex, PoisonError};

use gst::subclass::prelude::*;

use super::{CAT, imp::LlHlsSink, presentation::Presentation, settings::Settings};
use crate::{
    origin::media::{Msn, Publication, RenditionId, RenditionSettings},
    origin::rendition::Renditions,
    watch::{Intake, IntakeSettings, Keep, Manner, News, Output, OutputSettings, WriterSettings},
};

/// Where what a run cuts goes: to the presentation, to files, or to one and by way of the other.
#[derive(Debug)]
pub(super) struct Outlet {
    presentation: Arc<Presentation>,
    output: Option<Arc<Output>>,
    /// Players see segments when their files are finished.
    waits_for_files: bool,
    numbering: Arc<Numbering>,
}

/// A presentation that begins where files of an earlier life end takes their numbers up.
#[derive(Debug, Default)]
struct Numbering {
    first: u64,
    /// Renditions whose first part was published.
    begun: Mutex<Vec<RenditionId>>,
}

impl Numbering {
    fn apply(&self, publication: Publication) -> Publication {
        if self.first == 0 {
            return publication;
        }
        match publication {
            Publication::Start(id, Msn(number)) => Publication::Start(id, Msn(self.first + number)),
            Publication::Part(id, mut part) => {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                if !begun.contains(&id) {
                    begun.push(id);
                    part.is_discontinuity = true;
                }
                Publication::Part(id, part)
            }
            publication => publication,
        }
    }
}

impl Outlet {
    /// Hands a publication on and returns: never waits for a file.
    pub(super) fn publish(&self, publication: Publication) {
        match &self.output {
            None => self.presentation.publish(publication),
            Some(output) if self.waits_for_files => output.take(publication),
            Some(output) => {
                // The live road first.
                self.presentation
                    .publish(self.numbering.apply(publication.clone()));
                output.take(publication);
            }
        }
    }

    /// Files of the run, if there are any.
    pub(super) fn output(&self) -> Option<&Output> {
        self.output.as_deref()
    }
}

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

    /// Where a run with these settings publishes to. Files are begun if they are wanted.
    pub(super) fn open_outlet(
        &self,
        settings: &Settings,
        presentation: &Arc<Presentation>,
        renditions: Vec<RenditionSettings>,
    ) -> Result<Outlet, gst::StateChangeError> {
        let Some(location) = &settings.location else {
            return Ok(Outlet {
                presentation: Arc::clone(presentation),
                output: None,
                waits_for_files: false,
                numbering: Arc::default(),
            });
        };
        // Labels and languages as the live playlists have them.
        let renditions: Vec<RenditionSettings> = match Renditions::new(renditions) {
            Ok(checked) => checked.iter().map(|(_, one)| one.clone()).collect(),
            Err(error) => {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ("{error}"));
                return Err(gst::StateChangeError);
            }
        };
        let manner = settings.manner();
        let going_on = presentation.next_run();
        let config = OutputSettings {
            location: location.into(),
            manner,
            poll_interval: settings.poll_interval(),
            writer: WriterSettings {
                playlist_name: settings.playlist_name.clone(),
                renditions: renditions.clone(),
                keep: match manner {
                    Some(_) => Keep::Newest(settings.max_files.max(1) as usize),
                    None => Keep::All,
                },
            },
            least: going_on,
        };
        let numbering = Arc::new(Mutex::new(None::<Arc<Numbering>>));
        let sink = self.obj().downgrade();
        let tell = {
            let presentation = Arc::clone(presentation);
            let numbering = Arc::clone(&numbering);
            Box::new(move |news| match news {
                News::Publication(publication, completed) => {
                    let numbering = numbering
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    let publication = match numbering {
                        Some(numbering) => numbering.apply(publication),
                        None => publication,
                    };
                    presentation.publish_completed(publication, completed);
                }
                News::Warning(text) => {
                    if let Some(sink) = sink.upgrade() {
                        gst::element_imp_warning!(
                            sink.imp(),
                            gst::ResourceError::Write,
                            ("{text}")
                        );
                    }
                }
                News::Renditions(_) => {}
            })
        };
        let output = Output::start(config, tell).map_err(|error| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::OpenWrite,
                ("location {location} cannot be written to: {error}")
            );
            gst::StateChangeError
        })?;
        // One that goes on has numbers of its own, and the files have theirs should the folder be further: to tell players of
        // gaps up to there would be to tell them of media there never was.
        let first = if going_on.is_none() {
            output.first().0.saturating_sub(Msn::FIRST.0)
        } else {
            0
        };
        let begun = Arc::new(Numbering {
            first,
            begun: Mutex::default(),
        });
        *numbering.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&begun));
        if first > 0 {
            for place in 0..renditions.len() {
                presentation.publish(Publication::Start(RenditionId(place), Msn(first)));
            }
        }
        Ok(Outlet {
            presentation: Arc::clone(presentation),
            output: Some(Arc::new(output)),
            waits_for_files: manner.is_some(),
            numbering: begun,
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
