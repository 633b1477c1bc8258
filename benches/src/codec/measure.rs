//! The figures: sizes through whole segments as the server writes them, speeds over the same pages, each beside its bar.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use garner_storage::codec::compress::FLUSH_LEVEL;
use garner_storage::codec::metric_page::{self, ChunkInput, MetricPage, TARGET_PAGE_ROWS};
use garner_storage::model::{Labels, SeriesKey, TenantId};
use garner_storage::segment::{SampleSegmentWriter, SegmentSizes, segment_sizes};

use super::recording::Recording;
use super::series::{Series, hosts};
use super::{gorilla, mix, victoria};

/// CPU seconds each speed is measured for, at least.
const MEASURE_SECONDS: f64 = 0.5;
/// The best of so many.
const ROUNDS: usize = 3;

/// Series in the order of a segment.
struct Data {
    name: &'static str,
    series: Vec<(SeriesKey, Series)>,
    rows: usize,
}

impl Data {
    fn new(name: &'static str, series: Vec<Series>) -> Result<Data> {
        let key = |s: &Series| {
            SeriesKey(Labels::from_pairs(
                s.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            ))
        };
        let mut series: Vec<(SeriesKey, Series)> = series.into_iter().map(|s| (key(&s), s)).collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        let rows = series.iter().map(|(_, s)| s.values.len()).sum();
        ensure!(rows > 0, "{name} has no samples");
        Ok(Data { name, series, rows })
    }

    fn per_sample(&self, bytes: impl Into<u64>) -> f64 {
        bytes.into() as f64 / self.rows as f64
    }

    /// The segment that a flush (level 0) or compaction writes of them.
    fn segment(&self, level: u8) -> Result<SegmentSizes> {
        let mut writer = SampleSegmentWriter::new(TenantId::new("bench")?, level);
        for (key, series) in &self.series {
            writer.push_series(&key.0, &series.times, &series.values)?;
        }
        let segment = writer.finish()?.context("an empty segment")?;
        Ok(segment_sizes(&segment.bytes)?)
    }

    fn pages(&self) -> Vec<Vec<(&Series, bool)>> {
        let mut pages: Vec<Vec<(&Series, bool)>> = Vec::new();
        let mut rows = usize::MAX;
        let mut histogram = None;
        for (key, series) in &self.series {
            if rows.saturating_add(series.values.len()) > TARGET_PAGE_ROWS {
                pages.push(Vec::new());
                rows = 0;
            }
            let own = key.0.get("le").map(|_| key.0.filtered(|name| name != "le"));
            let next_bucket = own.is_some() && own == histogram;
            histogram = own;
            rows += series.values.len();
            if let Some(page) = pages.last_mut() {
                page.push((series, next_bucket));
            }
        }
        pages
    }
}

/// Prints one figure, with its bar where it has one.
pub fn figure(name: &str, value: f64, bar: Option<(f64, bool)>) {
    let verdict = match bar {
        Some((bar, at_most)) => {
            let met = if at_most { value <= bar } else { value >= bar };
            let sign = if at_most { "<=" } else { ">=" };
            format!("  {sign} {bar}  {}", if met { "met" } else { "NOT MET" })
        }
        None => String::new(),
    };
    println!("{name:<72} {value:>9.4}{verdict}");
}

