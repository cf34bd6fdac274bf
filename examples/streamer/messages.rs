//! What GStreamer says, as sentences.

use gst::glib;

/// What an error message says.
pub(crate) fn reason(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => sentence(&error.error(), error.debug()),
        _ => "the pipeline failed".to_owned(),
    }
}

/// The message for people and, when there is one, the detail that follows the place in the source in the debug text.
pub(crate) fn sentence(error: &glib::Error, debug: Option<glib::GString>) -> String {
    let detail = debug.as_deref().and_then(|debug| debug.split_once('\n'));
    match detail {
        Some((_place, detail)) => format!("{} {detail}", error.message()),
        None => error.message().to_owned(),
    }
}
