//! A file another program wrote, and others made of it, for tests.

/// 0.4 s of pictures and sound that count from zero, in two fragments, with a header.
pub(super) const WHOLE: &[u8] = include_bytes!("../../tests/data/ffmpeg-two-tracks.mp4");

/// The file as a writer of pictures of another profile would have made it.
pub(super) fn of_another_format() -> Vec<u8> {
    let mut bytes = WHOLE.to_vec();
    for at in boxes(b"avcC") {
        // The constraint flags.
        bytes[at + 6] ^= 0x40;
    }
    bytes
}

/// Five times as slow: two seconds.
pub(super) fn slowed() -> Vec<u8> {
    let mut bytes = WHOLE.to_vec();
    for at in boxes(b"mdhd") {
        let timescale = at + 16..at + 20;
        let ticks = u32::from_be_bytes(bytes[timescale.clone()].try_into().unwrap());
        bytes[timescale].copy_from_slice(&(ticks / 5).to_be_bytes());
    }
    bytes
}

/// Where the names of these boxes are in the file.
pub(super) fn boxes(name: &[u8; 4]) -> Vec<usize> {
    let names = WHOLE.windows(4).enumerate();
    names
        .filter(|(_, four)| four == name)
        .map(|(at, _)| at)
        .collect()
}
