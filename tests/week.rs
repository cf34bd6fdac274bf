//! Seven days of a stream, simulated: numbers go on, names grow, memory does not.

use bytes::Bytes;
use gstllhlssink::{
    cmaf::segmenter::{Frame, Plan, Segmenter, Step},
    origin::{
        Origin,
        media::{
            InitSection, Msn, NewPart, Publication, RenditionId, RenditionKind, RenditionSettings,
            RunId,
        },
        rendition::Renditions,
        window::{LiveWindow, WindowSettings},
    },
    time::{Nanos, RunningTime, Timescale, UnixTime},
};

const DAYS: i64 = 7;
const FRAMES_A_SECOND: i64 = 5;

#[test]
fn a_week_of_video() {
    let mut origin = Origin::new(
        RunId::new("week").unwrap(),
        &Renditions::new(vec![RenditionSettings::new(RenditionKind::Video, "video")]).unwrap(),
        WindowSettings {
            playlist_length: 6,
            max_files: 20,
        },
    );
    let id = RenditionId::MAIN;
    let start = UnixTime(0);
    origin.publish(
        Publication::Init(
            id,
            InitSection {
                bytes: Bytes::from_static(b"init"),
                codec: "avc1.640014".to_owned(),
                resolution: Some((320, 240)),
                frame_rate: Some((5, 1)),
                channels: None,
            },
        ),
        start,
    );
    let mut segmenter = Segmenter::new(Plan {
        timescale: Timescale::new(90_000).unwrap(),
        segment_duration: Nanos::from_seconds(1),
        part_duration: Nanos::from_millis(200),
        frame_duration: Some(Nanos::from_millis(200)),
        is_audio: false,
        has_company: false,
        constants: None,
    });
    let spacing = Nanos::from_millis(1000 / FRAMES_A_SECOND);
    let frames = DAYS * 86_400 * FRAMES_A_SECOND;
    let mut decode = 0;
    let mut most_kept = 0;
    for index in 0..frames {
        let now = RunningTime(index * spacing.0);
        let steps = segmenter.push(Frame {
            decode: now,
            presentation: now,
            duration: None,
            is_sync: index % FRAMES_A_SECOND == 0,
        });
        for step in steps {
            let publication = match step {
                Step::CutPart(cut) => {
                    assert_eq!(cut.decode, decode);
                    decode += cut.duration.ticks;
                    Publication::Part(
                        id,
                        NewPart {
                            bytes: Bytes::from_static(b"part"),
                            duration: cut.duration,
                            is_independent: cut.is_independent(),
                            captured: UnixTime(cut.captured.0),
                            program_date_time: UnixTime(cut.date.0),
                            is_discontinuity: cut.is_discontinuity,
                        },
                    )
                }
                Step::EndSegment(end) => Publication::SegmentEnd(id, end.constants),
                _ => continue,
            };
            origin.publish(publication, UnixTime(now.0));
        }
        if index % 10_000 == 0 {
            most_kept = most_kept.max(window(&origin).kept().count());
        }
    }
    let window = window(&origin);
    let last = window.last_complete().expect("a segment");
    assert_eq!(last.msn, Msn(u64::try_from(DAYS * 86_400).unwrap() - 1));
    assert!(last.msn.0 > 99_999);
    assert!(decode > i64::from(u32::MAX), "beyond 32 bits");
    assert!(most_kept <= 20, "{most_kept} segments kept");
}

fn window(origin: &Origin) -> &LiveWindow {
    origin.main().window()
}
