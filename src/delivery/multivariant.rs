//! The text of the multivariant playlist, which offers the renditions of a presentation.
//!
//! Belongs here: which renditions make which variants, what a player is told before it has loaded any of them.
//! Does not: the media playlists it names (`playlist`), where they are (`request::Routes`).

use std::fmt::Write as _;

use bytes::Bytes;
use quick_m3u8::Writer;
use quick_m3u8::tag::hls::{M3u, Media, MediaType, Version};

use super::request::Routes;
use crate::origin::Origin;
use crate::origin::media::{InitSection, RenditionId, RenditionKind};
use crate::origin::rendition::Rendition;

/// What a server may say of a playlist with groups of renditions (section 8); without them 1 is enough, which is not
/// written (rule PL-06).
const VERSION_WITH_GROUPS: u64 = 4;

/// GROUP-ID of all audio.
const AUDIO_GROUP: &str = "audio";

/// Renders the multivariant playlist as it is now; `None` until the presentation is live.
///
/// It names what can be played: no rendition that has not begun, and none that ended while others go on. The bit rates
/// are those measured so far, so it is not the same text for ever (rule MV-06). No media tag is in it (rule MV-13), and
/// no EXT-X-INDEPENDENT-SEGMENTS, which could not be withdrawn (rule CM-16).
pub fn render(origin: &Origin, routes: &Routes) -> Option<Bytes> {
    origin.common()?;
    let offer = Offer::of(origin);
    let mut writer = Writer::new(Vec::with_capacity(1024));
    write_tag(&mut writer, M3u);
    if offer.has_group() {
        write_tag(&mut writer, Version::new(VERSION_WITH_GROUPS));
    }
    // A comment. Everything else may well be the same in the run after this one, and a page that waits for that run
    // compares texts.
    let run = origin.run().as_str();
    writer
        .get_mut()
        .extend_from_slice(format!("# run {run}\n").as_bytes());
    if offer.has_group() {
        for audio in &offer.audios {
            write_tag(&mut writer, offer.media(audio, routes));
        }
    }
    for variant in offer.variants() {
        let tag = offer.stream_inf(variant);
        let uri = routes.playlist_uri(variant.id);
        writer
            .get_mut()
            .extend_from_slice(format!("{tag}\n{uri}\n").as_bytes());
    }
    Some(Bytes::from(writer.into_inner()))
}

fn write_tag<'a>(writer: &mut Writer<Vec<u8>>, tag: impl Into<quick_m3u8::HlsLine<'a>>) {
    writer
        .write_line(tag.into())
        .expect("writing to memory does not fail");
}

/// A rendition that can be played.
#[derive(Clone, Copy)]
struct Offered<'a> {
    id: RenditionId,
    rendition: &'a Rendition,
}

impl<'a> Offered<'a> {
    fn init(self) -> Option<&'a InitSection> {
        self.rendition.window().current_init()
    }
}

/// All renditions that can be played, by kind, each kind in its fixed order.
struct Offer<'a> {
    videos: Vec<Offered<'a>>,
    audios: Vec<Offered<'a>>,
}

impl<'a> Offer<'a> {
    fn of(origin: &'a Origin) -> Self {
        let live = || {
            origin
                .renditions()
                .map(|(id, rendition)| Offered { id, rendition })
                .filter(|offered| offered.rendition.window().is_live())
        };
        let goes_on = |offered: &Offered<'_>| !offered.rendition.window().is_ended();
        // When all is over all of it can be watched once more.
        let is_over = !live().any(|offered| goes_on(&offered));
        let (videos, audios) = live()
            .filter(|offered| is_over || goes_on(offered))
            .partition(|offered| offered.rendition.settings().kind == RenditionKind::Video);
        Self { videos, audios }
    }

    /// One audio alone needs no group. Several without video do: they are alternatives of language or content, and as
    /// variants a player would change between them for their bit rates.
    fn has_group(&self) -> bool {
        !self.audios.is_empty() && (!self.videos.is_empty() || self.audios.len() > 1)
    }

