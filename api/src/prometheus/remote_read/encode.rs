//! The messages of remote read's answers (prometheus `prompb/remote.proto`, `types.proto`) and the frames of a stream of
//! them (`storage/remote/chunked.go`).

use garner_storage::model::Labels;

use super::xor::{self, SAMPLES_PER_CHUNK};

/// `Chunk.Encoding`
const XOR: u64 = 1;

/// Appends a varint.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a string, bytes or message field.
pub fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_int(out: &mut Vec<u8>, field: u64, value: u64) {
    push_varint(out, field << 3);
    push_varint(out, value);
}

/// Appends labels as field 1, sorted by name.
fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    let mut pair = Vec::new();
    for (name, value) in labels.iter() {
        pair.clear();
        push_bytes(&mut pair, 1, name.as_bytes());
        push_bytes(&mut pair, 2, value.as_bytes());
        push_bytes(out, 1, &pair);
    }
}

/// `TimeSeries` with its samples: milliseconds and values.
pub fn time_series(labels: &Labels, samples: impl Iterator<Item = (i64, f64)>) -> Vec<u8> {
    let mut out = Vec::new();
    push_labels(&mut out, labels);
    let mut sample = Vec::new();
    for (time, value) in samples {
        sample.clear();
        sample.push(1 << 3 | 1);
        sample.extend_from_slice(&value.to_bits().to_le_bytes());
        push_int(&mut sample, 2, time as u64);
        push_bytes(&mut out, 2, &sample);
    }
    out
}

/// The samples of a series as `Chunk` messages.
pub fn chunks(samples: &[(i64, f64)]) -> Vec<Vec<u8>> {
    let chunk = |samples: &[(i64, f64)]| {
        let time = |sample: Option<&(i64, f64)>| sample.map_or(0, |(time, _)| *time) as u64;
        let mut out = Vec::new();
        push_int(&mut out, 1, time(samples.first()));
        push_int(&mut out, 2, time(samples.last()));
        push_int(&mut out, 3, XOR);
        push_bytes(&mut out, 4, &xor::encode(samples));
        out
    };
    samples.chunks(SAMPLES_PER_CHUNK).map(chunk).collect()
}

/// Appends a frame with one `ChunkedReadResponse`: chunks of one series, in answer to query `index`.
pub fn push_frame(out: &mut Vec<u8>, index: usize, labels: &Labels, chunks: &[Vec<u8>]) {
    let mut series = Vec::new();
    push_labels(&mut series, labels);
    for chunk in chunks {
        push_bytes(&mut series, 2, chunk);
    }
    let mut message = Vec::new();
    push_bytes(&mut message, 1, &series);
    push_int(&mut message, 2, index as u64);
    push_varint(out, message.len() as u64);
    out.extend_from_slice(&crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

/// CRC-32 with the Castagnoli polynomial (RFC 3720, B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32c_table();
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(u32::MAX, step)
}

const fn crc32c_table() -> [u32; 256] {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ REVERSED_POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4.
        for (bytes, expected) in [
            (vec![0u8; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            ((0..32).collect(), 0x46dd_794e),
            (b"123456789".to_vec(), 0xe306_9283),
        ] {
            assert_eq!(crc32c(&bytes), expected);
        }
    }
}
