//! A page of log entries: the rows of one stream or of several neighbours in the order of series, a column each for times,
//! lines and structured metadata, each compressed alone so that counting reads no lines.
//!
//! ```text
//! page     = u8 codec (3), varint chunks, { varint rows } * chunks, { varint stored bytes } * 6, column * 6
//! column   = u8 0, bytes   |   u8 1, varint length, zstd frame of that many bytes; the six are, in this order:
//! times    = u8 form, head and data of `ints` over all rows
//! lengths  = pfor of the lengths of the lines
//! lines    = the lines one after the other
//! sets     = varint count, { varint length, canonical label bytes } * count
//! metadata = pfor of the index into `sets` of what the client sent
//! derived  = pfor of the index into `sets` of what the server derived
//! ```
//!
//! Rows stand in the order of their chunks; inside a chunk times never fall.

use arrow_array::{Array, BinaryArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use bytes::Bytes;

use super::compress::{compress_if_smaller, decompress, decompress_into};
use super::error::{CodecError, CodecResult};
use super::ints::{self, Form, IntHead, IntScratch, Packing};
use super::pfor;
use super::varint::{Reader, put_varint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;
use crate::scan::{LogColumns, LogRows};

/// Codec id of a log page of plain columns.
pub const CODEC_COLUMNS: u8 = 3;

/// Rows at which a writer ends a page, whatever its bytes.
pub const TARGET_PAGE_ROWS: usize = 16 << 10;

/// Bytes of lines at which a writer ends a page: from here on zstd finds no more, and a needle costs no more to read.
pub const TARGET_PAGE_BYTES: usize = 1 << 20;

/// Most rows of a page.
pub const MAX_PAGE_ROWS: usize = 1 << 18;

/// Most bytes of one column. One line may be longer than a usual page, so this is far above the target.
pub const MAX_COLUMN_BYTES: usize = 64 << 20;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

const TIMES: usize = 0;
const LENGTHS: usize = 1;
const LINES: usize = 2;
const SETS: usize = 3;
const METADATA: usize = 4;
const DERIVED: usize = 5;
const COLUMNS: usize = 6;

const _: () = assert!(
    TARGET_PAGE_ROWS < MAX_PAGE_ROWS && TARGET_PAGE_BYTES < MAX_COLUMN_BYTES,
    "usual pages are readable"
);

/// The rows of a page to write.
#[derive(Clone, Copy, Debug)]
pub struct LogPageInput<'a> {
    /// Rows of each chunk, none 0.
    pub chunk_rows: &'a [u32],
    /// Nanoseconds of all rows, never falling inside a chunk.
    pub timestamps: &'a [i64],
    /// Lines of all rows.
    pub lines: &'a BinaryArray,
    /// Metadata sets; those that no row of the page has are not written.
    pub metadata_sets: &'a [Labels],
    /// Per row: what the client sent, an index into `metadata_sets`.
    pub metadata: &'a [u32],
    /// Per row: what the server derived, an index into `metadata_sets`.
    pub derived: &'a [u32],
}

/// The stored columns of a page, in the order of the file's head.
pub type LogColumnBytes<T> = [T; COLUMNS];

/// One page of these rows, columns compressed at zstd `level` where that pays. Refused are only pages over
/// [`MAX_PAGE_ROWS`] or [`MAX_COLUMN_BYTES`] and columns that do not fit together.
pub fn encode(input: &LogPageInput<'_>, level: i32) -> Result<Vec<u8>> {
    let stored = encode_apart(input, level)?;
    let mut page = Vec::with_capacity(stored.iter().map(Vec::len).sum::<usize>() + input.chunk_rows.len() * 2 + 32);
    page.push(CODEC_COLUMNS);
    put_varint(&mut page, input.chunk_rows.len() as u64);
    for rows in input.chunk_rows {
        put_varint(&mut page, u64::from(*rows));
    }
    for column in &stored {
        put_varint(&mut page, column.len() as u64);
    }
    for column in &stored {
        page.extend_from_slice(column);
    }
    Ok(page)
}

/// The columns of [`encode`] apart, for a caller that keeps their lengths and the chunks' rows itself.
pub fn encode_apart(input: &LogPageInput<'_>, level: i32) -> Result<LogColumnBytes<Vec<u8>>> {
    let rows = input.timestamps.len();
    let refused = || {
        let bytes = input.lines.value_data().len();
        Error::new(
            ErrorKind::Internal,
            format!("a log page of {rows} rows and {bytes} bytes of lines cannot be written"),
        )
    };
    let sets = input.metadata_sets.len();
    let codes = |codes: &[u32]| codes.len() == rows && codes.iter().all(|c| (*c as usize) < sets);
    let fits = input.chunk_rows.iter().map(|r| *r as usize).sum::<usize>() == rows
        && !input.chunk_rows.contains(&0)
        && input.lines.len() == rows
        && codes(input.metadata)
        && codes(input.derived);
    if !fits || rows > MAX_PAGE_ROWS {
        return Err(refused());
    }
    let columns = encode_columns(input);
    if columns.iter().any(|c| c.len() > MAX_COLUMN_BYTES) {
        return Err(refused());
    }
    Ok(columns.map(|column| store(column, level)))
}

fn encode_columns(input: &LogPageInput<'_>) -> [Vec<u8>; COLUMNS] {
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    let mut numbers: Vec<u64> = Vec::with_capacity(input.timestamps.len());
    let mut data = Vec::new();
    let head = ints::encode(input.timestamps, Packing::Blocks, &mut IntScratch::default(), &mut data);
    columns[TIMES].push(head.form as u8);
    head.write(&mut columns[TIMES]);
    columns[TIMES].extend_from_slice(&data);

    let offsets = input.lines.value_offsets();
    numbers.extend(offsets.windows(2).map(|w| (w[1] - w[0]) as u64));
    pfor::encode(&numbers, &mut columns[LENGTHS]);
    let (first, last) = (
        offsets.first().copied().unwrap_or(0),
        offsets.last().copied().unwrap_or(0),
    );
    columns[LINES].extend_from_slice(&input.lines.value_data()[first as usize..last as usize]);

    // Sets are renumbered in the order of first use, which keeps codes small and leaves unused sets out.
    let mut renumbered = vec![u32::MAX; input.metadata_sets.len()];
    let mut used = 0u32;
    let mut sets = Vec::new();
    for (column, codes) in [(METADATA, input.metadata), (DERIVED, input.derived)] {
        numbers.clear();
        numbers.extend(codes.iter().map(|code| {
            let number = &mut renumbered[*code as usize];
            if *number == u32::MAX {
                *number = used;
                used += 1;
                let bytes = input.metadata_sets[*code as usize].as_bytes();
                put_varint(&mut sets, bytes.len() as u64);
                sets.extend_from_slice(bytes);
            }
            u64::from(*number)
        }));
        pfor::encode(&numbers, &mut columns[column]);
    }
    put_varint(&mut columns[SETS], u64::from(used));
    columns[SETS].extend_from_slice(&sets);
    columns
}

fn store(column: Vec<u8>, level: i32) -> Vec<u8> {
    let mut stored = Vec::new();
    match compress_if_smaller(&column, level) {
        Some(frame) => {
            stored.push(ZSTD);
            put_varint(&mut stored, column.len() as u64);
            stored.extend_from_slice(&frame);
        }
        None => {
            stored.push(PLAIN);
            stored.extend_from_slice(&column);
        }
    }
    stored
}

/// A log page whose head has been read and checked; columns are decoded when asked for.
#[derive(Clone, Debug)]
pub struct LogPage {
    offsets: Vec<u32>,
    columns: [Bytes; COLUMNS],
}

impl LogPage {
    /// Reads the head. The caller has verified the checksum.
    pub fn open(page: &Bytes) -> CodecResult<LogPage> {
        let mut reader = Reader::new(page);
        let codec = reader.u8("page codec")?;
        if codec != CODEC_COLUMNS {
            return Err(CodecError::UnknownCodec {
                what: "log page",
                found: codec,
            });
        }
        let chunks = reader.count(MAX_PAGE_ROWS, "chunk count")?;
        let mut offsets = vec![0u32];
        let mut rows = 0usize;
        for _ in 0..chunks {
            let chunk_rows = reader.count(MAX_PAGE_ROWS, "rows of a chunk")?;
            rows += chunk_rows;
            if chunk_rows == 0 || rows > MAX_PAGE_ROWS {
                return Err(CodecError::Invalid("row count"));
            }
            offsets.push(rows as u32);
        }
        let mut lens = [0; COLUMNS];
        for len in &mut lens {
            *len = reader.count(page.len(), "column length")?;
        }
        let mut columns: [Bytes; COLUMNS] = Default::default();
        let mut at = page.len() - reader.rest().len();
        for (column, len) in columns.iter_mut().zip(lens) {
            let end = at + len;
            if end > page.len() {
                return Err(CodecError::Truncated("column"));
            }
            *column = page.slice(at..end);
            at = end;
        }
        if at != page.len() {
            return Err(CodecError::Invalid("page length"));
        }
        Ok(LogPage { offsets, columns })
    }

    /// A page of columns kept apart, with the rows of its chunks. A column that was not fetched is empty; asking for it is
    /// an error.
    pub fn from_parts(chunk_rows: &[u32], columns: LogColumnBytes<Bytes>) -> CodecResult<LogPage> {
        let mut offsets = Vec::with_capacity(chunk_rows.len() + 1);
        let mut rows = 0usize;
        offsets.push(0);
        for chunk in chunk_rows {
            rows += *chunk as usize;
            if *chunk == 0 || rows > MAX_PAGE_ROWS {
                return Err(CodecError::Invalid("row count"));
            }
            offsets.push(rows as u32);
        }
        Ok(LogPage { offsets, columns })
    }

    /// One more than there are chunks: rows of chunk `i` lie at `offsets[i] <= row < offsets[i + 1]`.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.last().map_or(0, |rows| *rows as usize)
    }

    /// Times of all rows.
    pub fn times(&self) -> CodecResult<Vec<i64>> {
        let column = self.column(TIMES)?;
        let mut reader = Reader::new(&column);
        let form = Form::from_code(reader.u8("time form")?).ok_or(CodecError::Invalid("time form"))?;
        let head = IntHead::read(form, &mut reader)?;
        let mut times = vec![0; self.rows()];
        ints::decode(&head, &mut reader, &mut IntScratch::default(), &mut times)?;
        let sorted = |chunk: &[u32]| times[chunk[0] as usize..chunk[1] as usize].is_sorted();
        if reader.is_empty() && self.offsets.windows(2).all(sorted) {
            Ok(times)
        } else {
            Err(CodecError::Invalid("order of times"))
        }
    }

    /// All rows with the columns asked for. [`LogRows::offsets`] are those of the page's chunks.
    pub fn decode(&self, columns: LogColumns) -> CodecResult<LogRows> {
        let timestamps = self.times()?;
        let lengths = self.lengths()?;
        let lines = if columns.lines {
            Some(self.lines(&lengths)?)
        } else {
            None
        };
        let (metadata_sets, [metadata, derived]) = match columns.metadata {
            true => self.metadata()?,
            false => Default::default(),
        };
        Ok(LogRows {
            offsets: self.offsets.clone(),
            timestamps,
            lines,
            line_lengths: lengths,
            metadata_sets,
            metadata,
            derived,
        })
    }

    /// Length of each line.
    pub fn lengths(&self) -> CodecResult<Vec<u32>> {
        self.codes(LENGTHS, MAX_COLUMN_BYTES as u64)
    }

    /// The sets of structured metadata, and each row's index of what the client sent and of what the server derived.
    pub fn metadata(&self) -> CodecResult<(Vec<Labels>, [Vec<u32>; 2])> {
        let sets = self.sets()?;
        let codes = |column| self.codes(column, sets.len() as u64);
        let codes = [codes(METADATA)?, codes(DERIVED)?];
        Ok((sets, codes))
    }

    /// The text of all lines one after the other; `memory` may be used for it.
    pub fn text<'a>(&'a self, memory: &'a mut Vec<u8>) -> CodecResult<&'a [u8]> {
        match self.stored(LINES)? {
            Stored::Plain(bytes) => Ok(bytes),
            Stored::Frame(frame, len) => {
                decompress_into(frame, len, memory)?;
                Ok(memory)
            }
        }
    }

    fn stored(&self, index: usize) -> CodecResult<Stored<'_>> {
        let mut reader = Reader::new(&self.columns[index]);
        match reader.u8("column codec")? {
            PLAIN => Ok(Stored::Plain(reader.rest())),
            ZSTD => {
                let len = reader.count(MAX_COLUMN_BYTES, "length of a column")?;
                Ok(Stored::Frame(reader.rest(), len))
            }
            found => Err(CodecError::UnknownCodec {
                what: "log column",
                found,
            }),
        }
    }

    fn column(&self, index: usize) -> CodecResult<Bytes> {
        match self.stored(index)? {
            Stored::Plain(_) => Ok(self.columns[index].slice(1..)),
            Stored::Frame(frame, len) => Ok(Bytes::from(decompress(frame, len)?)),
        }
    }

    /// Numbers below `end`, one a row.
    fn codes(&self, index: usize, end: u64) -> CodecResult<Vec<u32>> {
        let column = self.column(index)?;
        let mut reader = Reader::new(&column);
        let mut numbers = vec![0; self.rows()];
        pfor::decode(&mut reader, &mut numbers)?;
        if reader.is_empty() && numbers.iter().all(|n| *n < end) {
            Ok(numbers.into_iter().map(|n| n as u32).collect())
        } else {
            Err(CodecError::Invalid("codes of a column"))
        }
    }

    /// All lines.
    pub fn lines(&self, lengths: &[u32]) -> CodecResult<BinaryArray> {
        let column = self.column(LINES)?;
        BinaryArray::try_new(
            OffsetBuffer::new(ScalarBuffer::from(line_offsets(lengths, column.len())?)),
            Buffer::from(column),
            None,
        )
        .map_err(|_| CodecError::Invalid("lines"))
    }

    fn sets(&self) -> CodecResult<Vec<Labels>> {
        let column = self.column(SETS)?;
        let mut reader = Reader::new(&column);
        let count = reader.count(MAX_PAGE_ROWS * 2, "metadata set count")?;
        let mut sets = Vec::new();
        for _ in 0..count {
            let len = reader.count(MAX_COLUMN_BYTES, "metadata set length")?;
            let bytes = reader.take(len, "metadata set")?;
            sets.push(Labels::from_canonical(bytes).map_err(|_| CodecError::Invalid("metadata set"))?);
        }
        if reader.is_empty() {
            Ok(sets)
        } else {
            Err(CodecError::Invalid("metadata sets"))
        }
    }
}

