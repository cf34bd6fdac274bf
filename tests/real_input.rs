//! Sources as people have them: an RTSP server, files with their sound, every encoder Debian ships.
//!
//! What all of them have to come to is checked the same way: each rendition as a player reads it, to the last byte.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::str;

use gst::prelude::*;
use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};
use mp4_atom::{DecodeAtom, Header, Moof, ReadFrom};
use support::{footage::clip, http::Client, rtsp::RtspServer, stream::Stream, wait_until};

const CLIPS: [&str; 3] = ["bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"];
const X264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse";

fn picture(frames: u32) -> String {
    format!(
        "videotestsrc num-buffers={frames} pattern=ball \
         ! video/x-raw,format=I420,width=160,height=128,framerate=30/1"
    )
}

/// Tone for a number of tenths of a second.
fn tone(tenths: u32) -> String {
    format!(
        "audiotestsrc num-buffers={tenths} samplesperbuffer=4800 ! audio/x-raw,rate=48000,channels=2 ! audioconvert"
    )
}

/// `line` has pads of `sink`; plays it to its end.
fn play_to_end(line: &str) -> Stream {
    let mut stream = launch(line);
    stream.play();
    wait_for_end(&mut stream);
    stream
}

fn launch(line: &str) -> Stream {
    support::init();
    let line = format!("llhlssink name=sink port=0 playlist-length=10000 max-files=10000 {line}");
    let pipeline = gst::parse::launch(&line)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    Stream::around(pipeline, sink)
}

fn wait_for_end(stream: &mut Stream) {
    stream.wait_for_message("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    let mut client = stream.client();
    wait_until("EXT-X-ENDLIST everywhere", || {
        media_playlists(&mut client)
            .iter()
            .all(|(_, playlist)| playlist.end_list)
    });
}

/// The media playlists of the entry, by their paths, as a reader of other people's making sees them.
fn media_playlists(client: &mut Client) -> Vec<(String, MediaPlaylist)> {
    match read(client, "/live.m3u8") {
        Playlist::MediaPlaylist(playlist) => vec![("/live.m3u8".to_owned(), playlist)],
        Playlist::MasterPlaylist(master) => names(&master)
            .into_iter()
            .map(|name| {
                let path = format!("/{name}");
                match read(client, &path) {
                    Playlist::MediaPlaylist(playlist) => (path, playlist),
                    Playlist::MasterPlaylist(_) => panic!("{path} is no media playlist"),
                }
            })
            .collect(),
    }
}

fn names(master: &MasterPlaylist) -> Vec<String> {
    let variants = master.variants.iter().map(|variant| variant.uri.clone());
    let audios = master.alternatives.iter().filter_map(|of| of.uri.clone());
    let mut names: Vec<String> = variants.chain(audios).collect();
    names.dedup();
    names
}

fn read(client: &mut Client, path: &str) -> Playlist {
    let text = client.body(path);
    m3u8_rs::parse_playlist_res(&text)
        .unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&text)))
}

/// What a rendition came to.
#[derive(Debug)]
struct Summary {
    path: String,
    seconds: f64,
    /// When each segment begins, in milliseconds since 1970.
    begins: Vec<i64>,
}

/// Checks every rendition of a stream that is over, and that they agree.
fn check(stream: &Stream) -> Vec<Summary> {
    let mut client = stream.client();
    let playlists = media_playlists(&mut client);
    let renditions: Vec<Summary> = playlists
        .iter()
        .map(|(path, playlist)| check_rendition(&mut client, path, playlist))
        .collect();
    let begins = &renditions[0].begins;
    for other in &renditions[1..] {
        for (nth, (mine, theirs)) in begins.iter().zip(&other.begins).enumerate() {
            assert!(
                (mine - theirs).abs() <= 200,
                "segment {nth} of {} begins {} ms after that of {}",
                other.path,
                theirs - mine,
                renditions[0].path
            );
        }
    }
    // A camera's sound may come after its picture, and then have longer parts than PART-HOLD-BACK was made for.
    let mut is_late = |path: &str| {
        let playlist = support::playlist::Playlist::read(client.get(path).text());
        playlist.part_hold_back < 3 * playlist.part_target
    };
    let late = playlists.iter().filter(|(path, _)| is_late(path)).count();
    let stats = client.get("/stats.json").json();
    assert_eq!(stats["violations"], late, "{}", stats["last_violation"]);
    renditions
}

