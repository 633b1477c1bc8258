//! A page of native histograms: chunks of one series each, every count a column of its own.
//!
//! ```text
//! page    = u8 codec, body                 codec 1: the body as it is; codec 2: varint length, zstd frame of the body
//! body    = varint layouts, varint time columns, varint chunks, varint length of the float meta
//!           layout * layouts               schema, zero threshold, spans, bounds; see `histogram_bytes`
//!           { varint rows, head of `ints` after a byte for its form, varint bytes } * time columns
//!           { varint time column, varint bytes } * chunks
//!           float meta                     see `floats`
//!           times * time columns           data of `ints`
//!           chunk * chunks
//! chunk   = { varint rows << 3 | over << 2 | counter reset, varint layout, columns } * runs, until the time column's rows are told
//! columns = heads, then data, of: sum, count, zero count, each positive bucket, each negative bucket
//!           a head is that of `values`, followed by varint bytes unless it says everything
//! ```
//!
//! A run is a stretch of rows of one layout and one counter reset. Where its numbers are whole, `over` is 1 and the count is
//! told as what it exceeds the sum of all buckets by, which is nothing almost always. A bucket's column may stand on the
//! bucket before it (see `values`).

use std::ops::Range;
use std::sync::Arc;

use super::compress::{compress_if_smaller, decompress};
use super::error::{CodecError, CodecResult};
use super::floats::{self, FloatDecoder};
use super::histogram_bytes::{is_whole, put_layout, read_layout, reset_code, reset_of_code, same_layout};
use super::ints::{self, Form, IntHead, IntScratch, Packing};
use super::values::{self, ValueHead, ValueScratch};
use super::varint::{Reader, put_varint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Histogram, TimeRange};

const CODEC_PLAIN: u8 = 1;
const CODEC_ZSTD: u8 = 2;

/// Numbers (see [`numbers_of`]) a writer puts into one page: 30 to 200 KB encoded, a few milliseconds to decode.
pub const TARGET_PAGE_NUMBERS: usize = 256 << 10;
/// Most numbers of a page. Bounds what decoding one can allocate to 128 MiB; one histogram is always fewer.
pub const MAX_PAGE_NUMBERS: usize = 16 << 20;
const MAX_BODY_BYTES: usize = MAX_PAGE_NUMBERS * 16;
/// Columns before those of buckets: sum, count, zero count.
const FIXED_COLUMNS: usize = 3;

const _: () = assert!(2 * super::histogram_bytes::MAX_BUCKETS + TARGET_PAGE_NUMBERS < MAX_PAGE_NUMBERS);

/// Histograms of one series, or of a piece of it.
#[derive(Clone, Copy, Debug)]
pub struct ChunkInput<'a> {
    /// Nanoseconds, strictly ascending, not empty.
    pub timestamps: &'a [i64],
    /// As many histograms.
    pub histograms: &'a [Arc<Histogram>],
}

/// The numbers that a page holds for a histogram.
pub fn numbers_of(histogram: &Histogram) -> usize {
    FIXED_COLUMNS + histogram.positive_buckets.len() + histogram.negative_buckets.len()
}