/// A column as it is stored.
enum Stored<'a> {
    Plain(&'a [u8]),
    /// A zstd frame, and the length of its content.
    Frame(&'a [u8], usize),
}

/// Where each line begins and the last one ends, in a text of `len` bytes.
pub fn line_offsets(lengths: &[u32], len: usize) -> CodecResult<Vec<i32>> {
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    let mut end = 0u64;
    offsets.push(0i32);
    for length in lengths {
        end += u64::from(*length);
        // Columns are limited to far less than i32::MAX bytes, which the end tells.
        offsets.push(end as i32);
    }
    if end == len as u64 && i32::try_from(len).is_ok() {
        Ok(offsets)
    } else {
        Err(CodecError::Invalid("length of the lines"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::compress::FLUSH_LEVEL;
    use super::*;

    const ALL: LogColumns = LogColumns {
        lines: true,
        metadata: true,
    };

    #[derive(Debug, Clone)]
    struct Rows {
        chunk_rows: Vec<u32>,
        timestamps: Vec<i64>,
        lines: BinaryArray,
        sets: Vec<Labels>,
        metadata: Vec<u32>,
        derived: Vec<u32>,
    }

    impl Rows {
        fn page(&self) -> Bytes {
            let input = LogPageInput {
                chunk_rows: &self.chunk_rows,
                timestamps: &self.timestamps,
                lines: &self.lines,
                metadata_sets: &self.sets,
                metadata: &self.metadata,
                derived: &self.derived,
            };
            Bytes::from(encode(&input, FLUSH_LEVEL).unwrap())
        }
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let line = prop_oneof![
            "(GET|POST) /api/v[0-9]/[a-z]{1,8} 200",
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|b| String::from_utf8_lossy(&b).into_owned()),
        ];
        let time = prop_oneof![8 => 0i64..5_000_000, 1 => any::<i64>()];
        let row = (time, line, 0u32..5, 0u32..5);
        let chunk = proptest::collection::vec(row, 1..120);
        proptest::collection::vec(chunk, 0..5).prop_map(|mut chunks| {
            chunks.iter_mut().for_each(|c| c.sort_by_key(|r| r.0));
            let all = || chunks.iter().flatten();
            Rows {
                chunk_rows: chunks.iter().map(|c| c.len() as u32).collect(),
                timestamps: all().map(|r| r.0).collect(),
                lines: BinaryArray::from_iter_values(all().map(|r| &r.1).collect::<Vec<_>>()),
                sets: (0..5).map(|i| Labels::from_pairs([("n", "x".repeat(i))])).collect(),
                metadata: all().map(|r| r.2).collect(),
                derived: all().map(|r| r.3).collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn every_entry_comes_back(rows in rows()) {
            let page = LogPage::open(&rows.page()).unwrap();
            let all = page.decode(ALL).unwrap();
            prop_assert!(all.check(rows.chunk_rows.len(), &ALL.into()).is_ok());
            prop_assert_eq!(page.times().unwrap(), rows.timestamps.clone());
            prop_assert_eq!(all.timestamps, rows.timestamps);
            prop_assert_eq!(all.lines.as_ref(), Some(&rows.lines));
            let names = |sets: &[Labels], codes: &[u32]| codes.iter().map(|c| sets[*c as usize].clone()).collect::<Vec<_>>();
            prop_assert_eq!(names(&all.metadata_sets, &all.metadata), names(&rows.sets, &rows.metadata));
            prop_assert_eq!(names(&all.metadata_sets, &all.derived), names(&rows.sets, &rows.derived));
            let counted = page.decode(LogColumns { lines: false, metadata: false }).unwrap();
            prop_assert_eq!(counted.line_lengths, all.line_lengths);
            prop_assert!(counted.lines.is_none() && counted.metadata_sets.is_empty());
        }

        #[test]
        fn damaged_pages_fail_or_decode_but_never_panic(
            rows in rows(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = rows.page().to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                let cut = cut.index(bytes.len());
                bytes.truncate(cut);
            }
            if let Ok(page) = LogPage::open(&Bytes::from(bytes))
                && let Ok(rows) = page.decode(ALL)
            {
                prop_assert!(rows.check(page.offsets().len() - 1, &ALL.into()).is_ok());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(page) = LogPage::open(&Bytes::from([&[CODEC_COLUMNS][..], &bytes].concat())) {
                let _ = page.decode(ALL);
            }
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_not_written() {
        let lines = BinaryArray::from_iter_values(["a", "b"]);
        let sets = [Labels::empty()];
        let good = LogPageInput {
            chunk_rows: &[1, 1],
            timestamps: &[1, 2],
            lines: &lines,
            metadata_sets: &sets,
            metadata: &[0, 0],
            derived: &[0, 0],
        };
        assert!(encode(&good, 1).is_ok());
        assert!(
            encode(
                &LogPageInput {
                    chunk_rows: &[1],
                    ..good
                },
                1
            )
            .is_err()
        );
        assert!(
            encode(
                &LogPageInput {
                    chunk_rows: &[2, 0],
                    ..good
                },
                1
            )
            .is_err()
        );
        assert!(encode(&LogPageInput { metadata: &[0], ..good }, 1).is_err());
        assert!(
            encode(
                &LogPageInput {
                    derived: &[0, 1],
                    ..good
                },
                1
            )
            .is_err()
        );
        assert!(
            encode(
                &LogPageInput {
                    lines: &lines.slice(0, 1),
                    ..good
                },
                1
            )
            .is_err()
        );
        // A slice of longer columns is an ordinary input.
        let part = LogPageInput {
            chunk_rows: &[1],
            timestamps: &[2],
            lines: &lines.slice(1, 1),
            metadata: &[0],
            derived: &[0],
            ..good
        };
        let page = LogPage::open(&Bytes::from(encode(&part, 1).unwrap())).unwrap();
        assert_eq!(
            page.decode(ALL).unwrap().lines,
            Some(BinaryArray::from_iter_values(["b"]))
        );
    }
}
