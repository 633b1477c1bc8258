//! A native histogram as both versions of remote write send it (prometheus `prompb/types.proto` and
//! `prompb/io/prometheus/write/v2/types.proto`, which number its fields alike; 17 is version 2's alone).
//!
//! ```text
//! Histogram  { count_int = 1 | count_float = 2, sum = 3 double, schema = 4 sint32, zero_threshold = 5 double,
//!              zero_count_int = 6 | zero_count_float = 7, negative_spans = 8, negative_deltas = 9 packed sint64,
//!              negative_counts = 10 packed double, positive_spans = 11, positive_deltas = 12, positive_counts = 13,
//!              reset_hint = 14, timestamp = 15 int64 milliseconds, custom_values = 16 packed double,
//!              start_timestamp = 17 int64 milliseconds }
//! BucketSpan { offset = 1 sint32, length = 2 uint32 }
//! ```

use garner_storage::model::{BucketSpan, CounterReset};

use crate::wire::{Reader, Value, WireError, unzigzag};

/// A histogram as sent, not yet checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SentHistogram {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Milliseconds since the epoch, 0 where not told.
    pub start_ms: i64,
    pub schema: i32,
    pub counter_reset: CounterReset,
    pub zero_threshold: f64,
    pub sum: f64,
    pub positive_spans: Vec<BucketSpan>,
    pub negative_spans: Vec<BucketSpan>,
    pub custom_values: Vec<f64>,
    pub counts: Counts,
}

/// Observations: of all, in the zero bucket, in each positive and negative bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Counts {
    /// Of an integer histogram, whose buckets came as differences. Sums wrap as theirs do (`deltasToCounts`).
    Whole {
        count: u64,
        zero: u64,
        positive: Vec<i64>,
        negative: Vec<i64>,
    },
    /// Of a float histogram.
    Floats {
        count: f64,
        zero: f64,
        positive: Vec<f64>,
        negative: Vec<f64>,
    },
}

impl Default for Counts {
    fn default() -> Self {
        Counts::Whole {
            count: 0,
            zero: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

impl SentHistogram {
    /// Reads a message.
    pub(crate) fn read(message: &[u8]) -> Result<SentHistogram, WireError> {
        let mut sent = SentHistogram::default();
        // Which of both the histogram is, its count tells; the fields of the other kind are passed over.
        let (mut count, mut count_float) = (0, None);
        let (mut zero, mut zero_float) = (0, 0.0);
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        let (mut positive_floats, mut negative_floats) = (Vec::new(), Vec::new());
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    count = value.int("CountInt")? as u64;
                    count_float = None;
                }
                2 => count_float = Some(value.double("CountFloat")?),
                3 => sent.sum = value.double("Sum")?,
                4 => sent.schema = unzigzag(value.int("Schema")?) as i32,
                5 => sent.zero_threshold = value.double("ZeroThreshold")?,
                6 => zero = value.int("ZeroCountInt")? as u64,
                7 => zero_float = value.double("ZeroCountFloat")?,
                8 => sent.negative_spans.push(span(value.bytes("NegativeSpans")?)?),
                9 => deltas(value, "NegativeDeltas", &mut negative)?,
                10 => doubles(value, "NegativeCounts", &mut negative_floats)?,
                11 => sent.positive_spans.push(span(value.bytes("PositiveSpans")?)?),
                12 => deltas(value, "PositiveDeltas", &mut positive)?,
                13 => doubles(value, "PositiveCounts", &mut positive_floats)?,
                14 => {
                    sent.counter_reset = match value.int("ResetHint")? {
                        1 => CounterReset::Reset,
                        2 => CounterReset::NotReset,
                        3 => CounterReset::Gauge,
                        _ => CounterReset::Unknown,
                    }
                }
                15 => sent.timestamp_ms = value.int("Timestamp")?,
                16 => doubles(value, "CustomValues", &mut sent.custom_values)?,
                17 => sent.start_ms = value.int("StartTimestamp")?,
                _ => {}
            }
        }
        sent.counts = match count_float {
            Some(count) => Counts::Floats {
                count,
                zero: zero_float,
                positive: positive_floats,
                negative: negative_floats,
            },
            None => Counts::Whole {
                count,
                zero,
                positive: summed(positive),
                negative: summed(negative),
            },
        };
        Ok(sent)
    }
}

fn summed(mut deltas: Vec<i64>) -> Vec<i64> {
    let mut last = 0i64;
    for delta in &mut deltas {
        last = last.wrapping_add(*delta);
        *delta = last;
    }
    deltas
}

fn span(message: &[u8]) -> Result<BucketSpan, WireError> {
    let mut span = BucketSpan::default();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => span.offset = unzigzag(value.int("Offset")?) as i32,
            2 => span.length = value.int("Length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Numbers of a repeated `sint64`, packed or one by one.
fn deltas(value: Value<'_>, name: &'static str, out: &mut Vec<i64>) -> Result<(), WireError> {
    if let Value::Varint(one) = value {
        out.push(unzigzag(one as i64));
        return Ok(());
    }
    let mut packed = Reader::new(value.bytes(name)?);
    while let Some(one) = packed.next_varint()? {
        out.push(unzigzag(one as i64));
    }
    Ok(())
}

/// Numbers of a repeated `double`, packed or one by one.
fn doubles(value: Value<'_>, name: &'static str, out: &mut Vec<f64>) -> Result<(), WireError> {
    if let Value::Fixed64(bits) = value {
        out.push(f64::from_bits(bits));
        return Ok(());
    }
    let (words, rest) = value.bytes(name)?.as_chunks::<8>();
    out.extend(words.iter().map(|word| f64::from_le_bytes(*word)));
    match rest.is_empty() {
        true => Ok(()),
        false => Err(WireError::Truncated),
    }
}