/// One page of these chunks, compressed at zstd `level` where that pays.
pub fn encode(chunks: &[ChunkInput<'_>], level: i32) -> Result<Vec<u8>> {
    let fits = |c: &ChunkInput<'_>| c.timestamps.len() == c.histograms.len() && !c.timestamps.is_empty();
    let numbers: usize = chunks.iter().flat_map(|c| c.histograms).map(|h| numbers_of(h)).sum();
    if numbers > MAX_PAGE_NUMBERS || !chunks.iter().all(fits) {
        let message = format!(
            "a page of {} chunks and {numbers} numbers of histograms cannot be written",
            chunks.len()
        );
        return Err(Error::new(ErrorKind::Internal, message));
    }
    let mut builder = PageBuilder::default();
    chunks.iter().for_each(|chunk| builder.push(chunk));
    let body = builder.finish();
    let mut page = Vec::with_capacity(body.len() / 2);
    match compress_if_smaller(&body, level) {
        Some(frame) => {
            page.push(CODEC_ZSTD);
            put_varint(&mut page, body.len() as u64);
            page.extend_from_slice(&frame);
        }
        None => {
            page.push(CODEC_PLAIN);
            page.extend_from_slice(&body);
        }
    }
    Ok(page)
}

#[derive(Default)]
struct PageBuilder {
    layouts: Vec<Arc<Histogram>>,
    time_columns: Vec<Vec<i64>>,
    chunks: Vec<Chunk>,
    floats: Vec<f64>,
    float_lens: Vec<usize>,
    scratch: ValueScratch,
}

/// A chunk under construction.
struct Chunk {
    time_column: usize,
    runs: Vec<Run>,
}

struct Run {
    head: u64,
    layout: usize,
    columns: Vec<(ValueHead, Vec<u8>)>,
}

impl PageBuilder {
    fn push(&mut self, chunk: &ChunkInput<'_>) {
        let known = self.time_columns.iter().rposition(|times| times == chunk.timestamps);
        let time_column = known.unwrap_or_else(|| {
            self.time_columns.push(chunk.timestamps.to_vec());
            self.time_columns.len() - 1
        });
        let mut runs = Vec::new();
        let mut rest = chunk.histograms;
        while let Some(first) = rest.first() {
            let alike = |h: &&Arc<Histogram>| h.counter_reset == first.counter_reset && same_layout(h, first);
            let (own, next) = rest.split_at(rest.iter().take_while(alike).count().max(1));
            runs.push(self.run(own));
            rest = next;
        }
        self.chunks.push(Chunk { time_column, runs });
    }

    fn run(&mut self, rows: &[Arc<Histogram>]) -> Run {
        let first = &rows[0];
        let layout = self
            .layouts
            .iter()
            .rposition(|l| same_layout(l, first))
            .unwrap_or_else(|| {
                self.layouts.push(first.clone());
                self.layouts.len() - 1
            });
        let mut columns = Vec::with_capacity(numbers_of(first));
        let sums: Vec<f64> = rows.iter().map(|h| h.sum).collect();
        columns.push(self.column(&sums, None));
        let over: Option<Vec<f64>> = rows.iter().map(|h| count_over_buckets(h)).collect();
        let is_over = over.is_some();
        let counts = over.unwrap_or_else(|| rows.iter().map(|h| h.count).collect());
        columns.push(self.column(&counts, None));
        let zeros: Vec<f64> = rows.iter().map(|h| h.zero_count).collect();
        columns.push(self.column(&zeros, None));
        let sides: [fn(&Histogram) -> &[f64]; 2] = [|h| &h.positive_buckets, |h| &h.negative_buckets];
        for side in sides {
            let mut previous: Option<Vec<f64>> = None;
            for bucket in 0..side(first).len() {
                let values: Vec<f64> = rows.iter().map(|h| side(h)[bucket]).collect();
                columns.push(self.column(&values, previous.as_deref()));
                previous = Some(values);
            }
        }
        let kind = u64::from(is_over) << 2 | u64::from(reset_code(first.counter_reset));
        Run {
            head: (rows.len() as u64) << 3 | kind,
            layout,
            columns,
        }
    }

    fn column(&mut self, values: &[f64], previous: Option<&[f64]>) -> (ValueHead, Vec<u8>) {
        let mut data = Vec::new();
        let head = values::encode(values, previous, Packing::Blocks, &mut self.scratch, &mut data);
        if head == ValueHead::Float {
            self.floats.extend_from_slice(values);
            self.float_lens.push(values.len());
        }
        (head, data)
    }

    fn finish(self) -> Vec<u8> {
        let encoded = match self.float_lens.is_empty() {
            true => None,
            false => floats::encode(&self.floats, &self.float_lens),
        };
        let mut float_columns = encoded.iter().flat_map(|e| &e.series);
        let (mut raw, mut lens) = (self.floats.as_slice(), self.float_lens.iter());
        let (mut chunk_heads, mut chunks) = (Vec::new(), Vec::new());
        let chunk_count = self.chunks.len();
        for chunk in self.chunks {
            let start = chunks.len();
            for run in chunk.runs {
                put_varint(&mut chunks, run.head);
                put_varint(&mut chunks, run.layout as u64);
                let mut data = Vec::new();
                for (mut head, mut column) in run.columns {
                    if head == ValueHead::Float {
                        let (values, rest) = raw.split_at(lens.next().copied().unwrap_or(0));
                        raw = rest;
                        match float_columns.next() {
                            Some(bytes) => column.extend_from_slice(bytes),
                            None => {
                                head = ValueHead::Raw;
                                values::write_raw(values, &mut column);
                            }
                        }
                    }
                    head.write(&mut chunks);
                    if !head.has_no_data() {
                        put_varint(&mut chunks, column.len() as u64);
                    }
                    data.append(&mut column);
                }
                chunks.append(&mut data);
            }
            put_varint(&mut chunk_heads, chunk.time_column as u64);
            put_varint(&mut chunk_heads, (chunks.len() - start) as u64);
        }
        let (mut body, mut times) = (Vec::with_capacity(chunks.len() + 256), Vec::new());
        let float_meta = encoded.map_or_else(Vec::new, |e| e.meta);
        put_varint(&mut body, self.layouts.len() as u64);
        put_varint(&mut body, self.time_columns.len() as u64);
        put_varint(&mut body, chunk_count as u64);
        put_varint(&mut body, float_meta.len() as u64);
        self.layouts.iter().for_each(|layout| put_layout(layout, &mut body));
        let mut scratch = IntScratch::default();
        for column in &self.time_columns {
            let start = times.len();
            let head = ints::encode(column, Packing::Blocks, &mut scratch, &mut times);
            put_varint(&mut body, column.len() as u64);
            body.push(head.form as u8);
            head.write(&mut body);
            put_varint(&mut body, (times.len() - start) as u64);
        }
        body.append(&mut chunk_heads);
        body.extend_from_slice(&float_meta);
        body.append(&mut times);
        body.append(&mut chunks);
        body
    }
}

/// What the count of a histogram of whole numbers exceeds the sum of its buckets by; `None` where that cannot be told
/// exactly.
fn count_over_buckets(h: &Histogram) -> Option<f64> {
    let sum = bucket_sum(h).filter(|_| is_whole(h) && h.count >= 0.0)?;
    Some(h.count - sum)
}

/// The observations in all buckets; `None` where there are too many to be told exactly, or some are fewer than none.
fn bucket_sum(h: &Histogram) -> Option<f64> {
    // Half of what is exact, so that the difference to a count is exact too.
    const MAX_SUM: i64 = 1 << 52;
    let buckets = h.positive_buckets.iter().chain(&h.negative_buckets);
    let mut numbers = buckets.chain([&h.zero_count]).map(|n| *n as i64);
    let sum = numbers.try_fold(0i64, |sum, n| if n < 0 { None } else { sum.checked_add(n) })?;
    (sum <= MAX_SUM).then_some(sum as f64)
}

/// A page whose heads have been read and checked.
#[derive(Debug)]
pub struct HistogramPage {
    body: Vec<u8>,
    layouts: Vec<Histogram>,
    times: Vec<TimeColumn>,
    chunks: Vec<(usize, Range<usize>)>,
    floats: Option<FloatDecoder>,
}

#[derive(Debug)]
struct TimeColumn {
    rows: usize,
    head: IntHead,
    bytes: Range<usize>,
}

impl HistogramPage {
    /// Decompresses a page and reads its heads. The caller has verified the checksum.
    pub fn open(page: &[u8]) -> CodecResult<HistogramPage> {
        const WHAT: &str = "heads of a histogram page";
        let mut reader = Reader::new(page);
        let body = match reader.u8("codec of a histogram page")? {
            CODEC_PLAIN => reader.rest().to_vec(),
            CODEC_ZSTD => {
                let len = reader.count(MAX_BODY_BYTES, "length of a histogram page")?;
                decompress(reader.rest(), len)?
            }
            found => {
                let what = "histogram page";
                return Err(CodecError::UnknownCodec { what, found });
            }
        };
        let mut reader = Reader::new(&body);
        let [layouts, time_columns, chunks, float_meta] = [(); 4].map(|()| reader.count(body.len(), WHAT));
        let (layout_count, time_count, chunk_count, float_len) = (layouts?, time_columns?, chunks?, float_meta?);
        let mut layouts = Vec::new();
        let mut held = 0;
        for _ in 0..layout_count {
            let mut layout = Histogram::default();
            read_layout(&mut reader, &mut layout)?;
            held += numbers_of(&layout);
            if held > MAX_PAGE_NUMBERS {
                return Err(CodecError::Invalid(WHAT));
            }
            layouts.push(layout);
        }
        let mut times = Vec::new();
        let mut times_len = 0usize;
        for _ in 0..time_count {
            let rows = reader.count(MAX_PAGE_NUMBERS / FIXED_COLUMNS, WHAT)?;
            let form = Form::from_code(reader.u8(WHAT)?).ok_or(CodecError::Invalid(WHAT))?;
            let head = IntHead::read(form, &mut reader)?;
            let len = reader.count(body.len(), WHAT)?;
            times.push(TimeColumn {
                rows,
                head,
                bytes: times_len..times_len + len,
            });
            times_len += len;
        }
        let mut chunks = Vec::new();
        let mut chunks_len = 0usize;
        for _ in 0..chunk_count {
            let column = reader.count(times.len().saturating_sub(1), WHAT)?;
            let len = reader.count(body.len(), WHAT)?;
            chunks.push((column, chunks_len..chunks_len + len));
            chunks_len += len;
        }
        let rest = reader.rest().len();
        if times.is_empty() || float_len + times_len + chunks_len != rest {
            return Err(CodecError::Invalid(WHAT));
        }
        let floats = match float_len {
            0 => None,
            len => Some(floats::decoder(reader.take(len, WHAT)?)?),
        };
        let times_at = body.len() - times_len - chunks_len;
        let chunks_at = body.len() - chunks_len;
        times
            .iter_mut()
            .for_each(|t| t.bytes = t.bytes.start + times_at..t.bytes.end + times_at);
        chunks
            .iter_mut()
            .for_each(|(_, c)| *c = c.start + chunks_at..c.end + chunks_at);
        Ok(HistogramPage {
            body,
            layouts,
            times,
            chunks,
            floats,
        })
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Rows of chunk `index`, which must be below [`HistogramPage::chunk_count`].
    pub fn rows(&self, index: usize) -> usize {
        self.times[self.chunks[index].0].rows
    }

    /// The histograms of chunk `index` inside `range`, with their times.
    pub fn decode(&mut self, index: usize, range: TimeRange) -> CodecResult<Vec<(i64, Arc<Histogram>)>> {
        const WHAT: &str = "chunk of a histogram page";
        let (column, bytes) = self.chunks.get(index).cloned().ok_or(CodecError::Invalid(WHAT))?;
        let times = self.decode_times(column)?;
        let wanted = times.partition_point(|t| *t < range.start)..times.partition_point(|t| *t < range.end);
        let mut out = Vec::with_capacity(wanted.len());
        let mut decoder = ColumnDecoder {
            reader: Reader::new(&self.body[bytes]),
            floats: self.floats.as_mut(),
            scratch: ValueScratch::default(),
        };
        let (mut row, mut numbers) = (0, 0);
        while row < times.len() {
            let head = decoder.reader.varint(WHAT)?;
            let rows = usize::try_from(head >> 3).unwrap_or(usize::MAX);
            let layout = decoder.reader.count(self.layouts.len().saturating_sub(1), WHAT)?;
            let layout = self.layouts.get(layout).ok_or(CodecError::Invalid(WHAT))?;
            numbers += rows.saturating_mul(numbers_of(layout));
            if rows == 0 || rows > times.len() - row || numbers > MAX_PAGE_NUMBERS {
                return Err(CodecError::Invalid(WHAT));
            }
            let columns = decoder.columns(layout, rows)?;
            for (at, time) in times[row..row + rows].iter().enumerate() {
                if wanted.contains(&(row + at)) {
                    out.push((*time, Arc::new(histogram(layout, &columns, at, head))));
                }
            }
            row += rows;
        }
        if !decoder.reader.is_empty() {
            return Err(CodecError::Invalid(WHAT));
        }
        Ok(out)
    }

    fn decode_times(&self, column: usize) -> CodecResult<Vec<i64>> {
        const WHAT: &str = "times of a histogram page";
        let column = self.times.get(column).ok_or(CodecError::Invalid(WHAT))?;
        let mut times = vec![0; column.rows];
        let mut reader = Reader::new(&self.body[column.bytes.clone()]);
        ints::decode(&column.head, &mut reader, &mut IntScratch::default(), &mut times)?;
        if times.is_empty() || !reader.is_empty() || !times.is_sorted_by(|a, b| a < b) {
            return Err(CodecError::Invalid(WHAT));
        }
        Ok(times)
    }
}

struct ColumnDecoder<'a> {
    reader: Reader<'a>,
    floats: Option<&'a mut FloatDecoder>,
    scratch: ValueScratch,
}

impl ColumnDecoder<'_> {
    /// The columns of a run of `rows` rows.
    fn columns(&mut self, layout: &Histogram, rows: usize) -> CodecResult<Vec<Vec<f64>>> {
        const WHAT: &str = "columns of a histogram page";
        let count = numbers_of(layout);
        let mut heads = Vec::with_capacity(count.min(self.reader.rest().len()));
        for _ in 0..count {
            let head = ValueHead::read(&mut self.reader, rows)?;
            let len = match head.has_no_data() {
                true => 0,
                false => self.reader.count(self.reader.rest().len(), WHAT)?,
            };
            heads.push((head, len));
        }
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(count);
        for (head, len) in heads {
            let data = self.reader.take(len, WHAT)?;
            let mut values = Vec::with_capacity(rows);
            let previous = columns.last().map_or(&[][..], Vec::as_slice);
            let floats = self.floats.as_deref_mut();
            values::decode(&head, data, rows, previous, floats, &mut self.scratch, &mut values)?;
            columns.push(values);
        }
        Ok(columns)
    }
}

