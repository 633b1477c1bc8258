//! A page of metric values: whole series (or pieces of them) in the order of series, heads first, then data. Their times lie
//! elsewhere, once for all series that share them (see `times`).
//!
//! ```text
//! page   = u8 codec, body                         codec 1: the body as it is; codec 2: varint length, zstd frame of the body
//! body   = varint chunks, varint length of the float meta
//!          { zigzag rows - rows of the chunk before (the first: - 0)
//!            head of `values`, varint bytes unless the head says everything } * chunks
//!          float meta                             see `floats`
//!          data * chunks                          see `values`
//! ```
//!
//! A page has no checksum of its own, the page directory carries it. Decoding one chunk reads the heads and its own data,
//! and for a bucket of a histogram the data of the buckets before it.

use std::ops::Range;

use bytes::Bytes;

use super::compress::{compress_if_smaller, decompress};
use super::error::{CodecError, CodecResult};
use super::floats::{self, FloatDecoder};
use super::ints::Packing;
use super::values::{self, ValueHead, ValueScratch};
use super::varint::{Reader, put_varint, put_zigzag};
use crate::error::{Error, ErrorKind, Result};

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
    /// Not empty.
    pub values: &'a [f64],
    /// Whether this is the next `le` bucket of the histogram whose bucket is the chunk before. A hint: wrong costs size.
    pub next_bucket: bool,
}

/// One page of these chunks, compressed at zstd `level` where that pays. Refused are only pages over [`MAX_PAGE_ROWS`]
/// and chunks without values.
pub fn encode(chunks: &[ChunkInput<'_>], level: i32) -> Result<Vec<u8>> {
    check(chunks)?;
    Ok(seal(&PageBuilder::new(Packing::Blocks).build(chunks), level))
}

/// As [`encode`], in one to two times its time, with entropy codes where they make the page smaller.
pub fn encode_smallest(chunks: &[ChunkInput<'_>], level: i32) -> Result<Vec<u8>> {
    check(chunks)?;
    let mut builder = PageBuilder::new(Packing::Smallest);
    let body = builder.build(chunks);
    let page = seal(&body, level);
    let (numbers, bytes) = builder.scratch.entropy_coded();
    // zstd finds what neighbours have in common, which entropy codes hide. In noise there is nothing of that.
    if numbers == 0 || bytes * 8 >= numbers * NOISE_BITS {
        return Ok(page);
    }
    let in_blocks = encode(chunks, level)?;
    Ok(if page.len() < in_blocks.len() { page } else { in_blocks })
}

/// Numbers that take so many bits each are noise: a compressor of repeated bytes gains nothing of them.
const NOISE_BITS: usize = 4;

fn check(chunks: &[ChunkInput<'_>]) -> Result<()> {
    let rows: usize = chunks.iter().map(|c| c.values.len()).sum();
    if rows > MAX_PAGE_ROWS || chunks.iter().any(|c| c.values.is_empty()) {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "a metric page of {} chunks and {rows} rows cannot be written",
                chunks.len()
            ),
        ));
    }
    Ok(())
}

/// The page of a body.
fn seal(body: &[u8], level: i32) -> Vec<u8> {
    match compress_if_smaller(body, level) {
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
            page.extend_from_slice(body);
            page
        }
    }
}

struct PageBuilder {
    packing: Packing,
    heads: Vec<(ValueHead, Range<usize>)>,
    data: Vec<u8>,
    floats: Vec<f64>,
    float_lens: Vec<usize>,
    scratch: ValueScratch,
}

impl PageBuilder {
    fn new(packing: Packing) -> Self {
        PageBuilder {
            packing,
            heads: Vec::new(),
            data: Vec::new(),
            floats: Vec::new(),
            float_lens: Vec::new(),
            scratch: ValueScratch::default(),
        }
    }

