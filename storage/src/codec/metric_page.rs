//! A page of metric chunks: whole series (or pieces of them) in the order of series, heads first, then data.
//!
//! ```text
//! page   = u8 codec, body                         codec 1: the body as it is; codec 2: varint length, zstd frame of the body
//! body   = varint chunks, varint time columns, varint length of the float meta
//!          { varint rows, varint bytes } * time columns
//!          { varint time column, head of `values`, varint bytes unless the head says everything } * chunks
//!          float meta                             see `floats`
//!          times * time columns                   see `times`
//!          data * chunks                          see `values`
//! ```
//!
//! Equal time columns are stored once: series of one scrape target share theirs. A page has no checksum of its own, the page
//! directory carries it. Decoding one chunk reads the heads, its time column and its own data, and for a bucket of a
//! histogram the data of the buckets before it.

use std::ops::Range;

use ahash::RandomState;
use bytes::Bytes;
use hashbrown::HashMap;

use super::compress::{compress_if_smaller, decompress};
use super::error::{CodecError, CodecResult};
use super::floats::{self, FloatDecoder};
use super::times;
use super::values::{self, ValueHead, ValueScratch};
use super::varint::{Reader, put_varint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::TimeRange;

/// Codec id of a metric page whose body is stored as it is.
pub const CODEC_PLAIN: u8 = 1;
/// Codec id of a metric page whose body is a zstd frame.
pub const CODEC_ZSTD: u8 = 2;

/// Rows a writer aims at: large enough for zstd to find equal heads, small enough that reading one series costs under
/// 100 KB.
pub const TARGET_PAGE_ROWS: usize = 64 << 10;

/// Most rows of a page, all chunks together. Bounds what decoding one page can allocate to 16 MiB.
pub const MAX_PAGE_ROWS: usize = 1 << 20;

/// Largest body of a page: 16 bytes a row and as much again for heads, which no encoder reaches.
const MAX_BODY_BYTES: usize = MAX_PAGE_ROWS * 32;

const _: () = assert!(
    TARGET_PAGE_ROWS <= MAX_PAGE_ROWS,
    "a page of the usual size must be readable"
);

/// One chunk to write.
#[derive(Clone, Copy, Debug)]
pub struct ChunkInput<'a> {
    /// Nanoseconds, strictly ascending, not empty.
    pub timestamps: &'a [i64],
    /// As many values.
    pub values: &'a [f64],
    /// Whether this is the next `le` bucket of the histogram whose bucket is the chunk before. A hint: wrong costs size.
    pub next_bucket: bool,
}

/// One page of these chunks, compressed at zstd `level` where that pays. Refused are only pages over [`MAX_PAGE_ROWS`]
/// and chunks that break the field docs.
pub fn encode(chunks: &[ChunkInput<'_>], level: i32) -> Result<Vec<u8>> {
    let rows: usize = chunks.iter().map(|c| c.timestamps.len()).sum();
    let fits = |c: &ChunkInput<'_>| c.timestamps.len() == c.values.len() && !c.timestamps.is_empty();
    if rows > MAX_PAGE_ROWS || !chunks.iter().all(fits) {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "a metric page of {} chunks and {rows} rows cannot be written",
                chunks.len()
            ),
        ));
    }
    let body = PageBuilder::default().build(chunks);
    Ok(match compress_if_smaller(&body, level) {
        Some(frame) => {
            let mut page = Vec::with_capacity(frame.len() + 6);
            page.push(CODEC_ZSTD);
            put_varint(&mut page, body.len() as u64);
            page.extend_from_slice(&frame);
            page
        }
        None => {
            let mut page = Vec::with_capacity(body.len() + 1);
            page.push(CODEC_PLAIN);
            page.extend_from_slice(&body);
            page
        }
    })
}

#[derive(Default)]
struct PageBuilder {
    time_heads: Vec<u8>,
    time_data: Vec<u8>,
    time_columns: u32,
    heads: Vec<(u32, ValueHead, Range<usize>)>,
    data: Vec<u8>,
    floats: Vec<f64>,
    float_lens: Vec<usize>,
    scratch: ValueScratch,
}

