//! The chunk of float histograms of Prometheus' TSDB (prometheus `tsdb/chunkenc/float_histogram.go`,
//! `histogram_meta.go`): sample count, what is known of resets, the layout of the buckets once, then of each sample its time
//! as a difference of differences and every number as the bits that changed.

use garner_query::functions::native::reset::was_reset;
use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Histogram};

use super::bits::{Bits, Window, push_value};
use super::xor::SAMPLES_PER_CHUNK;

/// How many of the first samples one chunk can hold: those of one layout, without a reset among them.
pub fn samples_of_one_chunk<H: AsRef<Histogram>>(samples: &[(i64, H)]) -> usize {
    let goes_on = |pair: &[(i64, H)]| {
        let (before, now) = (pair[0].1.as_ref(), pair[1].1.as_ref());
        let gauges = [before, now].map(|h| h.counter_reset == CounterReset::Gauge);
        same_layout(before, now) && gauges[0] == gauges[1] && (gauges[0] || !was_reset(now, before))
    };
    let more = samples.windows(2).take_while(|pair| goes_on(pair)).count();
    samples.len().min(more + 1).min(SAMPLES_PER_CHUNK)
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_values == b.custom_values
}

/// Encodes samples that go into one chunk: milliseconds and histograms.
pub fn encode<H: AsRef<Histogram>>(samples: &[(i64, H)]) -> Vec<u8> {
    let mut bytes = (samples.len() as u16).to_be_bytes().to_vec();
    let first = samples.first().map(|(_, histogram)| histogram.as_ref());
    // The upper two bits speak of the first sample; of the others it is known that none was reset.
    bytes.push(match first.map(|h| h.counter_reset) {
        Some(CounterReset::Reset) => 0b1000_0000,
        Some(CounterReset::NotReset) => 0b0100_0000,
        Some(CounterReset::Gauge) => 0b1100_0000,
        Some(CounterReset::Unknown) | None => 0,
    });
    let mut bits = Bits::after(bytes);
    if let Some(first) = first {
        push_layout(&mut bits, first);
    }
    let mut windows: Vec<Window> = Vec::new();
    let (mut time_before, mut delta) = (0, 0i64);
    let mut before: Vec<u64> = Vec::new();
    for (time, histogram) in samples {
        let numbers: Vec<u64> = numbers(histogram.as_ref()).map(f64::to_bits).collect();
        if before.is_empty() {
            bits.varbit_int(*time);
            numbers.iter().for_each(|number| bits.push(*number, 64));
            windows.resize(numbers.len(), Window::default());
        } else {
            let next_delta = time.wrapping_sub(time_before);
            bits.varbit_int(next_delta.wrapping_sub(delta));
            delta = next_delta;
            for ((number, before), window) in numbers.iter().zip(&before).zip(&mut windows) {
                push_value(&mut bits, number ^ before, window);
            }
        }
        time_before = *time;
        before = numbers;
    }
    bits.into_bytes()
}

fn numbers(histogram: &Histogram) -> impl Iterator<Item = f64> + '_ {
    let counts = [histogram.count, histogram.zero_count, histogram.sum];
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    counts.into_iter().chain(buckets.copied())
}

fn push_layout(bits: &mut Bits, histogram: &Histogram) {
    push_zero_threshold(bits, histogram.zero_threshold);
    bits.varbit_int(i64::from(histogram.schema));
    push_spans(bits, &histogram.positive_spans);
    push_spans(bits, &histogram.negative_spans);
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        bits.varbit_uint(histogram.custom_values.len() as u64);
        histogram
            .custom_values
            .iter()
            .for_each(|bound| push_custom_bound(bits, *bound));
    }
}

fn push_spans(bits: &mut Bits, spans: &[BucketSpan]) {
    bits.varbit_uint(spans.len() as u64);
    for span in spans {
        bits.varbit_uint(u64::from(span.length));
        bits.varbit_int(i64::from(span.offset));
    }
}