    fn build(&mut self, chunks: &[ChunkInput<'_>]) -> Vec<u8> {
        let mut before: Option<&[f64]> = None;
        for chunk in chunks {
            let previous = before.filter(|_| chunk.next_bucket);
            let start = self.data.len();
            let head = values::encode(chunk.values, previous, self.packing, &mut self.scratch, &mut self.data);
            if head == ValueHead::Float {
                self.floats.extend_from_slice(chunk.values);
                self.float_lens.push(chunk.values.len());
            }
            self.heads.push((head, start..self.data.len()));
            before = Some(chunk.values);
        }
        self.assemble(chunks)
    }

    fn assemble(&mut self, chunks: &[ChunkInput<'_>]) -> Vec<u8> {
        let encoded = match self.float_lens.is_empty() {
            true => None,
            false => floats::encode(&self.floats, &self.float_lens),
        };
        let mut body = Vec::with_capacity(self.data.len() + self.heads.len() * 12 + 64);
        put_varint(&mut body, chunks.len() as u64);
        put_varint(&mut body, encoded.as_ref().map_or(0, |e| e.meta.len()) as u64);

        let mut float_series = encoded.iter().flat_map(|e| &e.series);
        let mut data = Vec::with_capacity(self.data.len());
        let mut rows_before = 0i64;
        for ((head, range), chunk) in self.heads.iter_mut().zip(chunks) {
            let start = data.len();
            if *head != ValueHead::Float {
                data.extend_from_slice(&self.data[range.clone()]);
            } else if let Some(bytes) = float_series.next() {
                data.extend_from_slice(bytes);
            } else {
                *head = ValueHead::Raw;
                values::write_raw(chunk.values, &mut data);
            }
            let rows = chunk.values.len() as i64;
            put_zigzag(&mut body, rows - rows_before);
            rows_before = rows;
            head.write(&mut body);
            if !head.has_no_data() {
                put_varint(&mut body, (data.len() - start) as u64);
            }
        }
        if let Some(encoded) = &encoded {
            body.extend_from_slice(&encoded.meta);
        }
        body.extend_from_slice(&data);
        body
    }
}

#[derive(Debug)]
struct Chunk {
    rows: usize,
    head: ValueHead,
    data: Range<usize>,
}

/// A page whose heads have been read and checked.
#[derive(Debug)]
pub struct MetricPage {
    body: Bytes,
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
        // Nothing is allocated by the count; the vector below grows with the heads that are really there.
        let chunk_count = reader.count(MAX_PAGE_ROWS, "chunk count")?;
        let float_meta_len = reader.count(body.len(), "float meta length")?;

        let (mut rows, mut rows_total) = (0i64, 0usize);
        let mut chunks: Vec<Chunk> = Vec::new();
        for _ in 0..chunk_count {
            rows = rows.wrapping_add(reader.zigzag("row count")?);
            let own = usize::try_from(rows).ok().filter(|n| (1..=MAX_PAGE_ROWS).contains(n));
            let own = own.ok_or(CodecError::Invalid("row count"))?;
            rows_total += own;
            if rows_total > MAX_PAGE_ROWS {
                return Err(CodecError::Invalid("row count"));
            }
            let head = ValueHead::read(&mut reader, own)?;
            if head.is_bucket() && chunks.last().is_none_or(|before| before.rows != own) {
                return Err(CodecError::Invalid("bucket without a chunk like it before"));
            }
            let len = if head.has_no_data() {
                0
            } else {
                reader.count(body.len(), "length of chunk data")?
            };
            chunks.push(Chunk {
                rows: own,
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
        for chunk in &mut chunks {
            chunk.data = next(chunk.data.end)?;
        }
        if at != body.len() {
            return Err(CodecError::Invalid("page length"));
        }
        Ok(MetricPage {
            body,
            chunks,
            float_meta,
        })
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Rows of chunk `index`; `None` beyond the last.
    pub fn rows(&self, index: usize) -> Option<usize> {
        self.chunks.get(index).map(|chunk| chunk.rows)
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.body.len() + self.chunks.len() * size_of::<Chunk>()
    }

    /// A decoder over the chunks; ascending order is the quick one.
    pub fn decoder(&self) -> MetricPageDecoder<'_> {
        MetricPageDecoder {
            page: self,
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
    floats: Option<FloatDecoder>,
    /// The chunk whose values lie in `values`.
    at: Option<usize>,
    values: Vec<f64>,
    next: Vec<f64>,
    scratch: ValueScratch,
}

impl MetricPageDecoder<'_> {
    /// Values of chunk `index`.
    pub fn values(&mut self, index: usize) -> CodecResult<&[f64]> {
        if index >= self.page.chunks.len() {
            return Err(CodecError::Invalid("chunk number"));
        }
        self.load(index)?;
        Ok(&self.values)
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
            let rows = chunk.rows;
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