/// Measures everything; `speed` leaves the speeds out.
pub fn run(speed: bool) -> Result<()> {
    let recording = Recording::kept()?;
    let real = Data::new("real, chunks of 480", hosts(&recording, 480, 1, usize::MAX))?;
    let sparse = Data::new("real, every 15th scrape", hosts(&recording, 160, 15, 1))?;
    let moving = Data::new("all-moving mix, chunks of 480", mix_of_hosts(480, 4))?;
    let day = Data::new("all-moving mix, chunks of 5760", mix_of_hosts(5760, 1))?;

    for (data, bar) in [(&real, 0.33), (&sparse, 0.55), (&moving, 1.35), (&day, 1.35)] {
        println!("## {}: {} series, {} samples", data.name, data.series.len(), data.rows);
        let sizes = data.segment(0)?;
        let compacted = data.segment(1)?;
        let victoria: usize = data.series.iter().map(|(_, s)| victoria::encode(&s.values).len()).sum();
        let gorilla = |s: &Series| gorilla_bytes(&s.values);
        let gorilla: usize = data.series.iter().map(|(_, s)| gorilla(s)).sum();
        figure(
            "values, bytes a sample",
            data.per_sample(sizes.values),
            Some((bar, true)),
        );
        figure(
            "values as compacted, bytes a sample",
            data.per_sample(compacted.values),
            Some((bar, true)),
        );
        let ratio = sizes.values as f64 / victoria as f64;
        let is_real = data.name == real.name;
        figure(
            "values, of VictoriaMetrics' scheme",
            ratio,
            is_real.then_some((0.80, true)),
        );
        figure(
            "VictoriaMetrics' scheme, bytes a sample",
            data.per_sample(victoria as u64),
            None,
        );
        figure(
            "plain Gorilla, bytes a sample with regular times",
            data.per_sample(gorilla as u64),
            None,
        );
        let times = data.per_sample(sizes.times);
        figure("time columns, bytes a sample", times, is_real.then_some((0.005, true)));
        figure("chunk lists, bytes a sample", data.per_sample(sizes.chunk_lists), None);
        figure(
            "label sets, bytes a series",
            sizes.labels as f64 / data.series.len() as f64,
            None,
        );
        figure(
            "label index, bytes a series",
            sizes.index as f64 / data.series.len() as f64,
            None,
        );
        figure(
            "directory and footer, bytes a sample",
            data.per_sample(sizes.directory),
            None,
        );
        figure("everything, bytes a sample", data.per_sample(sizes.total()), None);
        by_class(data)?;
        if speed {
            speeds(data, is_real)?;
        }
        println!();
    }
    Ok(())
}

fn mix_of_hosts(rows: usize, hosts: u64) -> Vec<Series> {
    let host = |seed: u64| {
        let mut series = mix::series(rows, seed);
        for s in &mut series {
            s.labels.push(("instance".to_string(), format!("10.2.0.{seed}:9100")));
        }
        series
    };
    (0..hosts).flat_map(host).collect()
}

fn gorilla_bytes(values: &[f64]) -> usize {
    gorilla::encode(&regular(values), values).len() - gorilla::PADDING_BYTES
}

fn regular(values: &[f64]) -> Vec<i64> {
    (0..values.len() as i64)
        .map(|i| 1_768_003_200_000 + i * 15_000)
        .collect()
}

fn by_class(data: &Data) -> Result<()> {
    let mut classes: BTreeMap<&str, Vec<&(SeriesKey, Series)>> = BTreeMap::new();
    for series in &data.series {
        classes.entry(series.1.class).or_default().push(series);
    }
    println!(
        "{:<14} {:>7} {:>9} {:>9} {:>9}   bytes a sample, pages of one class",
        "class", "series", "garner", "Victoria", "Gorilla"
    );
    for (class, series) in classes {
        let own = Data::new(data.name, series.iter().map(|(_, s)| s.clone()).collect())?;
        let mut garner = 0;
        for page in own.pages() {
            garner += metric_page::encode(&inputs(&page), FLUSH_LEVEL)?.len();
        }
        let victoria: usize = own.series.iter().map(|(_, s)| victoria::encode(&s.values).len()).sum();
        let gorilla: usize = own.series.iter().map(|(_, s)| gorilla_bytes(&s.values)).sum();
        let [garner, victoria, gorilla] = [garner, victoria, gorilla].map(|bytes| own.per_sample(bytes as u64));
        println!(
            "{class:<14} {:>7} {garner:>9.3} {victoria:>9.3} {gorilla:>9.3}",
            own.series.len()
        );
    }
    Ok(())
}

fn inputs<'a>(page: &[(&'a Series, bool)]) -> Vec<ChunkInput<'a>> {
    page.iter()
        .map(|(series, next_bucket)| ChunkInput {
            values: &series.values,
            next_bucket: *next_bucket,
        })
        .collect()
}

