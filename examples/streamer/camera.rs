//! Which of a camera's formats to take, and what has to be done to its frames.
//!
//! Belongs here: the choice, from the caps the camera offers alone. Does not: asking the camera (`devices`).

use std::cmp::Reverse;

use crate::switches::{FrameRate, Picture, Resolution};

/// What the encoder takes without a conversion.
const ENCODABLE: [&str; 3] = ["I420", "NV12", "YV12"];

/// By which the queue is found that keeps up with the camera.
pub(crate) const KEEP_UP_NAME: &str = "keep-up";

/// How frames come from the camera, the least work first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    /// Encoded by the camera: nothing is left to do.
    H264,
    /// What the encoder takes as it is.
    Encodable(String),
    /// What has to be converted first: YUY2, most of the time.
    Raw(String),
    /// What has to be decoded first. Most USB cameras reach their full size and rate so only.
    Jpeg,
}

/// What a camera is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) format: Format,
    pub(crate) picture: Picture,
}

/// The format of least work among those that come nearest to what is wanted. `playable` is what the sink takes.
///
/// `None` when the camera gives nothing that can be used.
pub(crate) fn choose(
    offered: &gst::CapsRef,
    wanted: Picture,
    playable: &gst::CapsRef,
) -> Option<Choice> {
    offered
        .iter_with_features()
        .filter(|(_, features)| features.contains(gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY))
        .flat_map(|(structure, _)| choices(structure, wanted, playable))
        .min_by_key(|choice| {
            (
                // What the camera encoded cannot be made another size: only if there is nothing else.
                choice.format == Format::H264 && !choice.is_as(wanted),
                Reverse(coverage(choice.picture, wanted)),
                choice.format.clone(),
                choice.picture.size.pixels(),
                choice.picture.rate.0,
            )
        })
}

