//! Media from a folder another program fills: what splitmuxsink and ffmpeg write is served as it comes.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use gst::prelude::*;
use support::{
    folder::Watching,
    media::Init,
    playlist::{FIRST_MSN, Playlist, number},
};

const MUXER: &str = "muxer=\"mp4mux fragment-duration=100\"";

/// Here the next file is begun before the last one is closed.
const ASYNC_MUXER: &str = "async-finalize=true muxer-factory=mp4mux muxer-properties=properties,fragment-duration=(uint)100,streamable=true";

/// A pipeline that writes files until it is dropped.
struct Writer(gst::Pipeline);

impl Writer {
    /// Files of half a second, in fragments of a tenth, each counting from zero.
    fn splitmuxsink(folder: &Path, muxer: &str) -> Self {
        support::init();
        let line = format!(
            "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse \
             ! splitmuxsink location={}/segment_%05d.m4s max-size-time=500000000 {muxer}",
            folder.display()
        );
        let pipeline = gst::parse::launch(&line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .downcast::<gst::Pipeline>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self(pipeline)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// ffmpeg, ended when it is dropped.
struct Ffmpeg(Child);

impl Ffmpeg {
    fn start(folder: &Path, arguments: &str) -> Self {
        let child = Command::new("ffmpeg")
            .args("-hide_banner -loglevel error -nostdin -re".split(' '))
            .args(arguments.split(' '))
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets ffmpeg write as fast as it can, to its end.
fn offline(folder: &Path, arguments: &str) {
    let written = Command::new("ffmpeg")
        .args("-hide_banner -loglevel error -nostdin".split(' '))
        .args(arguments.split(' '))
        .current_dir(folder)
        .status();
    assert!(written.unwrap().success());
}

const TEST_PICTURE: &str = "-f lavfi -i testsrc=size=160x120:rate=30 -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 15";

/// Decode times run on from part to part without a hole, whatever the files count from. Answers parts a segment.
fn check_line(watching: &Watching, playlist: &Playlist) -> Vec<usize> {
    let mut client = watching.client();
    let init = Init::read_foreign(&client.body(&format!("/{}", playlist.segments[0].map)));
    let mut next = None;
    let mut counts = Vec::new();
    for segment in &playlist.segments {
        let bytes = client.body(&format!("/{}", segment.uri));
        let chunks = init.chunks(&bytes);
        for chunk in &chunks {
            if let Some(next) = next {
                assert_eq!(chunk.decode, next, "CM-09: {}", segment.uri);
            }
            next = Some(chunk.decode + chunk.duration());
        }
        let ticks: u64 = chunks.iter().map(|chunk| chunk.duration()).sum();
        let nanos = i64::try_from(ticks * 1_000_000_000 / u64::from(init.timescale)).unwrap();
        assert!((nanos - segment.duration).abs() < 20_000, "EXTINF");
        let parts: usize = segment.parts.len();
        assert!(parts == 0 || parts == chunks.len());
        let whole: Vec<u8> = segment
            .parts
            .iter()
            .flat_map(|part| client.body(&format!("/{}", part.uri)))
            .collect();
        assert!(whole.is_empty() || whole == bytes, "a segment is its parts");
        counts.push(chunks.len());
    }
    counts
}

/// What ffprobe makes of the live URL: frames decoded in two seconds, per kind.
fn probe(watching: &Watching) -> String {
    let url = format!("http://127.0.0.1:{}/live.m3u8", watching.port());
    let output = Command::new("ffprobe")
        .args("-v error -read_intervals %+2 -count_frames -show_entries stream=codec_type,nb_read_frames -of csv=p=0".split(' '))
        .arg(url)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// From where the process is, as people type it.
#[test]
fn a_location_may_be_relative() {
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let place = tempfile::tempdir().unwrap();
    let location = up.join(place.path().strip_prefix("/").unwrap());
    assert!(location.is_relative() && location.is_dir());
    let watching = Watching::start(&location, "inotify", "segment-duration=500");
    let _writer = Writer::splitmuxsink(place.path(), MUXER);
    watching.wait_for_segments(3);
    watching.assert_no_warnings();
}

#[test]
fn splitmuxsink_counts_anew_in_every_file_and_the_line_runs_on() {
    let place = tempfile::tempdir().unwrap();
    let watching = Watching::start(place.path(), "inotify", "segment-duration=500");
    let _writer = Writer::splitmuxsink(place.path(), MUXER);
    let playlist = watching.wait_for_segments(5);
    assert_eq!(playlist.target_duration, 1);
    assert!(
        playlist
            .segments
            .iter()
            .all(|segment| !segment.is_discontinuity)
    );
    let counts = check_line(&watching, &playlist);
    assert!(
        counts.iter().all(|&parts| parts > 1),
        "{counts:?}: a part a moof"
    );
    // Players may be no nearer than files come.
    assert!(playlist.part_hold_back >= 3_000_000_000);
    // Its moment in timestamps.json is when the file was closed.
    let document = watching.client().get("/timestamps.json").json();
    let names: Vec<String> = playlist
        .segments
        .iter()
        .map(|segment| segment.uri.rsplit('/').next().unwrap().to_owned())
        .collect();
    for name in &names {
        let moment = document["segments"][name].as_i64().unwrap();
        // splitmuxsink counts its files from 0.
        let file = format!("segment_{:05}.m4s", number(name) - FIRST_MSN);
        let modified = fs::metadata(place.path().join(file))
            .unwrap()
            .modified()
            .unwrap();
        let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        let late = moment - i64::try_from(modified.as_nanos()).unwrap();
        assert!(
            (-20_000_000..5_000_000_000).contains(&late),
            "{name}: {late} ns"
        );
    }
    let frames = probe(&watching);
    assert!(frames.starts_with("video,"), "{frames}");
    watching.assert_no_warnings();
}

/// What waits for a segment, or for its first part, is answered by the file that is finished next.
#[test]
fn the_next_file_answers_those_who_wait() {
    for mode in ["inotify", "poll"] {
        let place = tempfile::tempdir().unwrap();
        let watching = Watching::start(place.path(), mode, "segment-duration=500 poll-interval=20");
        let _writer = Writer::splitmuxsink(place.path(), MUXER);
        let playlist = watching.wait_for_segments(2);
        let next = playlist.next_part().0;
        // A machine that stands still keeps it waiting for longer than it may.
        let reloaded = support::wait_for("the reload", || {
            let answer = watching
                .client()
                .get(&format!("/live.m3u8?_HLS_msn={next}"));
            (answer.status == 200).then(|| Playlist::read(answer.text()))
        });
        assert!(
            reloaded.segments.iter().any(|segment| segment.msn == next),
            "{mode}"
        );
        let hint = reloaded.hint.unwrap();
        let part = support::wait_for("the hinted part", || {
            let answer = watching.client().get(&format!("/{hint}"));
            (answer.status == 200).then_some(answer.body)
        });
        assert_eq!(&part[4..8], b"moof", "{mode}");
    }
}

#[test]
fn polling_serves_the_same() {
    let place = tempfile::tempdir().unwrap();
    let watching = Watching::start(
        place.path(),
        "poll",
        "segment-duration=500 poll-interval=20",
    );
    let _writer = Writer::splitmuxsink(place.path(), ASYNC_MUXER);
    let playlist = watching.wait_for_segments(4);
    check_line(&watching, &playlist);
    assert!(
        playlist
            .segments
            .iter()
            .all(|segment| !segment.is_discontinuity)
    );
    watching.assert_no_warnings();
}

#[test]
fn ffmpeg_hls_has_its_init_section_in_a_file() {
    for flags in ["", "-hls_flags temp_file"] {
        let place = tempfile::tempdir().unwrap();
        let watching = Watching::start(place.path(), "inotify", "segment-duration=500");
        let line = format!(
            "{TEST_PICTURE} -f hls -hls_time 0.5 -hls_list_size 10 -hls_segment_type fmp4 {flags} out.m3u8"
        );
        let _writer = Ffmpeg::start(place.path(), line.replace("  ", " ").as_str());
        let playlist = watching.wait_for_segments(4);
        check_line(&watching, &playlist);
        assert!(
            playlist
                .segments
                .iter()
                .all(|segment| !segment.is_discontinuity)
        );
        watching.assert_no_warnings();
    }
}

#[test]
fn picture_and_sound_in_one_file_become_two_renditions() {
    let place = tempfile::tempdir().unwrap();
    let watching = Watching::start(place.path(), "inotify", "segment-duration=500");
    let line = format!(
        "-f lavfi -i sine {TEST_PICTURE} -c:a aac -f hls -hls_time 0.5 -hls_segment_type fmp4 out.m3u8"
    );
    let _writer = Ffmpeg::start(place.path(), &line);
    let multivariant = support::wait_for("two renditions", || {
        let answer = watching.client().get("/live.m3u8");
        let is_multivariant = answer.status == 200 && answer.text().contains("#EXT-X-STREAM-INF");
        is_multivariant.then(|| answer.text().to_owned())
    });
    assert!(multivariant.contains("live_audio.m3u8"), "{multivariant}");
    assert!(multivariant.contains("mp4a.40.2"), "{multivariant}");
    let frames = probe(&watching);
    assert!(
        frames.contains("video,") && frames.contains("audio,"),
        "{frames}"
    );
    watching.assert_no_warnings();
}

/// A file that ends with a whole fragment says nothing of whether it is finished.
#[test]
fn what_is_being_written_at_the_start_waits_for_its_end() {
    const WHOLE: &[u8] = include_bytes!("data/ffmpeg-two-tracks.mp4");
    // It may take seconds, and what is as old as that is not being written.
    support::init();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a_000.m4s"), WHOLE).unwrap();
    let half = {
        let second = WHOLE
            .windows(4)
            .enumerate()
            .filter(|(_, name)| *name == b"moof");
        second.map(|(at, _)| at - 4).nth(1).unwrap()
    };
    let mut open = fs::File::create(place.path().join("a_001.m4s")).unwrap();
    open.write_all(&WHOLE[..half]).unwrap();
    let watching = Watching::start(place.path(), "inotify", "segment-duration=400");
    let read = || {
        let mut client = watching.client();
        let answer = client.get("/live_video.m3u8");
        (answer.status == 200).then(|| Playlist::read(answer.text()))
    };
    let first = support::wait_for("the file before it", read);
    assert_eq!(first.segments.len(), 1, "it is not finished");
    open.write_all(&WHOLE[half..]).unwrap();
    drop(open);
    fs::write(place.path().join("a_002.m4s"), WHOLE).unwrap();
    let playlist = support::wait_for("all three", || {
        read().filter(|playlist| playlist.segments.len() >= 3)
    });
    assert_eq!(playlist.segments.len(), 3, "each once");
    check_line(&watching, &playlist);
    watching.assert_no_warnings();
}

/// A writer that began long ago has written its init section long ago.
#[test]
fn a_folder_that_is_full_already_is_joined() {
    for mode in ["inotify", "poll"] {
        let place = tempfile::tempdir().unwrap();
        offline(
            place.path(),
            &format!(
                "{TEST_PICTURE} -t 8 -f hls -hls_time 0.5 -hls_list_size 0 -hls_segment_type fmp4 out.m3u8"
            ),
        );
        let few = "segment-duration=500 playlist-length=4 max-files=8";
        let watching = Watching::start(place.path(), mode, few);
        let playlist = watching.wait_for_segments(4);
        check_line(&watching, &playlist);
        watching.assert_no_warnings();
    }
}

#[test]
fn the_init_section_of_another_day_says_nothing_of_what_comes() {
    let place = tempfile::tempdir().unwrap();
    offline(
        place.path(),
        &format!(
            "-f lavfi -i sine {TEST_PICTURE} -c:a aac -t 2 -f hls -hls_time 0.5 -hls_segment_type fmp4 out.m3u8"
        ),
    );
    let yesterday = std::time::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
    for entry in fs::read_dir(place.path()).unwrap() {
        let file = fs::File::options()
            .write(true)
            .open(entry.unwrap().path())
            .unwrap();
        file.set_modified(yesterday).unwrap();
    }
    let watching = Watching::start(place.path(), "inotify", "segment-duration=500");
    let _writer = Ffmpeg::start(
        place.path(),
        &format!("{TEST_PICTURE} -f hls -hls_time 0.5 -hls_segment_type fmp4 out.m3u8"),
    );
    watching.wait_for_segments(3);
    watching.assert_no_warnings();
}

/// Some writers open and close a file for each fragment.
#[test]
fn what_is_added_to_a_closed_file_is_taken_once() {
    const WHOLE: &[u8] = include_bytes!("data/ffmpeg-two-tracks.mp4");
    let place = tempfile::tempdir().unwrap();
    let watching = Watching::start(place.path(), "inotify", "segment-duration=400");
    let name = place.path().join("a_000.m4s");
    // Made first, as `touch` does.
    fs::write(&name, b"").unwrap();
    let fragments: Vec<usize> = WHOLE
        .windows(4)
        .enumerate()
        .filter(|(_, name)| *name == b"moof")
        .map(|(at, _)| at - 4)
        .chain([WHOLE.len()])
        .collect();
    fs::write(&name, &WHOLE[..fragments[1]]).unwrap();
    for (count, pair) in fragments[1..].windows(2).enumerate() {
        support::wait_for("what is there", || {
            let answer = watching.client().get("/live_video.m3u8");
            let is_there = |text| Playlist::read(text).segments.len() > count;
            (answer.status == 200 && is_there(answer.text())).then_some(())
        });
        let mut file = fs::File::options().append(true).open(&name).unwrap();
        file.write_all(&WHOLE[pair[0]..pair[1]]).unwrap();
    }
    let playlist = support::wait_for("all fragments", || {
        let answer = watching.client().get("/live_video.m3u8");
        let playlist = Playlist::read(answer.text());
        (playlist.segments.len() >= fragments.len() - 1).then_some(playlist)
    });
    assert_eq!(playlist.segments.len(), fragments.len() - 1, "each once");
    let mut segments = playlist.segments.iter();
    assert!(segments.all(|segment| !segment.is_discontinuity));
    check_line(&watching, &playlist);
    // Nothing new.
    fs::File::options().append(true).open(&name).unwrap();
    fs::write(place.path().join("b_000.m4s"), WHOLE).unwrap();
    let playlist = support::wait_for("the next file", || {
        let answer = watching.client().get("/live_video.m3u8");
        let playlist = Playlist::read(answer.text());
        (playlist.segments.len() >= fragments.len()).then_some(playlist)
    });
    assert_eq!(playlist.segments.len(), fragments.len());
    watching.assert_no_warnings();
}

/// ffmpeg counts pictures of another rate in other ticks.
#[test]
fn another_timescale_changes_no_duration() {
    let place = tempfile::tempdir().unwrap();
    let watching = Watching::start(place.path(), "inotify", "segment-duration=500");
    for (rate, expected) in [(30, 4), (25, 8)] {
        let made = tempfile::tempdir().unwrap();
        let picture = TEST_PICTURE.replace("rate=30", &format!("rate={rate}"));
        offline(
            made.path(),
            &format!(
                "{picture} -t 2 -f hls -hls_time 0.5 -force_key_frames expr:gte(t,n_forced*0.5) -hls_list_size 0 -hls_segment_type fmp4 -hls_fmp4_init_filename init_{rate}.mp4 -hls_segment_filename {rate}_%03d.m4s out.m3u8"
            ),
        );
        let mut names: Vec<_> = fs::read_dir(made.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".m4s"))
            .collect();
        names.sort();
        for name in std::iter::once(format!("init_{rate}.mp4")).chain(names) {
            fs::copy(made.path().join(&name), place.path().join(&name)).unwrap();
        }
        watching.wait_for_segments(expected);
    }
    let playlist = watching.wait_for_segments(8);
    let mut client = watching.client();
    for segment in &playlist.segments {
        let init = Init::read_foreign(&client.body(&format!("/{}", segment.map)));
        let bytes = client.body(&format!("/{}", segment.uri));
        let chunks = init.chunks(&bytes);
        let ticks: u64 = chunks.iter().map(|chunk| chunk.duration()).sum();
        let seconds = ticks as f64 / f64::from(init.timescale);
        assert!(
            (seconds - segment.duration as f64 / 1e9).abs() < 1e-4,
            "{}",
            playlist.text
        );
        assert!(
            (0.4..0.7).contains(&seconds),
            "{seconds} s of {}",
            segment.uri
        );
        let declared: i64 = segment.parts.iter().map(|part| part.duration).sum();
        assert!(segment.parts.is_empty() || (declared - segment.duration).abs() < 20_000);
    }
    let scales: std::collections::BTreeSet<_> = playlist
        .segments
        .iter()
        .map(|segment| segment.map.clone())
        .collect();
    assert_eq!(scales.len(), 2);
}

/// A writer that comes back without its microphone, or with one.
#[test]
fn other_tracks_are_another_presentation() {
    let place = tempfile::tempdir().unwrap();
    let mut watching = Watching::start(place.path(), "inotify", "segment-duration=500");
    watching.expects_warnings = true;
    let hls = "-f hls -hls_time 0.5 -hls_segment_type fmp4 out.m3u8";
    let with_sound = format!("-f lavfi -i sine {TEST_PICTURE} -c:a aac {hls}");
    let entry = |watching: &Watching| watching.client().get("/live.m3u8").text().to_owned();
    let first = Ffmpeg::start(place.path(), &with_sound);
    support::wait_until("picture and sound", || {
        entry(&watching).contains("live_audio.m3u8")
    });
    drop(first);
    let second = Ffmpeg::start(place.path(), &format!("{TEST_PICTURE} {hls}"));
    support::wait_until("the picture alone", || {
        let text = entry(&watching);
        text.contains("#EXTINF") && !text.contains("audio")
    });
    drop(second);
    let _third = Ffmpeg::start(place.path(), &with_sound);
    support::wait_until("sound beside it again", || {
        entry(&watching).contains("live_audio.m3u8")
    });
    let playlist = support::wait_for("its picture", || {
        let answer = watching.client().get("/live_video.m3u8");
        (answer.status == 200).then(|| Playlist::read(answer.text()))
    });
    check_line(&watching, &playlist);
}

/// One file of something else changes nothing.
#[test]
fn a_foreign_file_among_the_others_is_left_out() {
    const BOTH: &[u8] = include_bytes!("data/ffmpeg-two-tracks.mp4");
    let place = tempfile::tempdir().unwrap();
    let mut watching = Watching::start(place.path(), "inotify", "segment-duration=500");
    watching.expects_warnings = true;
    let _writer = Writer::splitmuxsink(place.path(), MUXER);
    let before = watching.wait_for_segments(2);
    fs::write(place.path().join("holiday.mp4"), BOTH).unwrap();
    watching.wait_for_warning("holiday.mp4");
    let after = watching.wait_for_segments(before.segments.len() + 2);
    assert_eq!(after.segments[0].uri, before.segments[0].uri);
}