/// What writes a page.
pub type Encode = fn(&[ChunkInput<'_>], i32) -> garner_storage::error::Result<Vec<u8>>;

/// The pages by `encode`, each value of which has been read back.
fn encoded(pages: &[Vec<(&Series, bool)>], encode: Encode) -> Result<Vec<Bytes>> {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut encoded = Vec::new();
    for page in pages {
        let bytes = Bytes::from(encode(&inputs(page), FLUSH_LEVEL)?);
        let opened = MetricPage::open(&bytes)?;
        let mut decoder = opened.decoder();
        for (i, (series, _)) in page.iter().enumerate() {
            ensure!(
                bits(decoder.values(i)?) == bits(&series.values),
                "values did not come back"
            );
        }
        encoded.push(bytes);
    }
    Ok(encoded)
}

/// Both sides give times and values: garner's times come decoded once for all series that share them.
fn speeds(data: &Data, bars: bool) -> Result<()> {
    let pages = data.pages();
    let flushed = encoded(&pages, metric_page::encode)?;
    let compacted = encoded(&pages, metric_page::encode_smallest)?;
    let all: Vec<&Series> = data.series.iter().map(|(_, s)| s).collect();
    let times_ms: Vec<Vec<i64>> = all
        .iter()
        .map(|s| s.times.iter().map(|t| t / 1_000_000).collect())
        .collect();
    let chunks: Vec<Vec<u8>> = all
        .iter()
        .zip(&times_ms)
        .map(|(s, t)| gorilla::encode(t, &s.values))
        .collect();
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let encode_rate = |encode: Encode| {
        rate(data.rows, || {
            for page in &pages {
                black_box(encode(&inputs(page), FLUSH_LEVEL)?);
            }
            Ok(())
        })
    };
    let encode = encode_rate(metric_page::encode)?;
    let encode_smallest = encode_rate(metric_page::encode_smallest)?;
    let gorilla_encode = rate(data.rows, || {
        for (series, times) in all.iter().zip(&times_ms) {
            black_box(gorilla::encode(times, &series.values));
        }
        Ok(())
    })?;
    let mut decode_rate = |encoded: &[Bytes]| {
        rate(data.rows, || {
            for (page, bytes) in pages.iter().zip(encoded) {
                times.clear();
                values.clear();
                let opened = MetricPage::open(bytes)?;
                let mut decoder = opened.decoder();
                for (i, (series, _)) in page.iter().enumerate() {
                    times.extend_from_slice(&series.times);
                    values.extend_from_slice(decoder.values(i)?);
                }
                black_box((&times, &values));
            }
            Ok(())
        })
    };
    let decode = decode_rate(&flushed)?;
    let decode_compacted = decode_rate(&compacted)?;
    let gorilla_decode = rate(data.rows, || {
        for page in all.chunks(136).zip(chunks.chunks(136)) {
            times.clear();
            values.clear();
            for (series, bytes) in page.0.iter().zip(page.1) {
                gorilla::decode(bytes, series.values.len(), &mut times, &mut values);
            }
            black_box((&times, &values));
        }
        Ok(())
    })?;
    figure("encode, M samples per CPU second", encode / 1e6, None);
    figure("encode as compacted", encode_smallest / 1e6, None);
    figure("plain Gorilla encode", gorilla_encode / 1e6, None);
    figure("decode, M samples per CPU second", decode / 1e6, None);
    figure("decode as compacted", decode_compacted / 1e6, None);
    figure("plain Gorilla decode", gorilla_decode / 1e6, None);
    let encode_bar = bars.then_some((0.5, false));
    let decode_bar = bars.then_some((1.8, false));
    figure("encode, of plain Gorilla", encode / gorilla_encode, encode_bar);
    figure("decode, of plain Gorilla", decode / gorilla_decode, decode_bar);
    figure(
        "decode as compacted, of plain Gorilla",
        decode_compacted / gorilla_decode,
        decode_bar,
    );
    Ok(())
}

/// Rows per CPU second of this thread, the best of a few rounds.
pub fn rate(rows: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let (start, mut repeats) = (cpu_seconds()?, 0);
        let mut spent = 0.0;
        while spent < MEASURE_SECONDS {
            work()?;
            repeats += 1;
            spent = cpu_seconds()? - start;
        }
        best = best.max((rows * repeats) as f64 / spent);
    }
    Ok(best)
}

/// CPU time of this thread; the scheduler counts it in nanoseconds.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: u64 = text.split(' ').next().context("an empty schedstat")?.parse()?;
    Ok(nanos as f64 / 1e9)
}