fn check_rendition(client: &mut Client, path: &str, playlist: &MediaPlaylist) -> Summary {
    assert!(playlist.end_list && playlist.media_sequence == 1, "{path}");
    let mut next = None;
    let mut timescale = 0;
    let mut begins = Vec::new();
    let mut map = None;
    for segment in &playlist.segments {
        assert!(
            segment.duration.round() as u64 <= playlist.target_duration,
            "PL-08: {path}: {segment:?}"
        );
        begins.push(segment.program_date_time.unwrap().timestamp_millis());
        // The reader names a map where it changes, and may repeat it.
        if let Some(new) = &segment.map
            && map.as_ref() != Some(new)
        {
            timescale = read_init(&client.body(&format!("/{}", new.uri)));
            map = Some(new.clone());
        }
        let bytes = client.body(&format!("/{}", segment.uri));
        let mut ticks = 0;
        for (decode, duration) in read_chunks(&bytes) {
            assert_eq!(
                *next.get_or_insert(decode),
                decode,
                "CM-09: {path} {}",
                segment.uri
            );
            next = Some(decode + duration);
            ticks += duration;
        }
        let seconds = ticks as f64 / f64::from(timescale);
        assert!(
            (seconds - f64::from(segment.duration)).abs() < 0.001,
            "CM-11: {path}: {} lasts {seconds}",
            segment.uri
        );
    }
    Summary {
        path: path.to_owned(),
        seconds: playlist
            .segments
            .iter()
            .map(|of| f64::from(of.duration))
            .sum(),
        begins,
    }
}

/// The timescale of the only track.
fn read_init(bytes: &[u8]) -> u32 {
    let mut rest = bytes;
    mp4_atom::Ftyp::read_from(&mut rest).unwrap();
    let moov = mp4_atom::Moov::read_from(&mut rest).unwrap();
    assert!(rest.is_empty() && moov.mvex.is_some(), "CM-01, CM-02");
    assert_eq!(moov.trak.len(), 1);
    moov.trak[0].mdia.mdhd.timescale
}

/// Decode time and duration of each chunk; its samples have to fill its `mdat`.
fn read_chunks(mut bytes: &[u8]) -> Vec<(u64, u64)> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let header = Header::read_from(&mut bytes).unwrap();
        let moof = Moof::decode_atom(&header, &mut bytes).unwrap();
        let [traf] = &moof.traf[..] else {
            panic!("one track a part: {moof:?}")
        };
        let samples = || traf.trun.iter().flat_map(|run| run.samples.iter());
        let header = Header::read_from(&mut bytes).unwrap();
        let size = header.size.unwrap();
        let sizes = samples().map(|of| of.size.or(traf.tfhd.default_sample_size).unwrap() as usize);
        assert_eq!(sizes.sum::<usize>(), size, "CM-08");
        bytes = &bytes[size..];
        let duration = samples()
            .map(|of| u64::from(of.duration.or(traf.tfhd.default_sample_duration).unwrap()))
            .sum();
        chunks.push((traf.tfdt.as_ref().unwrap().base_media_decode_time, duration));
    }
    chunks
}

fn assert_seconds(renditions: &[Summary], wanted: f64) {
    for rendition in renditions {
        assert!(
            (rendition.seconds - wanted).abs() < 0.3,
            "{rendition:?} instead of {wanted} s"
        );
    }
}

#[test]
fn every_video_encoder() {
    for encoder in [
        X264,
        "x264enc bframes=2 speed-preset=ultrafast b-adapt=false key-int-max=30 ! h264parse",
        "x265enc speed-preset=ultrafast key-int-max=30 ! h265parse",
        "av1enc cpu-used=8 usage-profile=realtime keyframe-max-dist=30 lag-in-frames=0 ! av1parse",
    ] {
        let stream = play_to_end(&format!("{} ! {encoder} ! sink.", picture(90)));
        assert_seconds(&check(&stream), 3.0);
    }
}