/// Row `at` of a run's columns.
fn histogram(layout: &Histogram, columns: &[Vec<f64>], at: usize, head: u64) -> Histogram {
    let mut out = layout.clone();
    out.counter_reset = reset_of_code(head as u8 & 3);
    let mut numbers = columns.iter().map(|column| column[at]);
    let mut next = || numbers.next().unwrap_or(0.0);
    out.sum = next();
    let count = next();
    out.zero_count = next();
    out.positive_buckets
        .iter_mut()
        .chain(&mut out.negative_buckets)
        .for_each(|bucket| *bucket = next());
    let buckets = if head & 4 != 0 { bucket_sum(&out) } else { None };
    out.count = buckets.map_or(count, |sum| sum + count);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::BucketSpan;
    use crate::testing::histogram;

    type Series = (Vec<i64>, Vec<Arc<Histogram>>);

    fn page(series: &[Series]) -> Vec<u8> {
        let chunks: Vec<_> = series
            .iter()
            .map(|(timestamps, histograms)| ChunkInput { timestamps, histograms })
            .collect();
        encode(&chunks, 1).expect("fits")
    }

    fn check(series: &[Series]) {
        let mut page = HistogramPage::open(&page(series)).expect("was written");
        assert_eq!(page.chunk_count(), series.len());
        for (at, (times, histograms)) in series.iter().enumerate() {
            assert_eq!(page.rows(at), times.len());
            let back = page.decode(at, TimeRange::ALL).expect("was written");
            assert_eq!(back.iter().map(|(t, _)| *t).collect::<Vec<_>>(), *times);
            for ((_, back), histogram) in back.iter().zip(histograms) {
                assert!(back.total_cmp(histogram).is_eq(), "{back:?} {histogram:?}");
            }
            let half = TimeRange::new(times[0], times[times.len() / 2]);
            assert_eq!(page.decode(at, half).expect("was written").len(), times.len() / 2);
        }
    }

    fn series(seeds: &[u64], start: i64) -> Series {
        let times = (0..seeds.len() as i64).map(|i| start + i * 15_000_000_000).collect();
        (times, seeds.iter().map(|seed| Arc::new(histogram(*seed))).collect())
    }

    #[test]
    fn a_counter_of_160_buckets_takes_a_few_bytes_a_row() {
        let mut one = Histogram {
            schema: 3,
            positive_spans: vec![BucketSpan {
                offset: -80,
                length: 160,
            }],
            positive_buckets: vec![0.0; 160],
            ..Histogram::default()
        };
        let mut rows = Vec::new();
        for row in 0..120usize {
            // A bell of 40 buckets that are hit, at different speeds.
            for bucket in 60..100usize {
                let weight = 20 - bucket.abs_diff(80);
                one.positive_buckets[bucket] += (weight * (5 + (row * 7 + bucket * 13) % 3) / 5) as f64;
            }
            one.count = one.positive_buckets.iter().sum();
            one.sum = one.count * 0.25;
            rows.push(Arc::new(one.clone()));
        }
        let times: Vec<i64> = (0..120).map(|i| i * 15_000_000_000).collect();
        let bytes = page(&[(times.clone(), rows.clone())]).len();
        assert!(bytes < 120 * 40, "{bytes} bytes");
        check(&[(times, rows)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_bit_comes_back(
            chunks in prop::collection::vec((prop::collection::vec(0..400u64, 1..12), 0..2i64), 1..5),
            far in prop::collection::vec(any::<i64>(), 1..5),
        ) {
            let mut all: Vec<Series> = chunks.iter().map(|(seeds, start)| series(seeds, *start)).collect();
            let mut times = far;
            times.sort_unstable();
            times.dedup();
            let histograms = times.iter().map(|t| Arc::new(histogram(t.unsigned_abs() % 100))).collect();
            all.push((times, histograms));
            check(&all);
        }

        #[test]
        fn damaged_bytes_are_refused_without_panic(
            seeds in prop::collection::vec(0..400u64, 1..6), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let page = page(&[series(&seeds, 0), series(&seeds, 5)]);
            // The body itself, so that damage gets behind the compressor's own checks.
            let mut body = HistogramPage::open(&page).expect("was written").body;
            let at = at.index(body.len());
            body[at] = byte;
            body.truncate(cut.index(body.len() * 4).max(at + 1));
            body.insert(0, CODEC_PLAIN);
            if let Ok(mut page) = HistogramPage::open(&body) {
                for chunk in 0..page.chunk_count() {
                    let _ = page.decode(chunk, TimeRange::ALL);
                }
            }
        }
    }
}