/// 0, a power of two from 2^-243 to 2^10 by its exponent, or all bits.
fn push_zero_threshold(bits: &mut Bits, threshold: f64) {
    let exponent = (threshold.to_bits() >> 52) as i64 - 1023;
    let is_power = threshold > 0.0 && threshold.to_bits() << 12 == 0;
    if threshold == 0.0 {
        bits.push(0, 8);
    } else if is_power && (-243..=10).contains(&exponent) {
        bits.push((exponent + 244) as u64, 8);
    } else {
        bits.push(255, 8);
        bits.push(threshold.to_bits(), 64);
    }
}

/// Thousandths from 0 to 33554.43, or all bits.
fn push_custom_bound(bits: &mut Bits, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    if (0.0..=33_554_430.0).contains(&(bound * 1000.0)) && thousandths / 1000.0 == bound {
        bits.varbit_uint(thousandths as u64 + 1);
    } else {
        bits.push(0, 1);
        bits.push(bound.to_bits(), 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bits as prometheus `tsdb/chunkenc/bstream.go` does.
    struct Reader<'a> {
        bytes: &'a [u8],
        at: usize,
    }

    impl Reader<'_> {
        fn bits(&mut self, width: usize) -> u64 {
            let mut value = 0u64;
            for _ in 0..width {
                value = value << 1 | u64::from(self.bytes[self.at / 8] >> (7 - self.at % 8) & 1);
                self.at += 1;
            }
            value
        }

        fn varbit(&mut self) -> (u64, usize) {
            let mut ones = 0;
            while ones < 8 && self.bits(1) == 1 {
                ones += 1;
            }
            let width = [0, 3, 6, 9, 12, 18, 25, 56, 64][ones];
            (self.bits(width), width)
        }

        fn int(&mut self) -> i64 {
            let (value, width) = self.varbit();
            if width > 0 && width < 64 && value > 1 << (width - 1) {
                value as i64 - (1 << width)
            } else {
                value as i64
            }
        }

        fn spans(&mut self) -> Vec<BucketSpan> {
            let count = self.varbit().0;
            let span = |_| {
                let length = self.varbit().0 as u32;
                let offset = self.int() as i32;
                BucketSpan { offset, length }
            };
            (0..count).map(span).collect()
        }
    }

    fn decode(chunk: &[u8]) -> Vec<(i64, Histogram)> {
        let mut reader = Reader { bytes: chunk, at: 24 };
        let mut layout = Histogram {
            counter_reset: match chunk[2] >> 6 {
                1 => CounterReset::NotReset,
                2 => CounterReset::Reset,
                3 => CounterReset::Gauge,
                _ => CounterReset::Unknown,
            },
            zero_threshold: match reader.bits(8) {
                0 => 0.0,
                255 => f64::from_bits(reader.bits(64)),
                code => 2f64.powi(code as i32 - 244),
            },
            schema: reader.int() as i32,
            positive_spans: reader.spans(),
            negative_spans: reader.spans(),
            ..Histogram::default()
        };
        if layout.schema == CUSTOM_BUCKETS_SCHEMA {
            let count = reader.varbit().0;
            let bound = |_| match reader.varbit().0 {
                0 => f64::from_bits(reader.bits(64)),
                thousandths => (thousandths - 1) as f64 / 1000.0,
            };
            layout.custom_values = (0..count).map(bound).collect();
        }
        let buckets = |spans: &[BucketSpan]| spans.iter().map(|s| s.length as usize).sum::<usize>();
        let (up, down) = (buckets(&layout.positive_spans), buckets(&layout.negative_spans));
        let mut values = vec![0u64; 3 + up + down];
        let mut windows = vec![(0usize, 0usize); values.len()];
        let (mut time, mut delta) = (0i64, 0i64);
        let mut out = Vec::new();
        for sample in 0..u16::from_be_bytes([chunk[0], chunk[1]]) {
            if sample == 0 {
                time = reader.int();
                values.iter_mut().for_each(|v| *v = reader.bits(64));
            } else {
                delta += reader.int();
                time += delta;
                for (value, window) in values.iter_mut().zip(&mut windows) {
                    if reader.bits(1) == 1 {
                        if reader.bits(1) == 1 {
                            let leading = reader.bits(5) as usize;
                            let width = match reader.bits(6) as usize {
                                0 => 64,
                                width => width,
                            };
                            *window = (leading, 64 - leading - width);
                        }
                        *value ^= reader.bits(64 - window.0 - window.1) << window.1;
                    }
                }
            }
            let floats: Vec<f64> = values.iter().map(|v| f64::from_bits(*v)).collect();
            out.push((
                time,
                Histogram {
                    count: floats[0],
                    zero_count: floats[1],
                    sum: floats[2],
                    positive_buckets: floats[3..3 + up].to_vec(),
                    negative_buckets: floats[3 + up..].to_vec(),
                    ..layout.clone()
                },
            ));
        }
        out
    }

    fn exponential(counts: &[f64], threshold: f64) -> Histogram {
        Histogram {
            schema: 3,
            zero_threshold: threshold,
            zero_count: 0.5,
            count: counts.iter().sum(),
            sum: -1.25,
            positive_spans: vec![
                BucketSpan { offset: -40, length: 1 },
                BucketSpan { offset: 3, length: 1 },
            ],
            negative_spans: vec![BucketSpan {
                offset: 300,
                length: counts.len() as u32 - 2,
            }],
            positive_buckets: counts[..2].to_vec(),
            negative_buckets: counts[2..].to_vec(),
            ..Histogram::default()
        }
    }

    #[test]
    fn chunks_read_back() {
        for threshold in [
            0.0,
            2f64.powi(-128),
            2f64.powi(-243),
            2f64.powi(10),
            2f64.powi(11),
            0.3,
            5e-324,
        ] {
            let samples: Vec<_> = (0..9)
                .map(|i| {
                    (
                        i * 15_000 + i % 3,
                        exponential(&[i as f64, 2.0, 1e9 + i as f64, 0.1 * i as f64], threshold),
                    )
                })
                .map(|(time, histogram)| (time, std::sync::Arc::new(histogram)))
                .collect();
            let read = decode(&encode(&samples));
            let expected: Vec<_> = samples.iter().map(|(t, h)| (*t, Histogram::clone(h))).collect();
            assert_eq!(read, expected);
        }
        let custom = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            counter_reset: CounterReset::Gauge,
            custom_values: vec![-1.0, 0.0, 0.005, 0.1, 33_554.43, 1.0 / 3.0 + 33_555.0, 1e9],
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            count: 3.0,
            ..Histogram::default()
        };
        let samples = [(-5, std::sync::Arc::new(custom.clone()))];
        assert_eq!(decode(&encode(&samples)), [(-5, custom)]);
    }

    #[test]
    fn a_chunk_ends_where_the_layout_changes_or_the_counter_is_reset() {
        let check = |histograms: &[Histogram], expected: usize| {
            let samples: Vec<_> = histograms.iter().map(|h| (0, std::sync::Arc::new(h.clone()))).collect();
            assert_eq!(samples_of_one_chunk(&samples), expected);
        };
        let at = |count: f64| exponential(&[count, 1.0, 1.0], 0.5);
        check(&[], 0);
        check(&[at(1.0), at(2.0), at(2.0)], 3);
        check(&[at(1.0), at(2.0), at(1.0)], 2);
        check(&[at(1.0), exponential(&[1.0, 1.0, 1.0], 0.25)], 1);
        check(&vec![at(1.0); 300], SAMPLES_PER_CHUNK);
        let gauge = |count| Histogram {
            counter_reset: CounterReset::Gauge,
            ..at(count)
        };
        check(&[gauge(2.0), gauge(1.0)], 2);
        check(&[gauge(2.0), at(3.0)], 1);
    }
}
