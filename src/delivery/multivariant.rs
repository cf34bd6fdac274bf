//! The text of the multivariant playlist, which offers the renditions of a presentation.
//!
//! Belongs here: which renditions make which variants, what a player is told before it has loaded any of them.
//! Does not: the media playlists it names (`playlist`), where they are (`request::Routes`).

use std::fmt::Write as _;

use bytes::Bytes;
use quick_m3u8::Writer;
use quick_m3u8::tag::hls::{M3u, Version};

use super::playlist::PlaylistStyle;
use super::request::Routes;
use super::sounds;
use crate::origin::Origin;
use crate::origin::media::{InitSection, RenditionId, RenditionKind, RenditionSettings};
use crate::origin::rendition::Rendition;

/// What a server may say of a playlist with groups of renditions (section 8); without them 1 is enough, which is not
/// written (rule PL-06).
const VERSION_WITH_GROUPS: u64 = 4;

/// Renders the multivariant playlist as it is now; `None` until the presentation is live.
///
/// It names what can be played: no rendition that has not begun, and none that ended while others go on. The bit rates
/// are those measured so far, so it is not the same text for ever (rule MV-06). No media tag is in it (rule MV-13), and
/// no EXT-X-INDEPENDENT-SEGMENTS, which could not be withdrawn (rule CM-16).
pub fn render(origin: &Origin, routes: &Routes, style: &PlaylistStyle) -> Option<Bytes> {
    let common = origin.common()?;
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
    // Here and not in the media playlists, so that picture and sound begin together (4.4.2).
    if let Some(start) = style.start(common) {
        write_tag(&mut writer, start);
    }
    if offer.has_group() {
        let sounds = offer.sounds();
        for (nth, audio) in offer.audios.iter().enumerate() {
            let uri = routes.playlist_uri(audio.id);
            let channels = audio.init().and_then(|init| init.channels);
            write_tag(&mut writer, sounds::media(&sounds, nth, &uri, channels));
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
        self.audios.get(sounds::default_of(&self.sounds())).copied()
    }

    /// What the sounds are, in their order.
    fn sounds(&self) -> Vec<&'a RenditionSettings> {
        let audios = self.audios.iter();
        audios.map(|audio| audio.rendition.settings()).collect()
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
            attribute("AUDIO", format!("\"{}\"", sounds::GROUP));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::playlist;
    use crate::origin::fixture::{
        AUDIO, Presentation, VIDEO, audio, audio_init, run, video, video_init,
    };
    use crate::origin::media::Publication;

    const STYLE: PlaylistStyle = PlaylistStyle::USUAL;

    /// The playlist, read back by a reader that is not ours.
    fn text(presentation: &Presentation) -> String {
        text_in(presentation, &STYLE)
    }

    fn text_in(presentation: &Presentation, style: &PlaylistStyle) -> String {
        let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
        let bytes = render(&presentation.origin, &routes, style).expect("there is a playlist");
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (rest, playlist) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        let uris = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(playlist.variants.len(), uris, "{text}");
        let media = text.matches("#EXT-X-MEDIA:").count();
        assert_eq!(playlist.alternatives.len(), media, "{text}");
        let defaults = playlist.alternatives.iter().filter(|media| media.default);
        assert_eq!(defaults.count(), media.min(1), "{text}");
        for variant in &playlist.variants {
            assert!(
                variant.average_bandwidth.unwrap() <= variant.bandwidth,
                "{text}"
            );
        }
        text
    }

    /// What stands behind an attribute of the first variant.
    fn attribute(text: &str, name: &str) -> String {
        let line = text
            .lines()
            .find(|line| line.starts_with("#EXT-X-STREAM-INF"))
            .unwrap();
        let value = line.split_once(&format!("{name}=")).unwrap().1;
        match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap().to_owned(),
            None => value.split(',').next().unwrap().to_owned(),
        }
    }

    fn language(settings: RenditionSettings, label: &str, tag: &str) -> RenditionSettings {
        RenditionSettings {
            label: label.to_owned(),
            language: Some(tag.to_owned()),
            ..settings
        }
    }

    #[test]
    fn there_is_none_before_all_have_a_segment() {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.segment(VIDEO);
        let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
        assert_eq!(render(&presentation.origin, &routes, &STYLE), None);
    }

    #[test]
    fn video_and_audio() {
        let presentation = Presentation::of_video_and_audio().with_segments(2);
        assert_eq!(
            text(&presentation),
            "\
#EXTM3U
#EXT-X-VERSION:4
# run run
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"audio\",GROUP-ID=\"audio\",URI=\"live_audio.m3u8\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"
#EXT-X-STREAM-INF:BANDWIDTH=719,AVERAGE-BANDWIDTH=711,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio\"
live_video.m3u8
"
        );
    }

    #[test]
    fn where_to_begin_is_said_once_for_all() {
        let presentation = Presentation::of_video_and_audio().with_segments(2);
        let style = PlaylistStyle {
            start_offset: 1.5,
            ..STYLE
        };
        assert_eq!(
            text_in(&presentation, &style).lines().nth(3),
            Some("#EXT-X-START:TIME-OFFSET=-0.3,PRECISE=YES")
        );
        let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
        for id in [VIDEO, AUDIO] {
            let media = playlist::render(&presentation.origin, id, &routes, &style).unwrap();
            let media = String::from_utf8(media.to_vec()).unwrap();
            assert!(!media.contains("EXT-X-START"), "{media}");
        }
    }

    #[test]
    fn a_ladder_in_two_languages() {
        let mut presentation = Presentation::new(vec![
            video("video"),
            language(audio("audio"), "English", "en"),
            video("video_1"),
            RenditionSettings {
                is_default: true,
                ..language(audio("audio_1"), "Deutsch", "de")
            },
            language(audio("audio_2"), "Deutsch", "de"),
        ]);
        let small = InitSection {
            codec: "avc1.42c01e".to_owned(),
            resolution: Some((640, 360)),
            frame_rate: Some((15_000, 1001)),
            ..video_init("<small>")
        };
        let opus = InitSection {
            codec: "opus".to_owned(),
            channels: Some(6),
            ..audio_init("<opus>")
        };
        presentation.publish(Publication::Init(RenditionId(2), small));
        presentation.publish(Publication::Init(RenditionId(4), opus));
        assert_eq!(
            text(&presentation.with_segments(1)),
            "\
#EXTM3U
#EXT-X-VERSION:4
# run run
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"English\",GROUP-ID=\"audio\",URI=\"live_audio.m3u8\",LANGUAGE=\"en\",AUTOSELECT=YES,CHANNELS=\"2\"
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"Deutsch\",GROUP-ID=\"audio\",URI=\"live_audio_1.m3u8\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"Deutsch (audio_2)\",GROUP-ID=\"audio\",URI=\"live_audio_2.m3u8\",LANGUAGE=\"de\",CHANNELS=\"6\"
#EXT-X-STREAM-INF:BANDWIDTH=703,AVERAGE-BANDWIDTH=703,CODECS=\"avc1.64001f,mp4a.40.2,opus\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio\"
live_video.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=703,AVERAGE-BANDWIDTH=703,CODECS=\"avc1.42c01e,mp4a.40.2,opus\",RESOLUTION=640x360,FRAME-RATE=14.985,AUDIO=\"audio\"
live_video_1.m3u8
"
        );
    }

    #[test]
    fn videos_alone_need_no_group() {
        let presentation = Presentation::new(vec![video("video"), video("video_1")]);
        assert_eq!(
            text(&presentation.with_segments(1)),
            "\
#EXTM3U
# run run
#EXT-X-STREAM-INF:BANDWIDTH=320,AVERAGE-BANDWIDTH=320,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,FRAME-RATE=30.000
live_video.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=320,AVERAGE-BANDWIDTH=320,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,FRAME-RATE=30.000
live_video_1.m3u8
"
        );
    }

    #[test]
    fn audio_alone() {
        let presentation = Presentation::new(vec![
            language(audio("audio"), "English", "en"),
            language(audio("audio_1"), "Deutsch", "de"),
        ]);
        assert_eq!(
            text(&presentation.with_segments(1)),
            "\
#EXTM3U
#EXT-X-VERSION:4
# run run
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"English\",GROUP-ID=\"audio\",URI=\"live_audio.m3u8\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"Deutsch\",GROUP-ID=\"audio\",URI=\"live_audio_1.m3u8\",LANGUAGE=\"de\",AUTOSELECT=YES,CHANNELS=\"2\"
#EXT-X-STREAM-INF:BANDWIDTH=383,AVERAGE-BANDWIDTH=383,CODECS=\"mp4a.40.2\",AUDIO=\"audio\"
live_audio.m3u8
"
        );
    }

    #[test]
    fn what_has_not_come_and_what_is_over_is_not_offered() {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.publish(Publication::Absent(AUDIO));
        presentation.segment(VIDEO);
        let alone = text(&presentation);
        assert!(!alone.contains("audio"), "{alone}");
        assert_eq!(attribute(&alone, "CODECS"), "avc1.64001f");

        presentation.segment(AUDIO);
        let joined = text(&presentation);
        assert!(joined.contains("live_audio.m3u8"), "{joined}");

        presentation.publish(Publication::EndOfRendition(AUDIO));
        assert_eq!(text(&presentation), alone);

        presentation.publish(Publication::EndOfRendition(VIDEO));
        assert_eq!(text(&presentation), joined, "all is over");
    }

    #[test]
    fn with_no_video_going_on_the_audio_is_the_variant() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(1);
        presentation.publish(Publication::EndOfRendition(VIDEO));
        assert_eq!(
            text(&presentation),
            "\
#EXTM3U
# run run
#EXT-X-STREAM-INF:BANDWIDTH=383,AVERAGE-BANDWIDTH=383,CODECS=\"mp4a.40.2\"
live_audio.m3u8
"
        );
    }

    #[test]
    fn the_bandwidth_is_never_under_what_was_seen() {
        let mut presentation = Presentation::of_video_and_audio();
        let mut last = 0;
        for _ in 0..12 {
            presentation = presentation.with_segments(1);
            let bandwidth = attribute(&text(&presentation), "BANDWIDTH")
                .parse()
                .unwrap();
            assert!(bandwidth >= last);
            last = bandwidth;
            let rate = |id| {
                let segments = presentation.window(id).kept();
                let rates = segments
                    .map(|segment| segment.size() as f64 * 8.0 / segment.duration.as_seconds());
                rates.fold(0.0, f64::max)
            };
            assert!(bandwidth as f64 >= rate(VIDEO) + rate(AUDIO));
        }
    }

    /// And rule MV-13: none of the tags of a media playlist.
    #[test]
    fn renditions_keep_their_order_whoever_comes_first() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let mut presentation = Presentation::new(vec![
                video("video"),
                audio("audio"),
                video("video_1"),
                audio("audio_1"),
            ]);
            for place in order {
                presentation.publish(Publication::Absent(RenditionId(place)));
            }
            for place in order {
                presentation.segment(RenditionId(place));
            }
            let text = text(&presentation);
            let tags: Vec<&str> = text
                .lines()
                .map(|line| line.split([':', ' ']).next().unwrap())
                .collect();
            let expected = [
                "#EXTM3U",
                "#EXT-X-VERSION",
                "#",
                "#EXT-X-MEDIA",
                "#EXT-X-MEDIA",
                "#EXT-X-STREAM-INF",
                "live_video.m3u8",
                "#EXT-X-STREAM-INF",
                "live_video_1.m3u8",
            ];
            assert_eq!(tags, expected);
            let place = |uri: &str| text.find(uri).unwrap();
            assert!(place("live_audio.m3u8") < place("live_audio_1.m3u8"));
        }
    }

    #[test]
    fn frame_rates_have_three_decimals() {
        for (rate, expected) in [
            ((30, 1), Some("30.000")),
            ((30_000, 1001), Some("29.970")),
            ((24_000, 1001), Some("23.976")),
            ((60_000, 1001), Some("59.940")),
            ((1, 3), Some("0.333")),
            ((1, 0), None),
            ((0, 1), None),
            ((1, 10_000), None),
        ] {
            assert_eq!(frame_rate(rate).as_deref(), expected, "{rate:?}");
        }
    }
}
