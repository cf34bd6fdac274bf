use super::*;

/// Written by ffmpeg 5.1: 0.4 s of H.264 with two B-frames, 64x48 at 30 Hz, and AAC; two fragments of both.
const BOTH: &[u8] = include_bytes!("../../../tests/data/ffmpeg-two-tracks.mp4");

fn everything(bytes: &[u8]) -> Result<Vec<Vec<Chunk>>, FileError> {
    let file = FragmentedFile::read(bytes)?;
    let headers = file.header()?.ok_or(FileError::NoTrack)?;
    headers.iter().map(|track| file.chunks(track)).collect()
}

#[test]
fn each_track_of_a_file_stands_alone() {
    let file = FragmentedFile::read(BOTH).unwrap();
    let headers = file.header().unwrap().unwrap();
    let [video, audio] = &headers[..] else {
        panic!("{headers:?}")
    };
    assert_eq!(video.description.resolution, Some((64, 48)));
    assert!(audio.is_audio() && audio.description.codec == "mp4a.40.2");
    for track in [video, audio] {
        let moov = Moov::decode(&mut &track.init[track.init.len() - moov_size(&track.init)..]);
        let moov = moov.unwrap();
        assert_eq!(moov.trak.len(), 1);
        assert_eq!(moov.trak[0].tkhd.track_id, track.track_id);
        assert_eq!(moov.mvex.unwrap().trex.len(), 1);
        assert_eq!((moov.mvhd.duration, moov.trak[0].tkhd.duration), (0, 0));
    }
    let pictures = file.chunks(video).unwrap();
    let count: usize = pictures.iter().map(|chunk| chunk.samples.len()).sum();
    assert_eq!(count, 12);
    let is_sync: Vec<bool> = pictures
        .iter()
        .flat_map(|chunk| &chunk.samples)
        .map(|file| file.sample.is_sync)
        .collect();
    assert_eq!(is_sync.iter().filter(|is_sync| **is_sync).count(), 2);
    assert!(is_sync[0] && is_sync[6]);
    let sound = file.chunks(audio).unwrap();
    assert!(sound.iter().all(|chunk| chunk.duration() > 0));
    // Both lie in one mdat, the sound behind the pictures.
    assert!(sound[0].samples[0].bytes.start >= pictures[0].samples[5].bytes.end);
}

fn moov_size(init: &[u8]) -> usize {
    top_boxes(init).unwrap()[1].whole.len()
}

#[test]
fn a_part_is_read_back_as_it_was_written() {
    let file = FragmentedFile::read(BOTH).unwrap();
    let video = &file.header().unwrap().unwrap()[0];
    let chunks = file.chunks(video).unwrap();
    let part = file.part(video, &chunks[1].samples, 1 << 40, 7).unwrap();
    let mut whole = video.init.to_vec();
    whole.extend_from_slice(&part);
    let again = &everything(&whole).unwrap()[0];
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].decode, Some(1 << 40));
    let samples =
        |chunk: &Chunk| -> Vec<Sample> { chunk.samples.iter().map(|file| file.sample).collect() };
    assert_eq!(samples(&again[0]), samples(&chunks[1]));
    let bytes = |all: &[u8], chunk: &Chunk| -> Vec<u8> {
        let range = |file: &FileSample| all[file.bytes.clone()].to_vec();
        chunk.samples.iter().flat_map(range).collect()
    };
    assert_eq!(bytes(&whole, &again[0]), bytes(BOTH, &chunks[1]));
}

#[test]
fn truncated_anywhere_it_is_an_error_or_a_shorter_file() {
    let boxes = top_boxes(BOTH).unwrap();
    for length in 0..BOTH.len() {
        let outcome = everything(&BOTH[..length]);
        // Whole behind each mdat.
        let is_whole = [3, 5].iter().any(|&nth| length == boxes[nth].whole.end);
        assert_eq!(outcome.is_ok(), is_whole, "cut at {length}: {outcome:?}");
    }
}

#[test]
fn any_changed_byte_never_panics() {
    for at in 0..BOTH.len().min(1900) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = BOTH.to_vec();
            bytes[at] = value;
            let _ = everything(&bytes);
        }
    }
}

#[test]
fn ordinary_and_foreign_files_are_told_apart() {
    let error = |bytes: &[u8]| everything(bytes).unwrap_err();
    assert_eq!(error(b""), FileError::Foreign);
    assert_eq!(error(b"#EXTM3U\n#EXT-X-VERSION:6\n"), FileError::Foreign);
    assert_eq!(error(b"\0\0\0\x08free"), FileError::Foreign);
    let head = &BOTH[..top_boxes(BOTH).unwrap()[1].whole.end];
    assert_eq!(error(head), FileError::NoSamples);
    // The same without mvex is what an ordinary MP4 has.
    let mut plain = head.to_vec();
    let at = plain.windows(4).position(|name| name == b"mvex").unwrap();
    plain[at..at + 4].copy_from_slice(b"free");
    assert_eq!(error(&plain), FileError::NotFragmented);
}

fn chunk(durations: &[i64]) -> Chunk {
    let sample = |&duration| FileSample {
        sample: Sample {
            duration,
            composition_offset: 0,
            is_sync: true,
        },
        bytes: 0..1,
    };
    Chunk {
        decode: None,
        samples: durations.iter().map(sample).collect(),
    }
}

#[test]
fn parts_are_chunks_where_the_rule_allows() {
    let target = MediaTime {
        ticks: 30,
        timescale: Timescale::new(90_000).unwrap(),
    };
    let lengths = |chunks: &[Chunk]| -> Vec<(usize, i64)> {
        let parts = parts(chunks, target);
        let length =
            |(samples, length): &(Vec<FileSample>, MediaTime)| (samples.len(), length.ticks);
        parts.iter().map(length).collect()
    };
    let regular = [chunk(&[10; 3]), chunk(&[10; 3]), chunk(&[10])];
    assert_eq!(lengths(&regular), [(3, 30), (3, 30), (1, 10)]);
    // Short ones are joined, long ones cut.
    let short = [chunk(&[10]), chunk(&[10]), chunk(&[10; 2])];
    assert_eq!(lengths(&short), [(3, 30), (1, 10)]);
    assert_eq!(lengths(&[chunk(&[10; 7])]), [(3, 30), (3, 30), (1, 10)]);
    // 85 % and more is enough.
    assert_eq!(
        lengths(&[chunk(&[9, 9, 9]), chunk(&[9])]),
        [(3, 27), (1, 9)]
    );
    assert_eq!(lengths(&[chunk(&[90])]), [(1, 90)]);
}