/// How much of the wanted pixels and pictures there are, in thousandths; more than enough counts as enough.
fn coverage(given: Picture, wanted: Picture) -> u32 {
    let pixels = given.size.pixels() as f64 / wanted.size.pixels() as f64;
    let rate = if given.rate.is_like(wanted.rate) {
        1.0
    } else {
        given.rate.per_second() / wanted.rate.per_second()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let thousandths = (pixels.min(1.0) * rate.min(1.0) * 1000.0).round() as u32;
    thousandths
}

/// Every way in which one structure of the caps can be taken.
fn choices(structure: &gst::StructureRef, wanted: Picture, playable: &gst::CapsRef) -> Vec<Choice> {
    let formats = match structure.name().as_str() {
        "video/x-h264" => {
            // A profile that no browser plays is none to take.
            let caps = gst::Caps::builder_full().structure(structure.to_owned());
            if !profile_only(&caps.build()).can_intersect(playable) {
                return Vec::new();
            }
            vec![Format::H264]
        }
        "image/jpeg" => vec![Format::Jpeg],
        "video/x-raw" => words(structure, "format")
            .into_iter()
            .map(|name| {
                if ENCODABLE.contains(&name.as_str()) {
                    Format::Encodable(name)
                } else {
                    Format::Raw(name)
                }
            })
            .collect(),
        _ => return Vec::new(),
    };
    let mut choices = Vec::new();
    for format in &formats {
        for width in numbers(structure, "width", wanted.size.width) {
            for height in numbers(structure, "height", wanted.size.height) {
                for rate in rates(structure, wanted.rate) {
                    let size = Resolution { width, height };
                    choices.push(Choice {
                        format: format.clone(),
                        picture: Picture { size, rate },
                    });
                }
            }
        }
    }
    choices
}

/// The caps without anything but their profile: how frames are packed is converted behind the camera.
fn profile_only(caps: &gst::CapsRef) -> gst::Caps {
    let mut bare = gst::Structure::new_empty("video/x-h264");
    if let Some(profile) = caps.structure(0).and_then(|it| it.value("profile").ok()) {
        bare.set_value("profile", profile.clone());
    }
    gst::Caps::builder_full().structure(bare).build()
}

/// A field of words, one or several.
fn words(structure: &gst::StructureRef, field: &str) -> Vec<String> {
    let Ok(value) = structure.value(field) else {
        return Vec::new();
    };
    match value.get::<gst::List>() {
        Ok(list) => list.iter().filter_map(|word| word.get().ok()).collect(),
        Err(_) => value.get().into_iter().collect(),
    }
}

/// A field of whole numbers: those it lists, or of a range the one nearest to `wanted`.
fn numbers(structure: &gst::StructureRef, field: &str, wanted: i32) -> Vec<i32> {
    let Ok(value) = structure.value(field) else {
        return Vec::new();
    };
    if let Ok(range) = value.get::<gst::IntRange<i32>>() {
        let nearest = wanted.clamp(range.min(), range.max());
        let steps = (nearest - range.min()) / range.step().max(1);
        return vec![range.min() + steps * range.step().max(1)];
    }
    match value.get::<gst::List>() {
        Ok(list) => list.iter().filter_map(|number| number.get().ok()).collect(),
        Err(_) => value.get().into_iter().collect(),
    }
}

/// The rates a camera lists, or of a range the one nearest to `wanted`; `wanted` when it says nothing.
fn rates(structure: &gst::StructureRef, wanted: FrameRate) -> Vec<FrameRate> {
    let Ok(value) = structure.value("framerate") else {
        return vec![wanted];
    };
    if let Ok(range) = value.get::<gst::FractionRange>() {
        return vec![FrameRate(wanted.0.clamp(range.min(), range.max()))];
    }
    let all: Vec<gst::Fraction> = match value.get::<gst::List>() {
        Ok(list) => list.iter().filter_map(|rate| rate.get().ok()).collect(),
        Err(_) => value.get().into_iter().collect(),
    };
    // 0/1 means "any" to GStreamer.
    all.into_iter()
        .map(|rate| {
            if rate.numer() == 0 {
                wanted
            } else {
                FrameRate(rate)
            }
        })
        .collect()
}

/// Keeps up with the camera: when the processor cannot, frames are left out instead of getting old.
pub(crate) fn keep_up() -> String {
    format!(
        "queue name={KEEP_UP_NAME} max-size-buffers=3 max-size-bytes=0 max-size-time=0 leaky=downstream"
    )
}

impl Choice {
    fn is_as(&self, wanted: Picture) -> bool {
        self.picture.size == wanted.size && self.picture.rate.is_like(wanted.rate)
    }

    /// From the camera's pad to the sink's, as gst-launch-1.0 takes it. `encoder` takes raw pictures.
    pub(crate) fn line(&self, wanted: Picture, encoder: &str) -> String {
        let Picture { size, rate } = self.picture;
        let asked = format!(
            "width={},height={},framerate={}/{}",
            size.width,
            size.height,
            rate.0.numer(),
            rate.0.denom()
        );
        let (caps, media, decoder) = match &self.format {
            Format::H264 => return format!("video/x-h264,{asked} ! h264parse"),
            Format::Encodable(name) | Format::Raw(name) => (
                format!("video/x-raw,format={name},{asked}"),
                "video/x-raw",
                "",
            ),
            Format::Jpeg => (format!("image/jpeg,{asked}"), "image/jpeg", "jpegdec ! "),
        };
        let mut line = format!("{caps} ! {} ! ", keep_up());
        if rate.per_second() > wanted.rate.per_second() && !rate.is_like(wanted.rate) {
            // Before the decoder: what is left out need not be decoded.
            line += &format!(
                "videorate drop-only=true ! {media},framerate={}/{} ! ",
                wanted.rate.0.numer(),
                wanted.rate.0.denom()
            );
        }
        line += decoder;
        if size != wanted.size {
            line += &format!(
                "videoscale add-borders=true ! video/x-raw,width={},height={},pixel-aspect-ratio=1/1 ! ",
                wanted.size.width, wanted.size.height
            );
        }
        line + encoder
    }

    /// What the camera gives and what becomes of it, for people.
    pub(crate) fn describe(&self, wanted: Picture) -> String {
        let work = match &self.format {
            Format::H264 => "H.264, as it is".to_owned(),
            Format::Encodable(name) | Format::Raw(name) => format!("{name}, encoded here"),
            Format::Jpeg => "Motion JPEG, decoded and encoded here".to_owned(),
        };
        let Picture { size, rate } = self.picture;
        let mut text = format!("{size} at {rate} a second in {work}");
        if self.format == Format::H264 && !self.is_as(wanted) {
            text += &format!(
                "; it gives nothing that could be made {} at {}",
                wanted.size, wanted.rate
            );
        } else if size != wanted.size {
            text += &format!(", made {}", wanted.size);
        }
        if rate.per_second() < wanted.rate.per_second() && !rate.is_like(wanted.rate) {
            text += &format!(
                "; {} a second at that size is more than it gives",
                wanted.rate
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    fn caps(text: &str) -> gst::Caps {
        gst::init().unwrap();
        text.parse().unwrap()
    }

    fn wanted(size: &str, rate: &str) -> Picture {
        Picture {
            size: size.parse().unwrap(),
            rate: rate.parse().unwrap(),
        }
    }

    fn chosen(offered: &str, wanted: Picture) -> Option<String> {
        let playable = caps("video/x-h264,profile={constrained-baseline,main,high}");
        let choice = choose(&caps(offered), wanted, &playable)?;
        let Picture { size, rate } = choice.picture;
        Some(format!("{:?} {size} {rate}", choice.format))
    }

    /// Tables of real cameras, shortened.
    const USB_WEBCAM: &str = "video/x-raw,format=YUY2,width=1280,height=720,framerate={(fraction)10/1,(fraction)5/1}; \
         video/x-raw,format=YUY2,width=640,height=480,framerate={(fraction)30/1,(fraction)15/1}; \
         image/jpeg,parsed=true,width=1920,height=1080,framerate={(fraction)30/1,(fraction)15/1}; \
         image/jpeg,parsed=true,width=1280,height=720,framerate={(fraction)60/1,(fraction)30/1,(fraction)15/1}; \
         image/jpeg,parsed=true,width=640,height=480,framerate={(fraction)30/1}";
    const ENCODING_WEBCAM: &str = "video/x-h264,stream-format=byte-stream,alignment=au,width=1920,height=1080,framerate=30/1; \
         video/x-h264,stream-format=byte-stream,alignment=au,width=1280,height=720,framerate={(fraction)30/1,(fraction)15/1}; \
         image/jpeg,width=1280,height=720,framerate=30/1; image/jpeg,width=640,height=480,framerate=30/1; \
         video/x-raw,format=YUY2,width=640,height=480,framerate=30/1";
    const BOARD_CAMERA: &str = "video/x-raw,format={I420,YUY2,NV12},width=[32,2592,2],height=[32,1944,2],framerate=[1/1,90/1]; \
         image/jpeg,width=[32,2592,2],height=[32,1944,2],framerate=[1/1,90/1]";

    #[test]
    fn the_least_work_that_gives_all_that_is_wanted() {
        for (camera, size, rate, expected) in [
            (USB_WEBCAM, "1280x720", "30", "Jpeg 1280x720 30"),
            (USB_WEBCAM, "1280x720", "30000/1001", "Jpeg 1280x720 30"),
            (USB_WEBCAM, "1280x720", "10", "Raw(\"YUY2\") 1280x720 10"),
            (USB_WEBCAM, "640x480", "30", "Raw(\"YUY2\") 640x480 30"),
            (USB_WEBCAM, "640x480", "25", "Raw(\"YUY2\") 640x480 30"),
            // Larger is made smaller, with the least there is to decode.
            (USB_WEBCAM, "800x600", "30", "Jpeg 1280x720 30"),
            (USB_WEBCAM, "1920x1080", "60", "Jpeg 1920x1080 30"),
            (ENCODING_WEBCAM, "1280x720", "30", "H264 1280x720 30"),
            (ENCODING_WEBCAM, "1920x1080", "30", "H264 1920x1080 30"),
            (ENCODING_WEBCAM, "640x480", "30", "Raw(\"YUY2\") 640x480 30"),
            // What the camera encoded can be made neither smaller nor slower.
            (ENCODING_WEBCAM, "1280x720", "25", "Jpeg 1280x720 30"),
            (
                BOARD_CAMERA,
                "1280x720",
                "30",
                "Encodable(\"I420\") 1280x720 30",
            ),
            (
                BOARD_CAMERA,
                "4096x2160",
                "120",
                "Encodable(\"I420\") 2592x1944 90",
            ),
        ] {
            assert_eq!(
                chosen(camera, wanted(size, rate)).as_deref(),
                Some(expected),
                "{size} {rate} of {camera}"
            );
        }
    }

    #[test]
    fn when_nothing_gives_all_of_it_the_most_wins() {
        let slow_or_small = "video/x-raw,format=YUY2,width=1280,height=720,framerate=5/1; \
             video/x-raw,format=YUY2,width=640,height=480,framerate=30/1";
        assert_eq!(
            chosen(slow_or_small, wanted("1280x720", "30")).as_deref(),
            Some("Raw(\"YUY2\") 640x480 30")
        );
        let encoded_only = "video/x-h264,width=1920,height=1080,framerate=30/1";
        assert_eq!(
            chosen(encoded_only, wanted("1280x720", "30")).as_deref(),
            Some("H264 1920x1080 30")
        );
    }

    #[test]
    fn what_cannot_be_used_is_not_taken() {
        for offered in [
            "EMPTY",
            "video/x-bayer,format=rggb,width=1280,height=720,framerate=30/1",
            "video/x-h264,profile=high-4:4:4,width=1280,height=720,framerate=30/1",
            "video/x-raw(memory:DMABuf),format=NV12,width=1280,height=720,framerate=30/1",
        ] {
            assert_eq!(chosen(offered, wanted("1280x720", "30")), None, "{offered}");
        }
    }

    #[test]
    fn a_camera_that_says_no_rate_is_asked_for_the_wanted_one() {
        for rate in ["", ",framerate=0/1", ",framerate=[0/1,2147483647/1]"] {
            let offered = format!("image/jpeg,width=1280,height=720{rate}");
            assert_eq!(
                chosen(&offered, wanted("1280x720", "25")).as_deref(),
                Some("Jpeg 1280x720 25"),
                "{offered}"
            );
        }
    }

    /// Each road as a pipeline, with something that gives what a camera does: the frames come out as they were wanted.
    #[test]
    fn every_road_leads_to_the_wanted_picture() {
        let encoder = "videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse";
        let raw = |format: &str, caps: &str| {
            format!("videotestsrc num-buffers=30 ! video/x-raw,format={format},{caps} ! identity")
        };
        let quarter = "width=320,height=240,framerate=30/1";
        let wide = "width=640,height=360,framerate=60/1";
        for (source, offered) in [
            (
                raw("YUY2", quarter),
                format!("video/x-raw,format=YUY2,{quarter}"),
            ),
            (
                raw("I420", quarter),
                format!("video/x-raw,format=I420,{quarter}"),
            ),
            (
                format!("{} ! jpegenc", raw("I420", quarter)),
                format!("image/jpeg,{quarter}"),
            ),
            (
                format!("{} ! jpegenc", raw("I420", wide)),
                format!("image/jpeg,{wide}"),
            ),
            (
                format!("{} ! {encoder}", raw("I420", quarter)),
                format!("video/x-h264,{quarter}"),
            ),
        ] {
            let wanted = wanted("320x240", "30");
            let choice = choose(&caps(&offered), wanted, &caps("video/x-h264")).unwrap();
            // Nothing is left out here: the encoder may be slower than frames that are made up.
            let line = choice.line(wanted, encoder).replace(&keep_up(), "queue");
            let pipeline = gst::parse::launch(&format!("{source} ! {line} ! fakesink name=out"))
                .unwrap_or_else(|error| panic!("{line}: {error}"))
                .downcast::<gst::Pipeline>()
                .unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
            let said = pipeline
                .bus()
                .unwrap()
                .timed_pop_filtered(gst::ClockTime::from_seconds(30), &wanted)
                .unwrap_or_else(|| panic!("{line}: nothing comes"));
            assert_eq!(said.type_(), gst::MessageType::Eos, "{line}: {said:?}");
            let out = pipeline.by_name("out").unwrap();
            let given = out.static_pad("sink").unwrap().current_caps().unwrap();
            assert!(
                given.can_intersect(&caps(&format!("video/x-h264,{quarter}"))),
                "{line}: {given}"
            );
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }

    #[test]
    fn what_is_done_is_said() {
        let playable = caps("video/x-h264");
        for (camera, size, rate, expected) in [
            (
                USB_WEBCAM,
                "1280x720",
                "30",
                "1280x720 at 30 a second in Motion JPEG, decoded and encoded here",
            ),
            (
                USB_WEBCAM,
                "1920x1080",
                "60",
                "1920x1080 at 30 a second in Motion JPEG, decoded and encoded here; \
                 60 a second at that size is more than it gives",
            ),
            (
                USB_WEBCAM,
                "800x600",
                "30",
                "1280x720 at 30 a second in Motion JPEG, decoded and encoded here, made 800x600",
            ),
            (
                "video/x-h264,width=1920,height=1080,framerate=30/1",
                "1280x720",
                "30",
                "1920x1080 at 30 a second in H.264, as it is; it gives nothing that could be made 1280x720 at 30",
            ),
        ] {
            let wanted = wanted(size, rate);
            let choice = choose(&caps(camera), wanted, &playable).unwrap();
            assert_eq!(choice.describe(wanted), expected);
        }
    }
}
