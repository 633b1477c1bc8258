//! The messages of remote read's answers (prometheus `prompb/remote.proto`, `types.proto`) and the frames of a stream of
//! them (`storage/remote/chunked.go`).

use std::sync::Arc;

use garner_storage::model::{BucketSpan, CounterReset, Histogram, Labels, NANOS_PER_MILLI};
use garner_storage::scan::HistogramSlice;

use super::float_histogram::{self, samples_of_one_chunk};
use super::xor::{self, SAMPLES_PER_CHUNK};

/// `Chunk.Encoding`
const XOR: u64 = 1;
const FLOAT_HISTOGRAM: u64 = 3;

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

fn push_sint(out: &mut Vec<u8>, field: u64, value: i32) {
    push_int(out, field, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

fn push_double(out: &mut Vec<u8>, field: u64, value: f64) {
    push_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn push_doubles(out: &mut Vec<u8>, field: u64, values: &[f64]) {
    if !values.is_empty() {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        push_bytes(out, field, &bytes);
    }
}

/// The samples of a series in milliseconds: runs of floats and runs of histograms, in the order of time.
#[derive(Debug, Default)]
pub struct Rows {
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, Arc<Histogram>)>,
    /// Lengths of the runs, floats first, then in turn.
    runs: Vec<usize>,
}

impl Rows {
    /// Takes the samples of another series.
    pub fn fill(&mut self, times: &[i64], values: &[f64], histograms: HistogramSlice<'_>) {
        self.floats.clear();
        self.histograms.clear();
        self.runs.clear();
        self.runs.push(0);
        let mut rest = histograms.iter().peekable();
        for (row, (time, value)) in times.iter().zip(values).enumerate() {
            let time = time.div_euclid(NANOS_PER_MILLI);
            let histogram = rest.next_if(|(r, _)| *r == row).map(|(_, h)| h);
            // Runs of floats stand at even places.
            if self.runs.len().is_multiple_of(2) != histogram.is_some() {
                self.runs.push(0);
            }
            match histogram {
                Some(histogram) => self.histograms.push((time, Arc::clone(histogram))),
                None => self.floats.push((time, *value)),
            }
            if let Some(run) = self.runs.last_mut() {
                *run += 1;
            }
        }
    }

    /// `TimeSeries` with the samples.
    pub fn time_series(&self, labels: &Labels) -> Vec<u8> {
        let mut out = Vec::new();
        push_labels(&mut out, labels);
        let mut sample = Vec::new();
        for (time, value) in &self.floats {
            sample.clear();
            push_double(&mut sample, 1, *value);
            push_int(&mut sample, 2, *time as u64);
            push_bytes(&mut out, 2, &sample);
        }
        for (time, value) in &self.histograms {
            sample.clear();
            push_histogram(&mut sample, *time, value);
            push_bytes(&mut out, 4, &sample);
        }
        out
    }

    /// The samples as `Chunk` messages.
    pub fn chunks(&self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let (mut floats, mut histograms) = (&self.floats[..], &self.histograms[..]);
        for (at, length) in self.runs.iter().enumerate() {
            if at % 2 == 0 {
                let (run, rest) = floats.split_at(*length);
                floats = rest;
                let chunks = run.chunks(SAMPLES_PER_CHUNK);
                out.extend(chunks.map(|samples| chunk(samples, XOR, &xor::encode(samples))));
                continue;
            }
            let (mut run, rest) = histograms.split_at(*length);
            histograms = rest;
            while !run.is_empty() {
                let (samples, rest) = run.split_at(samples_of_one_chunk(run));
                out.push(chunk(samples, FLOAT_HISTOGRAM, &float_histogram::encode(samples)));
                run = rest;
            }
        }
        out
    }
}

/// A `Chunk` message.
fn chunk<T>(samples: &[(i64, T)], encoding: u64, data: &[u8]) -> Vec<u8> {
    let time = |sample: Option<&(i64, T)>| sample.map_or(0, |(time, _)| *time) as u64;
    let mut out = Vec::new();
    push_int(&mut out, 1, time(samples.first()));
    push_int(&mut out, 2, time(samples.last()));
    push_int(&mut out, 3, encoding);
    push_bytes(&mut out, 4, data);
    out
}

/// The fields of `Histogram`, of floats.
fn push_histogram(out: &mut Vec<u8>, time: i64, histogram: &Histogram) {
    push_double(out, 2, histogram.count);
    push_double(out, 3, histogram.sum);
    push_sint(out, 4, histogram.schema);
    push_double(out, 5, histogram.zero_threshold);
    push_double(out, 7, histogram.zero_count);
    push_spans(out, 8, &histogram.negative_spans);
    push_doubles(out, 10, &histogram.negative_buckets);
    push_spans(out, 11, &histogram.positive_spans);
    push_doubles(out, 13, &histogram.positive_buckets);
    push_int(
        out,
        14,
        match histogram.counter_reset {
            CounterReset::Unknown => 0,
            CounterReset::Reset => 1,
            CounterReset::NotReset => 2,
            CounterReset::Gauge => 3,
        },
    );
    push_int(out, 15, time as u64);
    push_doubles(out, 16, &histogram.custom_values);
}

fn push_spans(out: &mut Vec<u8>, field: u64, spans: &[BucketSpan]) {
    let mut message = Vec::new();
    for span in spans {
        message.clear();
        push_sint(&mut message, 1, span.offset);
        push_int(&mut message, 2, u64::from(span.length));
        push_bytes(out, field, &message);
    }
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