impl PageBuilder {
    fn build(mut self, chunks: &[ChunkInput<'_>]) -> Vec<u8> {
        let hasher = RandomState::with_seed(0);
        // Column content hash to the chunks that first had such a column; the content decides.
        let mut columns: HashMap<u64, Vec<(usize, u32)>, RandomState> = HashMap::default();
        for (i, chunk) in chunks.iter().enumerate() {
            let seen = columns.entry(hasher.hash_one(chunk.timestamps)).or_default();
            let known = seen.iter().find(|(at, _)| chunks[*at].timestamps == chunk.timestamps);
            let column = match known {
                Some((_, column)) => *column,
                None => {
                    let column = self.push_times(chunk.timestamps);
                    seen.push((i, column));
                    column
                }
            };
            let previous = i.checked_sub(1).filter(|_| chunk.next_bucket);
            let previous = previous
                .filter(|p| self.heads[*p].0 == column)
                .map(|p| chunks[p].values);
            let start = self.data.len();
            let head = values::encode(chunk.values, previous, &mut self.scratch, &mut self.data);
            if head == ValueHead::Float {
                self.floats.extend_from_slice(chunk.values);
                self.float_lens.push(chunk.values.len());
            }
            self.heads.push((column, head, start..self.data.len()));
        }
        self.assemble(chunks)
    }

    fn push_times(&mut self, timestamps: &[i64]) -> u32 {
        let start = self.time_data.len();
        times::encode(timestamps, &mut self.time_data);
        put_varint(&mut self.time_heads, timestamps.len() as u64);
        put_varint(&mut self.time_heads, (self.time_data.len() - start) as u64);
        self.time_columns += 1;
        self.time_columns - 1
    }

    fn assemble(mut self, chunks: &[ChunkInput<'_>]) -> Vec<u8> {
        let encoded = match self.float_lens.is_empty() {
            true => None,
            false => floats::encode(&self.floats, &self.float_lens),
        };
        let mut body = Vec::with_capacity(self.data.len() + self.time_data.len() + self.heads.len() * 12 + 64);
        put_varint(&mut body, chunks.len() as u64);
        put_varint(&mut body, u64::from(self.time_columns));
        put_varint(&mut body, encoded.as_ref().map_or(0, |e| e.meta.len()) as u64);
        body.extend_from_slice(&self.time_heads);

        let mut float_series = encoded.iter().flat_map(|e| &e.series);
        let mut data = Vec::with_capacity(self.data.len());
        for ((column, head, range), chunk) in self.heads.iter_mut().zip(chunks) {
            let start = data.len();
            if *head != ValueHead::Float {
                data.extend_from_slice(&self.data[range.clone()]);
            } else if let Some(bytes) = float_series.next() {
                data.extend_from_slice(bytes);
            } else {
                *head = ValueHead::Raw;
                values::write_raw(chunk.values, &mut data);
            }
            put_varint(&mut body, u64::from(*column));
            head.write(&mut body);
            if !head.has_no_data() {
                put_varint(&mut body, (data.len() - start) as u64);
            }
        }
        if let Some(encoded) = &encoded {
            body.extend_from_slice(&encoded.meta);
        }
        body.extend_from_slice(&self.time_data);
        body.extend_from_slice(&data);
        body
    }
}

#[derive(Debug)]
struct TimeColumn {
    rows: usize,
    bytes: Range<usize>,
}

#[derive(Debug)]
struct Chunk {
    time_column: u32,
    head: ValueHead,
    data: Range<usize>,
}

/// A page whose heads have been read and checked.
#[derive(Debug)]
pub struct MetricPage {
    body: Bytes,
    time_columns: Vec<TimeColumn>,
    chunks: Vec<Chunk>,
    float_meta: Range<usize>,
}

impl MetricPage {
    /// Decompresses a page and reads its heads. The caller has verified the checksum.
    pub fn open(page: &Bytes) -> CodecResult<MetricPage> {
        let mut reader = Reader::new(page);
        let body = match reader.u8("page codec")? {
            CODEC_PLAIN => page.slice(1..),
            CODEC_ZSTD => {
                let len = reader.count(MAX_BODY_BYTES, "page body length")?;
                Bytes::from(decompress(reader.rest(), len)?)
            }
            found => {
                return Err(CodecError::UnknownCodec {
                    what: "metric page",
                    found,
                });
            }
        };
        Self::read_heads(body)
    }

    fn read_heads(body: Bytes) -> CodecResult<MetricPage> {
        let mut reader = Reader::new(&body);
        // Nothing is allocated by these counts; the vectors below grow with the heads that are really there.
        let chunk_count = reader.count(MAX_PAGE_ROWS, "chunk count")?;
        let column_count = reader.count(MAX_PAGE_ROWS, "time column count")?;
        let float_meta_len = reader.count(body.len(), "float meta length")?;

        let mut sizes = Vec::new();
        for _ in 0..column_count {
            let rows = reader.count(MAX_PAGE_ROWS, "rows of a time column")?;
            sizes.push((rows, reader.count(body.len(), "length of a time column")?));
        }
        let mut rows_total = 0usize;
        let mut chunks: Vec<Chunk> = Vec::new();
        for _ in 0..chunk_count {
            let time_column = reader.count(column_count.saturating_sub(1), "time column")?;
            let rows = sizes.get(time_column).ok_or(CodecError::Invalid("time column"))?.0;
            rows_total += rows;
            if rows == 0 || rows_total > MAX_PAGE_ROWS {
                return Err(CodecError::Invalid("row count"));
            }
            let head = ValueHead::read(&mut reader, rows)?;
            if head.is_bucket() && chunks.is_empty() {
                return Err(CodecError::Invalid("bucket without a chunk before it"));
            }
            let len = if head.has_no_data() {
                0
            } else {
                reader.count(body.len(), "length of chunk data")?
            };
            chunks.push(Chunk {
                time_column: time_column as u32,
                head,
                data: 0..len,
            });
        }

        let mut at = body.len() - reader.rest().len();
        let mut next = |len: usize| {
            let range = at..at
                .checked_add(len)
                .filter(|end| *end <= body.len())
                .ok_or(CodecError::Truncated("page"))?;
            at = range.end;
            Ok(range)
        };
        let float_meta = next(float_meta_len)?;
        let time_columns: CodecResult<_> = sizes
            .into_iter()
            .map(|(rows, len)| {
                Ok(TimeColumn {
                    rows,
                    bytes: next(len)?,
                })
            })
            .collect();
        let time_columns = time_columns?;
        for chunk in &mut chunks {
            chunk.data = next(chunk.data.end)?;
        }
        if at != body.len() {
            return Err(CodecError::Invalid("page length"));
        }
        Ok(MetricPage {
            body,
            time_columns,
            chunks,
            float_meta,
        })
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Rows of chunk `index`.
    pub fn rows(&self, index: usize) -> usize {
        self.time_columns[self.chunks[index].time_column as usize].rows
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.body.len() + self.time_columns.len() * size_of::<TimeColumn>() + self.chunks.len() * size_of::<Chunk>()
    }

    /// A decoder over the chunks; ascending order is the quick one.
    pub fn decoder(&self) -> MetricPageDecoder<'_> {
        MetricPageDecoder {
            page: self,
            times: self.time_columns.iter().map(|_| None).collect(),
            floats: None,
            at: None,
            values: Vec::new(),
            next: Vec::new(),
            scratch: ValueScratch::default(),
        }
    }
}

/// Decodes chosen chunks of a page.
pub struct MetricPageDecoder<'p> {
    page: &'p MetricPage,
    times: Vec<Option<Vec<i64>>>,
    floats: Option<FloatDecoder>,
    /// The chunk whose values lie in `values`.
    at: Option<usize>,
    values: Vec<f64>,
    next: Vec<f64>,
    scratch: ValueScratch,
}

impl MetricPageDecoder<'_> {
    /// Times of chunk `index`, which must be below [`MetricPage::chunk_count`].
    pub fn times(&mut self, index: usize) -> CodecResult<&[i64]> {
        let page = self.page;
        let id = page.chunks[index].time_column as usize;
        let column = &page.time_columns[id];
        let slot = &mut self.times[id];
        if slot.is_none() {
            *slot = Some(times::decode(
                &mut Reader::new(&page.body[column.bytes.clone()]),
                column.rows,
            )?);
        }
        Ok(slot.as_deref().unwrap_or(&[]))
    }

