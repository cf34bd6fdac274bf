//! The group of sounds a multivariant playlist offers, live or beside files.
//!
//! Belongs here: which of them plays by default, which a player may choose by itself, the tag of each (rule MV-08). Does not:
//! which renditions are offered (`multivariant`, `archive`).

use quick_m3u8::tag::hls::{Media, MediaType};

use crate::origin::media::RenditionSettings;

/// GROUP-ID of all audio.
pub(super) const GROUP: &str = "audio";

/// What plays when nobody chooses: what says so, or the first.
pub(super) fn default_of(sounds: &[&RenditionSettings]) -> usize {
    let wanted = sounds.iter().position(|sound| sound.is_default);
    wanted.unwrap_or(0)
}

/// The tag of the `nth` sound.
pub(super) fn media(
    sounds: &[&RenditionSettings],
    nth: usize,
    uri: &str,
    channels: Option<u32>,
) -> Media<'static> {
    let settings = sounds[nth];
    let mut tag = Media::builder()
        .with_media_type(MediaType::Audio)
        .with_name(settings.label.clone())
        .with_group_id(GROUP)
        .with_uri(uri.to_owned());
    if let Some(language) = &settings.language {
        tag = tag.with_language(language.clone());
    }
    let default = default_of(sounds);
    if nth == default {
        tag = tag.with_default();
    }
    if nth == default || is_first_of_its_language(sounds, nth, default) {
        tag = tag.with_autoselect();
    }
    if let Some(channels) = channels {
        tag = tag.with_channels(channels.to_string());
    }
    tag.finish()
}

/// Whether a player may choose it for its language: those it chooses among should differ in it (4.4.6.1).
fn is_first_of_its_language(sounds: &[&RenditionSettings], nth: usize, default: usize) -> bool {
    let language = &sounds[nth].language;
    let is_taken = |other: &&RenditionSettings| other.language == *language;
    language.is_some() && !is_taken(&sounds[default]) && !sounds[..nth].iter().any(is_taken)
}
