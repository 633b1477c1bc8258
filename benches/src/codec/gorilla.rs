//! A plain Gorilla coder as a yardstick: Facebook's paper of 2015 with the bit ranges that Prometheus chose for milliseconds
//! (`tsdb/chunkenc/xor.go`): delta of delta of times, XOR of values, one bit stream.

/// Zeros behind the bits, for the reader; no part of a chunk's size.
pub const PADDING_BYTES: usize = 8;

/// Bits appended one after the other, most significant first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    buffer: u64,
    filled: u32,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`, which has no others; at most 64.
    #[inline]
    fn put(&mut self, value: u64, count: u32) {
        let free = 64 - self.filled;
        if count < free {
            self.buffer |= value << (free - count);
            self.filled += count;
            return;
        }
        let rest = count - free;
        self.buffer |= value >> rest;
        self.bytes.extend_from_slice(&self.buffer.to_be_bytes());
        self.buffer = if rest == 0 { 0 } else { value << (64 - rest) };
        self.filled = rest;
    }

    fn finish(mut self) -> Vec<u8> {
        let tail = self.buffer.to_be_bytes();
        self.bytes.extend_from_slice(&tail[..self.filled.div_ceil(8) as usize]);
        self.bytes.extend_from_slice(&[0; PADDING_BYTES]);
        self.bytes
    }
}

struct BitReader<'a> {
    /// Padded, so that eight bytes can be read at any bit.
    bytes: &'a [u8],
    bit: usize,
}

impl BitReader<'_> {
    /// The next `count` bits, at most 56.
    #[inline]
    fn take(&mut self, count: u32) -> u64 {
        let word = self.bytes.get(self.bit / 8..).and_then(|b| b.first_chunk::<8>());
        let word = u64::from_be_bytes(*word.unwrap_or(&[0; 8])) << (self.bit % 8);
        self.bit += count as usize;
        // Two shifts, since one by 64 is none.
        word >> 1 >> (63 - count)
    }

    #[inline]
    fn take_long(&mut self, count: u32) -> u64 {
        if count <= 32 {
            return self.take(count);
        }
        let high = self.take(count - 32);
        high << 32 | self.take(32)
    }

    /// How many ones stand before the next zero, at most `most`; the zero is taken too.
    #[inline]
    fn ones(&mut self, most: u32) -> u32 {
        let at = self.bit;
        let ones = (self.take(most) << (64 - most)).leading_ones();
        self.bit = at + (ones + u32::from(ones < most)) as usize;
        ones
    }
}

/// Bits of a delta of delta by the number of ones before it.
const RANGES: [u32; 5] = [0, 14, 17, 20, 64];

/// One chunk of samples; times in milliseconds.
pub fn encode(times: &[i64], values: &[f64]) -> Vec<u8> {
    let mut out = BitWriter::default();
    let (mut time, mut delta) = (0i64, 0i64);
    let mut bits = 0u64;
    let (mut leading, mut trailing) = (u32::MAX, 0u32);
    for (i, (t, v)) in times.iter().zip(values).enumerate() {
        let next_bits = v.to_bits();
        if i == 0 {
            out.put(*t as u64, 64);
            out.put(next_bits, 64);
        } else {
            let next_delta = t - time;
            let dod = next_delta - delta;
            delta = next_delta;
            let fits = |range: u32| dod > -(1 << (range - 1)) && dod <= 1 << (range - 1);
            match dod {
                0 => out.put(0, 1),
                _ if fits(14) => put_dod(&mut out, 0b10, 2, dod, 14),
                _ if fits(17) => put_dod(&mut out, 0b110, 3, dod, 17),
                _ if fits(20) => put_dod(&mut out, 0b1110, 4, dod, 20),
                _ => {
                    out.put(0b1111, 4);
                    out.put(dod as u64, 64);
                }
            }
            let xor = next_bits ^ bits;
            if xor == 0 {
                out.put(0, 1);
            } else {
                let (new_leading, new_trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
                if leading != u32::MAX && new_leading >= leading && new_trailing >= trailing {
                    out.put(0b10, 2);
                } else {
                    (leading, trailing) = (new_leading, new_trailing);
                    out.put(0b11, 2);
                    out.put(u64::from(leading), 5);
                    // 64 significant bits do not fit six bits and are written as 0.
                    out.put(u64::from(64 - leading - trailing) & 63, 6);
                }
                out.put(xor >> trailing, 64 - leading - trailing);
            }
        }
        time = *t;
        bits = next_bits;
    }
    out.finish()
}

fn put_dod(out: &mut BitWriter, prefix: u64, prefix_bits: u32, dod: i64, range: u32) {
    out.put(prefix, prefix_bits);
    out.put(dod as u64 & ((1 << range) - 1), range);
}

/// Appends the `n` samples of a chunk that [`encode`] wrote.
pub fn decode(bytes: &[u8], n: usize, times: &mut Vec<i64>, values: &mut Vec<f64>) {
    let mut reader = BitReader { bytes, bit: 0 };
    let (mut time, mut delta, mut bits) = (0i64, 0i64, 0u64);
    let (mut leading, mut significant) = (0u32, 64u32);
    times.reserve(n);
    values.reserve(n);
    for i in 0..n {
        if i == 0 {
            time = reader.take_long(64) as i64;
            bits = reader.take_long(64);
        } else {
            let range = RANGES[reader.ones(4) as usize];
            if range > 0 {
                let raw = reader.take_long(range);
                delta += match range {
                    64 => raw as i64,
                    // Prometheus' ranges are one larger above than below.
                    _ if raw > 1 << (range - 1) => raw as i64 - (1 << range),
                    _ => raw as i64,
                };
            }
            time += delta;
            if reader.take(1) == 1 {
                if reader.take(1) == 1 {
                    leading = reader.take(5) as u32;
                    significant = reader.take(6) as u32;
                    if significant == 0 {
                        significant = 64;
                    }
                }
                bits ^= reader.take_long(significant) << (64 - leading - significant);
            }
        }
        times.push(time);
        values.push(f64::from_bits(bits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back() {
        let odd = [
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            1e300,
            f64::MIN_POSITIVE,
            3.25,
            3.25,
            1e-7,
        ];
        let values: Vec<f64> = (0..500).map(|i| odd[i * 7919 % 9] * (1 + i % 3) as f64).collect();
        let jitter = |i: i64| [0, 1, -3, 8192, -8191, 200_000, -1 << 40][(i * 31 % 7) as usize];
        let times: Vec<i64> = (0..500).map(|i| (i << 42) + jitter(i)).collect();
        let bytes = encode(&times, &values);
        let (mut found_times, mut found_values) = (Vec::new(), Vec::new());
        decode(&bytes, 500, &mut found_times, &mut found_values);
        assert_eq!(found_times, times);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found_values), bits(&values));
    }
}
