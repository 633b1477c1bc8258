//! The label index of segments with many series, written: for each label name a dictionary of its values (tantivy's term
//! dictionary, an FST) and the series of each value. See FORMAT.md, "Label index".
//!
//! Labels lie apart, so that a query reads only those it asks about. Built from the finished label sets of the segment, a
//! few labels at a time, so that what it holds is bounded by the largest label and not by all of them.

use std::collections::BTreeMap;

use ahash::RandomState;
use arrow_array::Array;
use hashbrown::HashMap;
use tantivy::postings::TermInfo;
use tantivy::termdict::TermDictionaryBuilder;
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_slice, put_varint, unpack};
use super::postings::PostingsBuilder;
use super::series_table::SeriesMessage;
use crate::error::{Error, ErrorKind, Result};
use crate::pieces::Extent;

/// Below this many series the dictionaries of the only series group answer faster.
pub(super) const MIN_INDEXED_SERIES: u32 = 4000;
/// Raw bytes of a block of postings; postings are read by blocks.
pub(super) const POSTINGS_BLOCK_BYTES: usize = 64 << 10;
/// Distinct values, counted once a series group, of the labels that are built at one time.
const MAX_VALUES_AT_ONCE: usize = 1 << 18;
const ZSTD_LEVEL: i32 = 3;
const WHAT: &str = "label index";

/// Bytes of the segment that can be read and verified alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub offset: u64,
    pub len: u32,
    pub checksum: u64,
}

impl Piece {
    pub fn extent(&self) -> Extent {
        Extent::new(self.offset..self.offset + u64::from(self.len), self.checksum)
    }
}

/// One label of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelEntry {
    pub name: String,
    /// Distinct values.
    pub values: u32,
    /// Packed.
    pub dictionary: Piece,
    /// The blocks of its postings, packed one by one; all but the last hold [`POSTINGS_BLOCK_BYTES`].
    pub blocks: Vec<Piece>,
    /// How many series have the label at all; the postings begin with them.
    pub series: u32,
    /// Bytes of that list.
    pub present_len: u32,
}

impl LabelEntry {
    /// All its pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::once(&self.dictionary).chain(&self.blocks)
    }
}

/// The label sets of a segment by series group, packed as they lie there, with the ordinal of the first series.
pub(super) type Messages<'a> = [(u32, u32, &'a [u8])];

