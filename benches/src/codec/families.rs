//! The fleet's bytes by metric family, beside the information in them: what no lossless coder gets below.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use anyhow::Result;
use bytes::Bytes;
use garner_storage::codec::compress::FLUSH_LEVEL;
use garner_storage::codec::metric_page::{self, ChunkInput, MetricPage, TARGET_PAGE_ROWS};
use garner_storage::model::{Labels, METRIC_NAME};

use super::measure::{self, Encode};
use super::victoria;

/// Labels by which a family's series move differently.
const KINDS: [&str; 2] = ["code", "le"];

#[derive(Default)]
struct Family<'a> {
    series: Vec<&'a [f64]>,
    /// How often each step occurs, in hundredths, by kind of series.
    steps: HashMap<String, HashMap<i64, u64>>,
}

impl<'a> Family<'a> {
    fn rows(&self) -> usize {
        self.series.iter().map(|values| values.len()).sum()
    }

    /// Bytes of all steps at the entropy of their kind, each taken as independent of the others, which in the fleet they
    /// are. A count of few makes it a little too low.
    fn information_bytes(&self) -> f64 {
        let bits = self.steps.values().map(|steps| {
            let all = steps.values().sum::<u64>() as f64;
            steps
                .values()
                .map(|n| *n as f64 * (all / *n as f64).log2())
                .sum::<f64>()
        });
        bits.sum::<f64>() / 8.0
    }

    /// Chunks by page.
    fn chunks(&self) -> Vec<Vec<ChunkInput<'a>>> {
        let rows = self.series.first().map_or(1, |values| values.len()).max(1);
        let pages = self.series.chunks((TARGET_PAGE_ROWS / rows).max(1));
        let chunks = |page: &[&'a [f64]]| {
            let chunks = page.iter().map(|values| ChunkInput {
                values,
                next_bucket: false,
            });
            chunks.collect()
        };
        pages.map(chunks).collect()
    }
}

/// Pages as `encode` writes them, and nanoseconds of CPU a row for encoding and decoding where `rows` are given.
fn pages(chunks: &[Vec<ChunkInput<'_>>], encode: Encode, rows: Option<usize>) -> Result<(usize, Option<[f64; 2]>)> {
    let encoded = chunks.iter().map(|page| Ok(Bytes::from(encode(page, FLUSH_LEVEL)?)));
    let encoded: Vec<Bytes> = encoded.collect::<Result<_>>()?;
    let bytes = encoded.iter().map(Bytes::len).sum();
    let Some(rows) = rows else {
        return Ok((bytes, None));
    };
    let encode_rate = measure::rate(rows, || {
        for page in chunks {
            black_box(encode(page, FLUSH_LEVEL)?);
        }
        Ok(())
    })?;
    let decode_rate = measure::rate(rows, || {
        for page in &encoded {
            let page = MetricPage::open(page)?;
            let mut decoder = page.decoder();
            for chunk in 0..page.chunk_count() {
                black_box(decoder.values(chunk)?);
            }
        }
        Ok(())
    })?;
    Ok((bytes, Some([1e9 / encode_rate, 1e9 / decode_rate])))
}

/// Prints a line a family of series that are in the order of a segment.
pub fn print<'a>(series: impl Iterator<Item = (&'a Labels, &'a [f64])>, speed: bool) -> Result<()> {
    let mut families: BTreeMap<&str, Family<'a>> = BTreeMap::new();
    for (labels, values) in series {
        let family = families.entry(labels.get(METRIC_NAME).unwrap_or("")).or_default();
        let kind: Vec<&str> = KINDS.iter().filter_map(|name| labels.get(name)).collect();
        let steps = family.steps.entry(kind.join(" ")).or_default();
        for step in values.windows(2) {
            *steps.entry(((step[1] - step[0]) * 100.0).round() as i64).or_default() += 1;
        }
        family.series.push(values);
    }
    println!(
        "{:<38} {:>7} {:>9} {:>9} {:>9} {:>11}   bytes a sample{}",
        "family",
        "series",
        "flushed",
        "compacted",
        "Victoria",
        "information",
        if speed {
            "; ns to encode / decode one, flushed, compacted"
        } else {
            ""
        }
    );
    let line = |name: &str, series: usize, rows: usize, bytes: [f64; 4], nanos: [Option<[f64; 2]>; 2]| {
        let [flushed, compacted, victoria, information] = bytes.map(|b| b / rows as f64);
        print!("{name:<38} {series:>7} {flushed:>9.4} {compacted:>9.4} {victoria:>9.4} {information:>11.4}");
        for [encode, decode] in nanos.into_iter().flatten() {
            print!("   {encode:.2} / {decode:.2}");
        }
        println!();
    };
    let (mut all_series, mut all_rows, mut all) = (0, 0, [0.0; 4]);
    for (name, family) in &families {
        let chunks = family.chunks();
        let rows = speed.then_some(family.rows());
        let (flushed, flushed_nanos) = pages(&chunks, metric_page::encode, rows)?;
        let (compacted, compacted_nanos) = pages(&chunks, metric_page::encode_smallest, rows)?;
        let victoria: usize = family.series.iter().map(|values| victoria::encode(values).len()).sum();
        let bytes = [
            flushed as f64,
            compacted as f64,
            victoria as f64,
            family.information_bytes(),
        ];
        line(
            name,
            family.series.len(),
            family.rows(),
            bytes,
            [flushed_nanos, compacted_nanos],
        );
        all_series += family.series.len();
        all_rows += family.rows();
        all.iter_mut().zip(bytes).for_each(|(sum, own)| *sum += own);
    }
    line("all", all_series, all_rows, all, [None, None]);
    println!();
    Ok(())
}