    /// Appends the samples of chunk `index` inside `range` and returns how many.
    pub fn append(
        &mut self,
        index: usize,
        range: TimeRange,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> CodecResult<usize> {
        let times = self.times(index)?;
        let rows = times.partition_point(|t| *t < range.start)..times.partition_point(|t| *t < range.end);
        if rows.is_empty() {
            return Ok(0);
        }
        timestamps.extend_from_slice(&times[rows.clone()]);
        match self.load(index) {
            Ok(()) => values.extend_from_slice(&self.values[rows.clone()]),
            Err(error) => {
                timestamps.truncate(timestamps.len() - rows.len());
                return Err(error);
            }
        }
        Ok(rows.len())
    }

    /// Decodes chunk `index` into `self.values`, and before it the buckets it stands on.
    fn load(&mut self, index: usize) -> CodecResult<()> {
        if self.at == Some(index) {
            return Ok(());
        }
        let page = self.page;
        let mut first = index;
        while page.chunks[first].head.is_bucket() && self.at != Some(first - 1) {
            first -= 1;
        }
        for i in first..=index {
            let chunk = &page.chunks[i];
            if chunk.head == ValueHead::Float && self.floats.is_none() && !page.float_meta.is_empty() {
                self.floats = Some(floats::decoder(&page.body[page.float_meta.clone()])?);
            }
            self.at = None;
            let data = &page.body[chunk.data.clone()];
            let rows = page.rows(i);
            let (previous, floats) = (&self.values, self.floats.as_mut());
            values::decode(
                &chunk.head,
                data,
                rows,
                previous,
                floats,
                &mut self.scratch,
                &mut self.next,
            )?;
            std::mem::swap(&mut self.values, &mut self.next);
            self.at = Some(i);
        }
        Ok(())
    }
}
