use super::{
    super::fixture::{WHOLE, boxes, of_another_format, slowed},
    *,
};
use crossbeam_channel::unbounded;
use std::fs;

/// Where each `moof` begins, and the end.
fn fragments() -> Vec<usize> {
    let moofs = boxes(b"moof").into_iter().map(|at| at - 4);
    moofs.chain([WHOLE.len()]).collect()
}

/// An intake that is driven by hand, and what it tells.
fn by_hand(folder: &std::path::Path) -> (Work, Receiver<News>) {
    let (told, news) = unbounded();
    let settings = IntakeSettings {
        location: folder.to_owned(),
        manner: Manner::Poll,
        poll_interval: Duration::from_millis(50),
        segment_duration: Nanos::from_millis(400),
        max_files: 20,
    };
    let folder = Folder::make(folder).unwrap();
    let tell = Box::new(move |news| told.send(news).unwrap());
    (Work::new(settings, folder, never(), tell), news)
}

/// Files as they come, so many seconds apart.
fn take_in_turn(work: &mut Work, files: &[(&str, &[u8])], seconds: i64) {
    for (nth, (name, bytes)) in (1..).zip(files) {
        fs::write(work.folder.path().join(name), bytes).unwrap();
        assert!(work.try_take(name, UnixTime(nth * seconds * 1_000_000_000), false));
    }
}

/// What was told of a file, and that nothing else was wrong.
fn warnings(news: &Receiver<News>) -> Vec<String> {
    let warning = |news| match news {
        News::Warning(text) => Some(text),
        _ => None,
    };
    news.try_iter().filter_map(warning).collect()
}

/// When polled, or on a slow day, media is met before the init section is there, and more media before that is told of.
#[test]
fn media_that_waits_for_its_init_section_comes_first() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let write = |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).unwrap();
    let starts = fragments();
    let media = |nth: usize| &WHOLE[starts[nth]..starts[nth + 1]];

    write("a_0.m4s", media(0));
    assert!(work.try_take("a_0.m4s", UnixTime(1), false));
    assert!(news.is_empty());
    write("init.mp4", &WHOLE[..starts[0]]);
    write("a_1.m4s", media(1));
    assert!(work.try_take("a_1.m4s", UnixTime(2), false));
    // Its own report changes nothing any more.
    assert!(work.try_take("init.mp4", UnixTime(3), false));

    let told: Vec<News> = news.try_iter().collect();
    assert!(
        matches!(&told[0], News::Renditions(all) if all.len() == 2),
        "{told:?}"
    );
    let mut finished: Vec<UnixTime> = told
        .iter()
        .filter_map(|news| match news {
            News::Publication(Publication::Part(..), at) => Some(*at),
            News::Warning(text) => panic!("{text}"),
            _ => None,
        })
        .collect();
    finished.dedup();
    assert_eq!(finished, [UnixTime(1), UnixTime(2)], "in order");
}

/// The same media, with the numbers of its tracks the other way round.
fn of_another_muxer() -> Vec<u8> {
    let mut bytes = WHOLE.to_vec();
    for (name, id) in [(b"tkhd", 19), (b"trex", 11), (b"tfhd", 11)] {
        for at in boxes(name) {
            bytes[at + id] = 3 - bytes[at + id];
        }
    }
    bytes
}

#[test]
fn a_file_of_another_format_beside_the_stream_is_left_out() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let starts = fragments();
    let mut second = 0;
    let mut take = |name: &str, bytes: &[u8]| {
        fs::write(place.path().join(name), bytes).unwrap();
        second += 1;
        assert!(work.try_take(name, UnixTime(second * 1_000_000_000), false));
    };
    take("init.mp4", &WHOLE[..starts[0]]);
    take("a_0.m4s", &WHOLE[starts[0]..starts[1]]);
    assert_eq!(warnings(&news), [""; 0]);
    take("holiday.mp4", &of_another_format());
    let warned = warnings(&news);
    assert!(
        warned.len() == 1 && warned[0].contains("holiday.mp4"),
        "{warned:?}"
    );
    take("a_1.m4s", &WHOLE[starts[1]..]);
    let told: Vec<News> = news.try_iter().collect();
    assert!(!told.is_empty());
    assert!(
        told.iter().all(|news| matches!(
            news,
            News::Publication(Publication::Part(..) | Publication::SegmentEnd(..), _)
        )),
        "under the init section there was: {told:?}"
    );
    // A writer that has changed its mind writes more than one.
    take("b_0.mp4", &of_another_format());
    assert_eq!(warnings(&news).len(), 1);
    take("b_1.mp4", &of_another_format());
    let told: Vec<News> = news.try_iter().collect();
    let is_init = |news: &&News| matches!(news, News::Publication(Publication::Init(..), _));
    assert_eq!(told.iter().filter(is_init).count(), 1, "{told:?}");
}

