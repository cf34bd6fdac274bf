//! The configuration of an AV1 track, made from its sequence header.
//!
//! Belongs here: finding and reading a sequence header (AV1 Bitstream & Decoding Process Specification, 5.5), and `av1C`
//! (AV1 Codec ISO Media File Format Binding, 2.3). Does not: where the box stands (`init`).

/// Body of `av1C` for the first sequence header in `units`, open bitstream units as they are in a sample.
pub(super) fn configuration(units: &[u8]) -> Option<Vec<u8>> {
    const SEQUENCE_HEADER: u8 = 1;
    let mut rest = units;
    loop {
        let (&header, mut after) = rest.split_first()?;
        if header & 0b100 != 0 {
            after = after.get(1..)?;
        }
        // Without a size a unit goes on to the end of its sample, which nothing here tells.
        if header & 0b10 == 0 {
            return None;
        }
        let (size, length) = leb128(after)?;
        let end = length.checked_add(size)?;
        let payload = after.get(length..end)?;
        let next = after.get(end..)?;
        if header >> 3 & 0b1111 == SEQUENCE_HEADER {
            let mut body = fields(payload)?.to_vec();
            body.extend_from_slice(&rest[..rest.len() - next.len()]);
            return Some(body);
        }
        rest = next;
    }
}

/// A number and the bytes it took.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (nth, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Some((value, nth + 1));
        }
    }
    None
}

/// The four bytes before the sequence header in `av1C`.
fn fields(sequence_header: &[u8]) -> Option<[u8; 4]> {
    let mut bits = Bits {
        bytes: sequence_header,
        at: 0,
    };
    let profile = bits.take(3)?;
    bits.take(1)?; // still picture
    let is_reduced = bits.flag()?;
    let (level, tier) = if is_reduced {
        (bits.take(5)?, 0)
    } else {
        operating_points(&mut bits)?
    };
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    bits.take(width_bits)?;
    bits.take(height_bits)?;
    if !is_reduced && bits.flag()? {
        bits.take(7)?; // lengths of frame ids
    }
    bits.take(3)?; // superblocks, filter intra, intra edge
    if !is_reduced {
        tools(&mut bits)?;
    }
    bits.take(3)?; // superres, cdef, restoration
    let color = color(&mut bits, profile)?;
    let bytes = [0x81, profile << 5 | level, tier << 7 | color, 0];
    Some(bytes.map(|byte| u8::try_from(byte).unwrap_or(u8::MAX)))
}

/// Level and tier of the first operating point, which is the one to decode by default.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.take(32)?; // units in a tick
        bits.take(32)?; // time scale
        if bits.flag()? {
            bits.skip_uvlc()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.take(5)? + 1);
            bits.take(32)?;
            bits.take(10)?;
        }
    }
    let has_display_delay = bits.flag()?;
    let count = bits.take(5)? + 1;
    let mut first = None;
    for _ in 0..count {
        bits.take(12)?;
        let level = bits.take(5)?;
        let tier = if level > 7 { bits.take(1)? } else { 0 };
        if let Some(length) = delay_bits
            && bits.flag()?
        {
            bits.take(length)?;
            bits.take(length)?;
            bits.take(1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.take(4)?;
        }
        first = first.or(Some((level, tier)));
    }
    first
}

/// Reads past the coding tools.
fn tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.take(4)?; // interintra, masked, warped, dual filter
    let has_order_hint = bits.flag()?;
    if has_order_hint {
        bits.take(2)?;
    }
    // Screen content tools are forced on or off, or left to each frame; then so is integer motion.
    let is_possible = bits.flag()? || bits.flag()?;
    if is_possible && !bits.flag()? {
        bits.take(1)?;
    }
    if has_order_hint {
        bits.take(3)?;
    }
    Some(())
}

/// The low seven bits of the third byte: depth, monochrome, subsampling, sample position.
fn color(bits: &mut Bits<'_>, profile: u32) -> Option<u32> {
    const SRGB: u32 = 1 << 16 | 13 << 8;
    let high = bits.take(1)?;
    let twelve = if profile == 2 && high == 1 {
        bits.take(1)?
    } else {
        0
    };
    let mono = if profile == 1 { 0 } else { bits.take(1)? };
    let description = if bits.flag()? {
        Some(bits.take(24)?)
    } else {
        None
    };
    let (x, y, position) = if mono == 1 {
        (1, 1, 0)
    } else if description == Some(SRGB) {
        (0, 0, 0)
    } else {
        bits.take(1)?; // range
        let (x, y) = match profile {
            0 => (1, 1),
            1 => (0, 0),
            _ if twelve == 1 => {
                let x = bits.take(1)?;
                (x, if x == 1 { bits.take(1)? } else { 0 })
            }
            _ => (1, 0),
        };
        let position = if x == 1 && y == 1 { bits.take(2)? } else { 0 };
        (x, y, position)
    };
    Some(high << 6 | twelve << 5 | mono << 4 | x << 3 | y << 2 | position)
}

/// Bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    fn skip_uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Some(());
            }
        }
        self.take(zeros)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporal delimiter and the sequence header of aom 3.6 for 160x128, 4:2:0, 8 bits.
    const UNITS: &[u8] = &[
        0x12, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x03, 0xb4, 0xff, 0xfe, 0x06, 0xd7, 0xc8, 0x02,
    ];

    #[test]
    fn a_sequence_header_is_found_and_read() {
        let body = configuration(UNITS).unwrap();
        assert_eq!(&body[..4], [0x81, 0, 0x0c, 0]);
        assert_eq!(&body[4..], &UNITS[2..]);
    }

    #[test]
    fn truncated_anywhere_it_is_nothing() {
        for length in 0..UNITS.len() {
            assert_eq!(configuration(&UNITS[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn any_changed_byte_never_panics() {
        for at in 0..UNITS.len() {
            for value in 0..=u8::MAX {
                let mut bytes = UNITS.to_vec();
                bytes[at] = value;
                let _ = configuration(&bytes);
            }
        }
    }
}
