//! Whatever has been published: what playlists name is there, and what they report is true.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// MR-06: whatever has been published, each URI a playlist names has an answer, and only the hint's is to wait.
    #[test]
    fn every_uri_named_is_answerable(
        segments in prop::collection::vec((0..8_u64, any::<bool>(), any::<bool>(), 0..3_i64), 1..30),
        open_parts in 0..5_u64,
        is_init_coming: bool,
    ) {
        let mut stream = Stream::new(SETTINGS, CONSTANTS);
        let routes = routes();
        let mut formats = ["<a>", "<b>"].iter().cycle();
        stream.segment(5);
        for (parts, is_discontinuity, is_new_format, missing) in segments {
            if is_discontinuity {
                stream.discontinuity();
            }
            if is_new_format {
                stream.publish(init(formats.next().unwrap()));
            }
            stream.parts(parts);
            if missing > 0 || parts == 0 {
                stream.gap(missing * 7000 + 1);
            }
            stream.end_segment();
        }
        if is_init_coming {
            stream.publish(Publication::ComingInit(RenditionId::MAIN));
        }
        stream.parts(open_parts);
        check_answerable(&text(&stream, &STYLE), &stream.origin, &routes)?;
    }

    /// The same of several renditions, each at its own pace: of the multivariant playlist and whatever it leads to.
    /// And PL-30: each report says what the playlist it is about says at that moment.
    #[test]
    fn every_uri_of_a_presentation_is_answerable_and_every_report_true(
        steps in prop::collection::vec((0..4_usize, 0..10_u8), 1..60),
    ) {
        let settings = vec![video("video"), audio("audio"), video("video_1"), audio("audio_1")];
        let mut presentation = Presentation::new(settings);
        let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
        let mut formats = ["<a>", "<b>"].iter().cycle();
        let mut numbers = [(0, 0); 4];
        for (place, what) in steps {
            let id = RenditionId(place);
            match what {
                0 => {
                    presentation.publish(Publication::Absent(id));
                }
                1 if place == 3 => {
                    presentation.publish(Publication::EndOfRendition(id));
                }
                1 => presentation.track(id).discontinuity(),
                2 => {
                    let init = video_init(formats.next().unwrap());
                    presentation.publish(Publication::Init(id, init));
                }
                3..=4 => {
                    presentation.segment(id);
                }
                5 => {
                    presentation.gap(id, Nanos::from_millis(900));
                    presentation.end_segment(id);
                }
                6 => {
                    presentation.publish(Publication::ComingInit(id));
                }
                _ => {
                    presentation.part(id);
                }
            }
            let Some(entry) = multivariant::render(&presentation.origin, &routes, &STYLE) else {
                continue;
            };
            let entry = str::from_utf8(&entry).unwrap();
            check_answerable(entry, &presentation.origin, &routes)?;
            let texts: Vec<(RenditionId, String)> = presentation
                .origin
                .renditions()
                .filter(|(_, rendition)| rendition.window().is_live())
                .map(|(id, _)| (id, text_of(&presentation, id)))
                .collect();
            for (id, text) in &texts {
                check_answerable(text, &presentation.origin, &routes)?;
                check_reports(*id, &texts, &routes)?;
                let number = |tag: &str| {
                    let line = text.lines().find_map(|line| line.strip_prefix(tag));
                    line.map_or(0, |number| number.parse::<u64>().unwrap())
                };
                let after = (
                    number("#EXT-X-MEDIA-SEQUENCE:"),
                    number("#EXT-X-DISCONTINUITY-SEQUENCE:"),
                );
                let before = std::mem::replace(&mut numbers[id.0], after);
                prop_assert!(after.0 >= before.0 && after.1 >= before.1);
            }
        }
    }
}

fn check_answerable(text: &str, origin: &Origin, routes: &Routes) -> Result<(), TestCaseError> {
    let mut is_gap = false;
    for line in text.lines() {
        is_gap |= line == "#EXT-X-GAP";
        let is_missing = if line.starts_with('#') {
            line.ends_with("GAP=YES")
        } else {
            std::mem::take(&mut is_gap)
        };
        check_line(line, is_missing, origin, routes)?;
    }
    Ok(())
}

fn check_line(
    line: &str,
    is_missing: bool,
    origin: &Origin,
    routes: &Routes,
) -> Result<(), TestCaseError> {
    let uri = match line.split_once("URI=\"") {
        Some((_, rest)) => rest.split('"').next().unwrap(),
        None if line.starts_with('#') => return Ok(()),
        None => line,
    };
    let request = Request::parse("GET", &format!("/{uri}"), None, routes).unwrap();
    let decision = decide(&request, origin, Nanos(0));
    let is_as_promised = match &decision {
        Decision::Wait { .. } => line.starts_with("#EXT-X-PRELOAD-HINT"),
        Decision::Refuse(refusal) if is_missing => refusal.status == 404,
        Decision::Reply(_) if is_missing => false,
        Decision::Reply(reply) => match &reply.content {
            // An init section may be there before the part that needs it.
            Content::Media(chunks) => {
                !chunks.is_empty() && !line.starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART")
            }
            Content::Playlist(id) => render(origin, *id, routes, &STYLE).is_some(),
            _ => false,
        },
        Decision::Refuse(_) => false,
    };
    prop_assert!(is_as_promised, "{line}: {decision:?}");
    Ok(())
}

/// Each report in the playlist of `id` against the text it is about.
fn check_reports(
    id: RenditionId,
    texts: &[(RenditionId, String)],
    routes: &Routes,
) -> Result<(), TestCaseError> {
    let others = texts.iter().filter(|(other, _)| *other != id);
    let expected: Vec<String> = others
        .map(|(other, text)| {
            let uri = routes.playlist_uri(*other);
            format!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",{}", last_of(text))
        })
        .collect();
    let own = texts.iter().find(|(own, _)| *own == id);
    let text = own.map_or("", |(_, text)| text);
    let found: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("#EXT-X-RENDITION-REPORT"))
        .collect();
    if text.ends_with("#EXT-X-ENDLIST\n") {
        prop_assert!(found.is_empty());
    } else {
        prop_assert_eq!(found, expected);
    }
    Ok(())
}

/// The newest part a playlist lists, counted off its text.
fn last_of(text: &str) -> String {
    let (mut msn, mut parts) = (0, 0_u64);
    let mut last = String::new();
    for line in text.lines() {
        if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            msn = first.parse().unwrap();
        } else if line.starts_with("#EXT-X-PART:") {
            last = format!("LAST-MSN={msn},LAST-PART={parts}");
            parts += 1;
        } else if !line.starts_with('#') {
            if parts == 0 {
                last = format!("LAST-MSN={msn}");
            }
            (msn, parts) = (msn + 1, 0);
        }
    }
    last
}