#[test]
fn a_file_of_another_muxer_beside_the_stream_changes_nothing_for_the_others() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let starts = fragments();
    let files = [
        ("init.mp4", &WHOLE[..starts[0]]),
        ("a_0.m4s", &WHOLE[starts[0]..starts[1]]),
        ("guest.mp4", &of_another_muxer()),
        ("a_1.m4s", &WHOLE[starts[1]..]),
    ];
    take_in_turn(&mut work, &files, 1);
    let mut ends = 0;
    for news in news.try_iter() {
        match news {
            News::Publication(Publication::SegmentEnd(..), _) => ends += 1,
            News::Warning(text) => panic!("{text}"),
            _ => {}
        }
    }
    assert_eq!(ends, 6, "three of each rendition");
}

/// What was true of the files before says nothing of a writer that has begun anew.
#[test]
fn another_presentation_may_bring_its_headers() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let starts = fragments();
    let without_sound = |mut bytes: Vec<u8>| {
        let sound = boxes(b"trak")[1];
        bytes[sound..sound + 4].copy_from_slice(b"free");
        bytes
    };
    let same = without_sound(WHOLE.to_vec());
    let files = [
        ("init.mp4", &WHOLE[..starts[0]]),
        ("a_0.m4s", &WHOLE[starts[0]..]),
        ("b_0.mp4", &same),
        ("b_1.mp4", &same),
    ];
    take_in_turn(&mut work, &files, 1);
    assert_eq!(
        warnings(&news).len(),
        1,
        "of the first of the second writer"
    );
    let other = without_sound(of_another_format());
    let files: [(&str, &[u8]); 2] = [("b_2.mp4", &same), ("b_3.mp4", &other)];
    take_in_turn(&mut work, &files, 10);
    let told: Vec<News> = news.try_iter().collect();
    let is_init = |news: &&News| matches!(news, News::Publication(Publication::Init(..), _));
    assert_eq!(told.iter().filter(is_init).count(), 1, "{told:?}");
}

#[test]
fn a_header_whose_media_is_of_no_use_counts_for_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let mut take = |name: &str, bytes: &[u8]| {
        fs::write(place.path().join(name), bytes).unwrap();
        let _ = work.try_take(name, UnixTime(1), false);
    };
    take("a.mp4", WHOLE);
    let mut broken = of_another_format();
    // No fragment is of a track it has.
    for at in boxes(b"tfhd") {
        broken[at + 11] = 9;
    }
    take("b.mp4", &broken);
    assert_eq!(warnings(&news).len(), 1);
    take("c.mp4", WHOLE);
    let told: Vec<News> = news.try_iter().collect();
    let is_init = |news: &&News| matches!(news, News::Publication(Publication::Init(..), _));
    assert_eq!(told.iter().filter(is_init).count(), 0, "{told:?}");
}

#[test]
fn files_longer_than_the_first_are_told_of_once() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let slowed = slowed();
    let files = [("a.mp4", WHOLE), ("b.mp4", &slowed), ("c.mp4", &slowed)];
    take_in_turn(&mut work, &files, 2);
    let warned = warnings(&news);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("segment-duration"), "{warned:?}");
}

/// An end that is only cut off when polled, where nobody says that a file was closed.
#[test]
fn a_file_that_is_cut_off_is_left_out_once_it_is_old() {
    let place = tempfile::tempdir().unwrap();
    let (mut work, news) = by_hand(place.path());
    let cut = &WHOLE[..WHOLE.len() / 2];
    fs::write(place.path().join("a.mp4"), cut).unwrap();
    assert!(!work.try_take("a.mp4", UnixTime(1), true), "it may grow");
    assert_eq!(warnings(&news), [""; 0]);
    assert!(work.try_take("a.mp4", UnixTime(1), false));
    let warned = warnings(&news);
    assert!(
        warned.len() == 1 && warned[0].contains("a.mp4"),
        "{warned:?}"
    );
}
