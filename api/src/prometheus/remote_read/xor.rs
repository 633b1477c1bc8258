//! The XOR chunk of Prometheus' TSDB (prometheus `tsdb/chunkenc/xor.go`, `docs/bstream.md`; Gorilla, VLDB 2015): sample
//! count, then times as differences of differences and values as the bits that changed.

use super::bits::{Bits, Window, push_value};

/// Samples of one chunk, as Prometheus itself cuts them.
pub const SAMPLES_PER_CHUNK: usize = 120;

/// Encodes up to [`SAMPLES_PER_CHUNK`] samples: milliseconds and values.
pub fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bits = Bits::after((samples.len() as u16).to_be_bytes().to_vec());
    let mut window = Window::default();
    let mut delta = 0u64;
    for (index, (time, value)) in samples.iter().enumerate() {
        if index == 0 {
            bits.varint(((time << 1) ^ (time >> 63)) as u64);
            bits.push(value.to_bits(), 64);
            continue;
        }
        let (before, value_before) = samples[index - 1];
        let next_delta = time.wrapping_sub(before) as u64;
        if index == 1 {
            bits.varint(next_delta);
        } else {
            push_difference(&mut bits, next_delta.wrapping_sub(delta) as i64);
        }
        delta = next_delta;
        push_value(&mut bits, value.to_bits() ^ value_before.to_bits(), &mut window);
    }
    bits.into_bytes()
}

/// A difference of differences, in one of five widths.
fn push_difference(bits: &mut Bits, difference: i64) {
    let fits = |width: u32| (-((1i64 << (width - 1)) - 1)..=1i64 << (width - 1)).contains(&difference);
    let (prefix, prefix_width, width) = match difference {
        0 => (0b0, 1, 0),
        _ if fits(14) => (0b10, 2, 14),
        _ if fits(17) => (0b110, 3, 17),
        _ if fits(20) => (0b1110, 4, 20),
        _ => (0b1111, 4, 64),
    };
    bits.push(prefix, prefix_width);
    bits.push(difference as u64, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a chunk back as prometheus `tsdb/chunkenc/xor.go`, `xorIterator`, does.
    fn decode(chunk: &[u8]) -> Vec<(i64, f64)> {
        let mut at = 16usize;
        let mut read = |width: usize| {
            let mut value = 0u64;
            for _ in 0..width {
                value = value << 1 | u64::from(chunk[at / 8] >> (7 - at % 8) & 1);
                at += 1;
            }
            value
        };
        let varint = |read: &mut dyn FnMut(usize) -> u64| {
            let (mut value, mut shift) = (0u64, 0);
            loop {
                let byte = read(8);
                value |= (byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        };
        let count = u16::from_be_bytes([chunk[0], chunk[1]]);
        let mut samples: Vec<(i64, u64)> = Vec::new();
        let (mut delta, mut leading, mut trailing) = (0u64, 0usize, 0usize);
        for index in 0..count {
            if index == 0 {
                let zigzag = varint(&mut read);
                samples.push(((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64), read(64)));
                continue;
            }
            if index == 1 {
                delta = varint(&mut read);
            } else {
                let mut ones = 0;
                while ones < 4 && read(1) == 1 {
                    ones += 1;
                }
                let width = [0, 14, 17, 20, 64][ones];
                let raw = read(width);
                let signed = if width > 0 && width < 64 && raw > 1 << (width - 1) {
                    raw as i64 - (1 << width)
                } else {
                    raw as i64
                };
                delta = delta.wrapping_add(signed as u64);
            }
            let (time, mut bits) = samples[samples.len() - 1];
            if read(1) == 1 {
                if read(1) == 1 {
                    leading = read(5) as usize;
                    let width = match read(6) as usize {
                        0 => 64,
                        width => width,
                    };
                    trailing = 64 - leading - width;
                }
                bits ^= read(64 - leading - trailing) << trailing;
            }
            samples.push((time.wrapping_add(delta as i64), bits));
        }
        samples.into_iter().map(|(t, bits)| (t, f64::from_bits(bits))).collect()
    }

    #[test]
    fn chunks_read_back() {
        let check = |samples: &[(i64, f64)]| {
            let bits = |s: &[(i64, f64)]| s.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
            assert_eq!(bits(&decode(&encode(samples))), bits(samples));
        };
        check(&[]);
        check(&[(-5, 1.5)]);
        let times = [
            0,
            15_000,
            30_000,
            30_001,
            38_193,
            46_386,
            120_000,
            700_000,
            700_001,
            1 << 40,
            1 << 41,
        ];
        let values = [
            1.0,
            1.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            1e300,
            5e-324,
            f64::from_bits(0x7ff0_0000_0000_0002),
            0.1,
            0.2,
            -1.0,
        ];
        check(&times.into_iter().zip(values).collect::<Vec<_>>());
        // Both ends of each width.
        for difference in [
            1, 8_192, 8_193, -8_191, -8_192, 65_536, 65_537, -65_535, 524_288, 524_289, -524_287, -524_288,
        ] {
            check(&[
                (0, 1.0),
                (1_000_000, 2.0),
                (2_000_000 + difference, 4.0),
                (5_000_000, 1.0 / 3.0),
            ]);
        }
    }

    #[test]
    fn a_known_chunk() {
        // Count 2, zigzag 1000, the bits of 1.0, delta 15000, an unchanged value.
        let expected = [0, 2, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x98, 0x75, 0b0000_0000];
        assert_eq!(encode(&[(1000, 1.0), (16_000, 1.0)]), expected);
    }
}