/// Writes the parts of the index behind `out`, whose end is at `offset` of the segment; gives the section. `None` where
/// the series are few.
pub(super) fn build(messages: &Messages<'_>, offset: u64, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    let series: u32 = messages.iter().map(|(_, series, _)| series).sum();
    if series < MIN_INDEXED_SERIES {
        return Ok(None);
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for message in messages {
        for (name, values) in decode(message)?.value_counts() {
            match names.get_mut(name) {
                Some(count) => *count += values,
                None => drop(names.insert(name.to_string(), values)),
            }
        }
    }
    let start = out.len();
    let mut entries = Vec::with_capacity(names.len());
    let mut names = names.into_iter().peekable();
    while names.peek().is_some() {
        let mut labels: Vec<LabelBuilder> = Vec::new();
        let mut values = 0;
        while let Some((name, count)) = names.next_if(|(_, n)| values == 0 || values + n <= MAX_VALUES_AT_ONCE) {
            values += count;
            labels.push(LabelBuilder::new(name));
        }
        for message in messages {
            let decoded = decode(message)?;
            labels.iter_mut().for_each(|label| label.add(message.0, &decoded));
        }
        for label in labels {
            let base = offset - start as u64;
            let written = label.write(base, out);
            entries
                .push(written.map_err(|e| Error::with_source(ErrorKind::Internal, "cannot write the label index", e))?);
        }
    }
    Ok(Some(encode_labels(&entries)))
}

fn decode(message: &(u32, u32, &[u8])) -> Result<SeriesMessage> {
    let (first, series, bytes) = *message;
    Ok(SeriesMessage::decode(bytes, first, series)?)
}

/// The values of one label and their series.
struct LabelBuilder {
    name: String,
    slots: HashMap<Box<str>, u32, RandomState>,
    postings: Vec<PostingsBuilder>,
    present: PostingsBuilder,
}

impl LabelBuilder {
    fn new(name: String) -> Self {
        LabelBuilder {
            name,
            slots: HashMap::with_hasher(RandomState::with_seed(0)),
            postings: Vec::new(),
            present: PostingsBuilder::default(),
        }
    }

    fn add(&mut self, first: u32, message: &SeriesMessage) {
        let Some((codes, values)) = message.codes(&self.name) else {
            return;
        };
        let mut slots = Vec::with_capacity(values.len());
        for value in values.iter().flatten() {
            let slot = match self.slots.get(value) {
                Some(slot) => *slot,
                None => {
                    let slot = self.postings.len() as u32;
                    self.slots.insert(value.into(), slot);
                    self.postings.push(PostingsBuilder::default());
                    slot
                }
            };
            slots.push(slot);
        }
        for (row, code) in (0..).zip(codes.iter()) {
            let slot = code.and_then(|code| slots.get(usize::from(code)));
            if let Some(postings) = slot.and_then(|slot| self.postings.get_mut(*slot as usize)) {
                postings.push(first + row);
                self.present.push(first + row);
            }
        }
    }

    /// Appends dictionary and postings to `out`, which begins at `base` of the segment.
    fn write(self, base: u64, out: &mut Vec<u8>) -> std::io::Result<LabelEntry> {
        let mut sorted: Vec<(&str, u32)> = self.slots.iter().map(|(value, slot)| (&**value, *slot)).collect();
        sorted.sort_unstable();
        let mut raw = Vec::new();
        self.present.write(&mut raw);
        let present_len = raw.len() as u32;
        let mut dictionary = TermDictionaryBuilder::create(Vec::new())?;
        for (value, slot) in sorted {
            let start = raw.len();
            let Some(postings) = self.postings.get(slot as usize) else {
                continue;
            };
            postings.write(&mut raw);
            let info = TermInfo {
                doc_freq: postings.len(),
                postings_range: start..raw.len(),
                positions_range: 0..0,
            };
            dictionary.insert(value, &info)?;
        }
        let mut piece = |raw: &[u8]| {
            let bytes = pack(raw, ZSTD_LEVEL);
            let offset = base + out.len() as u64;
            out.extend_from_slice(&bytes);
            Piece {
                offset,
                len: bytes.len() as u32,
                checksum: xxh3_64(&bytes),
            }
        };
        Ok(LabelEntry {
            values: self.slots.len() as u32,
            dictionary: piece(&dictionary.finish()?),
            blocks: raw.chunks(POSTINGS_BLOCK_BYTES).map(piece).collect(),
            series: self.present.len(),
            present_len,
            name: self.name,
        })
    }
}

fn encode_labels(labels: &[LabelEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, labels.len() as u64);
    for label in labels {
        put_slice(&mut out, label.name.as_bytes());
        put_varint(&mut out, u64::from(label.values));
        put_varint(&mut out, label.dictionary.offset);
        put_varint(&mut out, u64::from(label.series));
        put_varint(&mut out, u64::from(label.present_len));
        put_varint(&mut out, label.blocks.len() as u64);
        for piece in label.pieces() {
            put_varint(&mut out, u64::from(piece.len));
            out.extend_from_slice(&piece.checksum.to_le_bytes());
        }
    }
    pack(&out, 1)
}

/// The labels of an index, by name; `pages_end` bounds where their parts may lie.
pub(super) fn decode_labels(bytes: &[u8], pages_end: u64) -> Parsed<Vec<LabelEntry>> {
    let broken = Broken(WHAT);
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let count = cursor.count(15)?;
    let mut labels: Vec<LabelEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let name = std::str::from_utf8(cursor.slice()?).map_err(|_| broken)?.to_string();
        if labels.last().is_some_and(|before| before.name >= name) {
            return Err(broken);
        }
        let values = cursor.varint_u32()?;
        let mut offset = cursor.varint()?;
        let (series, present_len) = (cursor.varint_u32()?, cursor.varint_u32()?);
        let blocks = cursor.count(9)?;
        let mut piece = || -> Parsed<Piece> {
            let piece = Piece {
                offset,
                len: cursor.varint_u32()?,
                checksum: cursor.u64()?,
            };
            offset = offset.checked_add(u64::from(piece.len)).ok_or(broken)?;
            Ok(piece)
        };
        let dictionary = piece()?;
        let blocks = (0..blocks).map(|_| piece()).collect::<Parsed<Vec<Piece>>>()?;
        if offset > pages_end {
            return Err(broken);
        }
        labels.push(LabelEntry {
            name,
            values,
            dictionary,
            blocks,
            series,
            present_len,
        });
    }
    cursor.end()?;
    Ok(labels)
}

/// Heap bytes of entries, about.
pub(super) fn entries_size_bytes(labels: &[LabelEntry]) -> usize {
    let bytes =
        |label: &LabelEntry| size_of::<LabelEntry>() + label.name.len() + label.blocks.len() * size_of::<Piece>();
    labels.iter().map(bytes).sum()
}