#[test]
fn every_audio_encoder_alone() {
    for encoder in [
        "avenc_aac ! aacparse",
        "avenc_aac ! aacparse ! audio/mpeg,stream-format=adts",
        "voaacenc ! aacparse",
        "opusenc ! opusparse",
        "opusenc frame-size=60",
    ] {
        let stream = play_to_end(&format!("{} ! {encoder} ! sink.", tone(30)));
        assert_seconds(&check(&stream), 3.0);
    }
}

#[test]
fn picture_and_every_sound() {
    for encoder in [
        "avenc_aac ! aacparse",
        "voaacenc ! aacparse",
        "opusenc ! opusparse",
    ] {
        let stream = play_to_end(&format!(
            "{} ! {X264} ! sink.  {} ! {encoder} ! sink.",
            picture(90),
            tone(30)
        ));
        let renditions = check(&stream);
        assert_eq!(renditions.len(), 2);
        assert_seconds(&renditions, 3.0);
    }
}

/// One thread of the demuxer feeds both pads, and nothing is between it and them.
#[test]
fn a_clip_with_its_sound_straight_from_the_demuxer() {
    let stream = play_to_end(&format!(
        "filesrc location=\"{}\" ! qtdemux name=d  d.video_0 ! h264parse ! sink.  d.audio_0 ! aacparse ! sink.",
        clip("bigbuckbunny.mp4")
    ));
    let renditions = check(&stream);
    assert_eq!(renditions.len(), 2);
    assert_seconds(&renditions, 5.3);
}

#[test]
fn clips_beside_a_tone() {
    for name in CLIPS {
        let stream = play_to_end(&format!(
            "filesrc location=\"{}\" ! qtdemux ! h264parse ! sink.  {} ! avenc_aac ! aacparse ! sink.",
            clip(name),
            tone(40)
        ));
        assert_eq!(check(&stream).len(), 2, "{name}");
    }
}

/// Half of the packets are late, by up to 60 ms and so not in order; the buffer for it is the one rtspsrc has. It is long, so
/// that a machine which stands still for a moment loses nothing.
const JITTER: &str = "! netsim min-delay=0 max-delay=60 delay-probability=0.5 allow-reordering=true \
    ! rtpjitterbuffer latency=2000";

#[test]
fn a_network_with_jitter() {
    let line = format!(
        "{} ! {X264} ! rtph264pay {JITTER} ! rtph264depay ! h264parse ! sink.",
        picture(120).replace("videotestsrc", "videotestsrc is-live=true")
    );
    let stream = play_to_end(&line);
    assert_seconds(&check(&stream), 4.0);
}

#[test]
fn an_rtsp_camera_with_aac() {
    rtsp(
        "avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
        "rtpmp4gdepay ! aacparse",
        "",
    );
}

/// The same packets, late by up to 60 ms and not in order.
#[test]
fn an_rtsp_camera_behind_a_network_with_jitter() {
    rtsp(
        "avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
        "rtpmp4gdepay ! aacparse",
        JITTER,
    );
}

#[test]
fn an_rtsp_camera_with_opus() {
    rtsp(
        "opusenc ! rtpopuspay name=pay1 pt=97",
        "rtpopusdepay ! opusparse",
        "",
    );
}

/// `network` is between the camera and the depayloaders.
fn rtsp(sound: &str, depayload: &str, network: &str) {
    support::init();
    let server = RtspServer::start(&format!(
        "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 \
           ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph264pay name=pay0 pt=96 \
           audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! {sound} )"
    ));
    let mut stream = launch(&format!(
        "rtspsrc name=camera location=rtsp://127.0.0.1:{}/live latency=2000 \
         camera. ! application/x-rtp,media=video {network} ! rtph264depay ! h264parse ! sink.video \
         camera. ! application/x-rtp,media=audio {network} ! {depayload} ! sink.audio",
        server.port
    ));
    stream.play();
    let mut client = stream.client();
    wait_until("four segments of each", || {
        let playlists = media_playlists(&mut client);
        playlists.len() == 2 && playlists.iter().all(|(_, of)| of.segments.len() >= 4)
    });
    stream.pipeline.send_event(gst::event::Eos::new());
    wait_for_end(&mut stream);
    assert_eq!(check(&stream).len(), 2);
}
