//! Where inotify cannot be had the folder is looked at instead. A binary of its own: for its time nobody else of this user can
//! have it either.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]
#![cfg(target_os = "linux")]

mod support;

use std::{fs, path::Path};

use rustix::{
    fd::OwnedFd,
    fs::inotify::{self, CreateFlags},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use support::{
    folder::Watching,
    playlist::FIRST_MSN,
    stream::{FedStream, Frames},
};

/// Every inotify instance the user may still have.
fn all_instances() -> Vec<OwnedFd> {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let most = getrlimit(Resource::Nofile).maximum;
    let limits = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limits).unwrap();
    let wanted = u64::try_from(limit).unwrap() + 256;
    assert!(
        most.is_none_or(|descriptors| descriptors >= wanted),
        "{limit} instances take more descriptors than there may be: {most:?}"
    );
    let one = || inotify::init(CreateFlags::CLOEXEC).ok();
    (0..limit).map_while(|_| one()).collect()
}

/// Whole segments, as another program would leave them.
fn recorded() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let frames = Frames::test_picture(120, 30);
    let mut fed = FedStream::new(
        &frames.caps,
        &format!("location={}", place.path().display()),
    );
    fed.play_to_end(&frames);
    fed.stream.stop();
    place
}

fn copy(from: &Path, to: &Path, name: &str) {
    fs::copy(from.join(name), to.join(name)).unwrap();
}

#[test]
fn without_inotify_the_folder_is_looked_at() {
    support::init();
    let recorded = recorded();
    let names: Vec<String> = fs::read_dir(recorded.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut segments: Vec<&String> = names
        .iter()
        .filter(|name| name.starts_with("segment"))
        .collect();
    segments.sort();
    assert_eq!(segments.len(), 4, "{names:?}");

    let place = tempfile::tempdir().unwrap();
    let taken = all_instances();
    assert!(!taken.is_empty());
    let mut watching = Watching::start(place.path(), "inotify", "poll-interval=20");
    watching.expects_warnings = true;
    let warning = watching.wait_for_warning("cannot be watched with inotify");
    assert!(warning.contains("every 20 ms instead"), "{warning}");
    for name in names.iter().filter(|name| name.contains("init")) {
        copy(recorded.path(), place.path(), name);
    }
    for (nth, name) in segments.iter().enumerate() {
        copy(recorded.path(), place.path(), name);
        let playlist = watching.wait_for_segments(nth + 1);
        assert_eq!(playlist.segments[0].msn, FIRST_MSN);
    }
    assert_eq!(watching.warnings().len(), 1, "{:?}", watching.warnings());

    // The same for files of the element's own.
    let place = tempfile::tempdir().unwrap();
    let frames = Frames::test_picture(120, 30);
    let mut fed = FedStream::new(
        &frames.caps,
        &format!(
            "mode=inotify poll-interval=20 location={}",
            place.path().display()
        ),
    );
    let playlist = fed.play_to_end(&frames);
    assert_eq!(playlist.segments.len(), 4);
    let warnings = fed.stream.warnings_after_drain();
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains("cannot be watched with inotify"),
        "{warning}"
    );
    drop(taken);
}
