//! What the element says on the bus of its own accord: errors, warnings, and what its server reports.
//!
//! Belongs here: which message for what, in words for the user. Does not: fields of structures (`messages`), when (`life`).

use std::sync::atomic::Ordering;

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{CAT, imp::LlHlsSink, listening::ListenError, messages, settings::Settings};
use crate::{http::Report, origin::event::Event};

impl LlHlsSink {
    pub(super) fn tell_missing(&self, factory: &str, package: &str, error: &glib::BoolError) {
        if gst::ElementFactory::find(factory).is_some() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Pad,
                ("{factory} cannot be put into the bin: {error}")
            );
            return;
        }
        let element = self.obj();
        // What gst_missing_element_message_new() makes; its library is not worth linking for one structure.
        let details = gst::Structure::builder("missing-plugin")
            .field("type", "element")
            .field("detail", factory)
            .field("name", format!("GStreamer element {factory}"))
            .build();
        let message = gst::message::Element::builder(details)
            .src(&*element)
            .build();
        // Fails without a bus, when nobody is there to tell.
        let _ = element.post_message(message);
        gst::element_imp_error!(
            self,
            gst::CoreError::MissingPlugin,
            ("The element {factory} is missing; install {package} (see gst-inspect-1.0 {factory})")
        );
    }

    pub(super) fn tell_deaf(&self, error: &ListenError) -> gst::StateChangeError {
        let domain = match error {
            ListenError::Bind(_) => gst::ResourceError::OpenReadWrite,
            ListenError::Certificate(_) => gst::ResourceError::Settings,
        };
        gst::element_imp_error!(self, domain, ("{error}"));
        gst::StateChangeError
    }

    /// Nobody trusts a certificate that was made a moment ago: whoever set no other shall know, and can compare.
    pub(super) fn tell_self_signed(&self, settings: &Settings) {
        let fingerprint = match self.running().as_ref() {
            Some(running) if settings.tls_certificate.is_none() => running.listening.fingerprint(),
            _ => None,
        };
        if let Some(fingerprint) = fingerprint {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("HTTPS is served with a self-signed certificate, which players refuse until told otherwise; set tls-certificate and tls-private-key for another. Its SHA-256 fingerprint: {fingerprint}")
            );
        }
    }

    /// What passes on what the server and its certificate have to say.
    pub(super) fn reporter(&self) -> Box<dyn Fn(Report) + Send> {
        let sink = self.obj().downgrade();
        Box::new(move |report| {
            if let Some(sink) = sink.upgrade() {
                sink.imp().tell(report);
            }
        })
    }

    /// Passes on what the server or its certificate has to say, on their threads.
    fn tell(&self, report: Report) {
        match report {
            Report::Event(Event::Violation {
                rendition,
                violation,
            }) => {
                gst::warning!(CAT, imp = self, "{rendition}: {violation}");
            }
            Report::Event(event) => {
                gst::log!(CAT, imp = self, "{event:?}");
                let with_parts = self.posts_parts.load(Ordering::Relaxed);
                if let Some(details) = messages::structure(&event, with_parts) {
                    let element = self.obj();
                    let message = gst::message::Element::builder(details)
                        .src(&*element)
                        .build();
                    // Fails without a bus, when nobody is there to tell.
                    let _ = element.post_message(message);
                }
            }
            Report::Warning(text) => {
                gst::element_imp_warning!(self, gst::ResourceError::Failed, ("{text}"));
            }
            Report::Renewed { fingerprint } => {
                gst::info!(CAT, imp = self, "New certificate in use: {fingerprint}");
                self.obj().notify("tls-fingerprint");
            }
            Report::Failed(text) => {
                gst::element_imp_error!(self, gst::ResourceError::Failed, ("{text}"));
            }
        }
    }
}