    /// The entries: each video, or else the audio to be played by default.
    fn variants(&self) -> Vec<Offered<'a>> {
        if self.videos.is_empty() {
            self.default_audio().into_iter().collect()
        } else {
            self.videos.clone()
        }
    }

    fn default_audio(&self) -> Option<Offered<'a>> {
        self.audios
            .iter()
            .find(|audio| audio.rendition.settings().is_default)
            .or(self.audios.first())
            .copied()
    }

    /// Rule MV-08.
    fn media(&self, audio: &Offered<'_>, routes: &Routes) -> Media<'static> {
        let settings = audio.rendition.settings();
        let mut tag = Media::builder()
            .with_media_type(MediaType::Audio)
            .with_name(settings.label.clone())
            .with_group_id(AUDIO_GROUP)
            .with_uri(routes.playlist_uri(audio.id));
        if let Some(language) = &settings.language {
            tag = tag.with_language(language.clone());
        }
        let is_default = self
            .default_audio()
            .is_some_and(|default| default.id == audio.id);
        if is_default {
            tag = tag.with_default();
        }
        if is_default || self.is_first_of_its_language(audio) {
            tag = tag.with_autoselect();
        }
        if let Some(channels) = audio.init().and_then(|init| init.channels) {
            tag = tag.with_channels(channels.to_string());
        }
        tag.finish()
    }

    /// Whether a player may choose it for its language: those it chooses among should differ in it (4.4.6.1).
    fn is_first_of_its_language(&self, audio: &Offered<'_>) -> bool {
        let language = |audio: &Offered<'_>| audio.rendition.settings().language.clone();
        let is_taken = |other: &Offered<'_>| language(other) == language(audio);
        language(audio).is_some()
            && !self.default_audio().as_ref().is_some_and(is_taken)
            && !self
                .audios
                .iter()
                .take_while(|other| other.id != audio.id)
                .any(is_taken)
    }

    /// The tag by hand: the tag writer does not write a frame rate with three decimals.
    fn stream_inf(&self, variant: Offered<'_>) -> String {
        let is_video = variant.rendition.settings().kind == RenditionKind::Video;
        // Rules MV-01, MV-06: what it takes to play it with whichever audio is the heaviest.
        let largest = |rate: &dyn Fn(&Offered<'_>) -> u64| {
            let own = if is_video { rate(&variant) } else { 0 };
            own + self.audios.iter().map(rate).max().unwrap_or(0)
        };
        let peak = largest(&|offered| offered.rendition.window().bandwidth().peak());
        let average = largest(&|offered| offered.rendition.window().bandwidth().average());
        let mut tag = format!("#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}");
        let mut attribute = |name: &str, value: String| {
            write!(tag, ",{name}={value}").expect("writing to memory does not fail");
        };
        // Rule MV-03: every format of every rendition that may be played with it.
        attribute("CODECS", format!("\"{}\"", self.codecs(variant)));
        let init = variant.init();
        if let Some((width, height)) = init.and_then(|init| init.resolution) {
            attribute("RESOLUTION", format!("{width}x{height}"));
        }
        if let Some(rate) = init.and_then(|init| init.frame_rate).and_then(frame_rate) {
            attribute("FRAME-RATE", rate);
        }
        if self.has_group() {
            attribute("AUDIO", format!("\"{AUDIO_GROUP}\""));
        }
        tag
    }

    fn codecs(&self, variant: Offered<'_>) -> String {
        let mut codecs: Vec<&str> = Vec::new();
        for offered in std::iter::once(&variant).chain(&self.audios) {
            let codec = offered.init().map_or("", |init| init.codec.as_str());
            if !codec.is_empty() && !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        codecs.join(",")
    }
}

/// Frames a second with three decimals (rule MV-05).
fn frame_rate((numerator, denominator): (u32, u32)) -> Option<String> {
    let (numerator, denominator) = (u64::from(numerator), u64::from(denominator));
    let thousandths = (numerator * 1000 + denominator / 2).checked_div(denominator)?;
    (thousandths > 0).then(|| format!("{}.{:03}", thousandths / 1000, thousandths % 1000))
}
