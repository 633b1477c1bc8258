//! The label index, read: matchers to ordinals, names and values of labels, reading only the labels asked about.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;
use tantivy::directory::FileSlice;
use tantivy::termdict::TermDictionary;
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Broken, MAX_RAW_BYTES, Parsed, unpack};
use super::cache::{Part, PartId};
use super::fetch::Held;
use super::label_index::{LabelEntry, POSTINGS_BLOCK_BYTES, Piece};
use super::parts::Parts;
use super::postings;
use crate::error::{ErrorKind, Result};
use crate::model::{LabelMatcher, Shape};
use crate::pieces::Extent;

/// Where matchers on selective labels leave no more series than this, the others are asked of those series' label sets,
/// which a selection reads anyway, and not of dictionaries that may be large.
const MAX_SERIES_TO_FILTER: u64 = 4096;
const WHAT: Broken = Broken("label index");

/// The values of one label, opened.
pub(super) struct LabelDictionary {
    terms: TermDictionary,
    size_bytes: usize,
}

impl std::fmt::Debug for LabelDictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LabelDictionary({} values)", self.terms.num_terms())
    }
}

impl LabelDictionary {
    fn open(bytes: &[u8], piece: &Piece) -> Parsed<LabelDictionary> {
        if xxh3_64(bytes) != piece.checksum {
            return Err(Broken("label index (checksum)"));
        }
        let raw = unpack(bytes, MAX_RAW_BYTES, "label index")?;
        let size_bytes = raw.len();
        let terms = TermDictionary::open(FileSlice::from(raw)).map_err(|_| WHAT)?;
        Ok(LabelDictionary { terms, size_bytes })
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The postings of values that `wanted` picks among those that begin with `prefix`.
    fn find(&self, prefix: &str, mut wanted: impl FnMut(&str) -> bool) -> std::io::Result<Vec<List>> {
        let mut found = Vec::new();
        let mut stream = self.terms.range().ge(prefix.as_bytes()).into_stream()?;
        while stream.advance() {
            if !stream.key().starts_with(prefix.as_bytes()) {
                break;
            }
            if std::str::from_utf8(stream.key()).is_ok_and(&mut wanted) {
                found.push(List::new(stream.value()));
            }
        }
        Ok(found)
    }

    fn find_one(&self, value: &str) -> std::io::Result<Option<List>> {
        Ok(self.terms.get(value.as_bytes())?.map(|info| List::new(&info)))
    }
}

/// The postings of one value: where they lie, and how many.
#[derive(Clone, Copy, Debug)]
struct List {
    start: u32,
    end: u32,
    count: u32,
}

impl List {
    fn new(info: &tantivy::postings::TermInfo) -> List {
        List {
            start: info.postings_range.start as u32,
            end: info.postings_range.end as u32,
            count: info.doc_freq,
        }
    }

    fn blocks(&self) -> Range<u32> {
        let block = POSTINGS_BLOCK_BYTES as u32;
        self.start / block..self.end.div_ceil(block)
    }
}

/// Which values of its label a matcher wants to see; series without the label pass or fail together.
enum Wanted<'a> {
    All,
    None,
    Values(&'a [String]),
    Streamed(&'a str),
}

fn wanted(matcher: &LabelMatcher) -> Wanted<'_> {
    // Those without the label pass: then the values that fail are the ones to look for, otherwise those that pass. Either
    // way they are the ones that the text or regex matches, unless it matches the empty value.
    let matches_empty = matcher.matches_absent() != matcher.is_negative();
    match matcher.shape() {
        Shape::Anything => Wanted::None,
        Shape::NotEmpty => Wanted::All,
        Shape::Values(values) if !matches_empty => Wanted::Values(values),
        Shape::Values(values) if values.len() == 1 => Wanted::All,
        Shape::Prefix(prefix) if !matches_empty => Wanted::Streamed(prefix),
        _ => Wanted::Streamed(""),
    }
}

impl Parts<'_> {
    /// Ordinals that pass all matchers by the index, which the segment has; `None` where it is damaged.
    pub(super) async fn matching_by_index(
        &self,
        labels: &[LabelEntry],
        matchers: &[LabelMatcher],
    ) -> Result<Option<RoaringBitmap>> {
        match self.narrow(labels, matchers).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "matching without the label index");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn narrow(&self, labels: &[LabelEntry], matchers: &[LabelMatcher]) -> Result<RoaringBitmap> {
        let mut found = RoaringBitmap::new();
        found.insert_range(0..self.fetcher.meta.series);
        // Looked up values first: they are quick and leave little.
        let is_quick = |m: &&LabelMatcher| matches!(wanted(m), Wanted::Values(_)) && !m.matches_absent();
        let quick = matchers.iter().filter(is_quick);
        let mut rest: Vec<&LabelMatcher> = matchers.iter().filter(|m| !is_quick(m)).collect();
        for matcher in quick.chain(std::mem::take(&mut rest)) {
            if found.is_empty() {
                break;
            }
            if !is_quick(&matcher) && found.len() <= MAX_SERIES_TO_FILTER {
                rest.push(matcher);
                continue;
            }
            let named = self.series_of_values(labels, matcher).await?;
            if matcher.matches_absent() {
                found -= named;
            } else {
                found &= named;
            }
        }
        if !rest.is_empty() {
            self.filter(&rest, &mut found).await?;
        }
        Ok(found)
    }

    /// Ordinals whose value of the matcher's label is one it [`wanted`].
    async fn series_of_values(&self, labels: &[LabelEntry], matcher: &LabelMatcher) -> Result<RoaringBitmap> {
        let mut out = RoaringBitmap::new();
        let Ok(at) = labels.binary_search_by(|label| label.name.as_str().cmp(matcher.name())) else {
            return Ok(out);
        };
        let (at, label) = (at as u32, &labels[at]);
        let broken = |_: std::io::Error| WHAT;
        let lists = match wanted(matcher) {
            Wanted::None => Vec::new(),
            Wanted::All => vec![List {
                start: 0,
                end: label.present_len,
                count: label.series,
            }],
            Wanted::Values(values) => {
                let dictionary = self.dictionary(at, label).await?;
                let found = values.iter().filter_map(|value| dictionary.find_one(value).transpose());
                found.collect::<std::io::Result<Vec<List>>>().map_err(broken)?
            }
            Wanted::Streamed(prefix) => {
                let dictionary = self.dictionary(at, label).await?;
                let passes = !matcher.matches_absent();
                dictionary
                    .find(prefix, |value| matcher.matches(value) == passes)
                    .map_err(broken)?
            }
        };
        let _held = Held::take(self.fetcher.scan, (lists.len() * size_of::<List>()) as u64)?;
        let bytes = self.bytes_of(at, label, &lists).await?;
        for list in &lists {
            postings::read(
                &bytes.slice(list.start, list.end)?,
                list.count,
                self.fetcher.meta.series,
                &mut out,
            )?;
        }
        Ok(out)
    }

    async fn filter(&self, matchers: &[&LabelMatcher], found: &mut RoaringBitmap) -> Result<()> {
        let numbers: BTreeSet<u32> = found.iter().map(super::series_groups::group_of).collect();
        let numbers: Vec<u32> = numbers.into_iter().collect();
        let mut failed = RoaringBitmap::new();
        for some in numbers.chunks(super::parts::GROUPS_AT_ONCE) {
            for (number, group) in self.groups(&some.iter().copied().collect()).await? {
                for ordinal in super::series_groups::members(found, number) {
                    let passes = |m: &&LabelMatcher| m.matches(group.table.value(ordinal, m.name()).unwrap_or(""));
                    if !matchers.iter().all(passes) {
                        failed.insert(ordinal);
                    }
                }
            }
        }
        *found -= failed;
        Ok(())
    }

    /// Every value of label `name` by the index, sorted.
    pub(super) async fn values_by_index(&self, labels: &[LabelEntry], name: &str) -> Result<Option<Vec<String>>> {
        let Ok(at) = labels.binary_search_by(|label| label.name.as_str().cmp(name)) else {
            return Ok(Some(Vec::new()));
        };
        let dictionary = match self.dictionary(at as u32, &labels[at]).await {
            Ok(dictionary) => dictionary,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "listing values without the label index");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut values = Vec::with_capacity(dictionary.terms.num_terms());
        let mut stream = dictionary.terms.stream().map_err(|_| WHAT)?;
        while stream.advance() {
            if let Ok(value) = std::str::from_utf8(stream.key()) {
                values.push(value.to_string());
            }
        }
        Ok(Some(values))
    }

    /// How many pieces of the index are damaged.
    pub(super) async fn damaged_pieces(&self, labels: &[LabelEntry]) -> Result<usize> {
        let mut damaged = 0;
        for label in labels {
            let pieces: Vec<&Piece> = label.pieces().collect();
            let extents: Vec<Extent> = pieces.iter().map(|piece| piece.extent()).collect();
            let (bytes, _held) = self.read(&extents).await?;
            let same = pieces
                .iter()
                .zip(&bytes)
                .filter(|(piece, bytes)| xxh3_64(bytes) == piece.checksum);
            damaged += pieces.len() - same.count();
        }
        Ok(damaged)
    }

    async fn dictionary(&self, at: u32, label: &LabelEntry) -> Result<Arc<LabelDictionary>> {
        let id = PartId::Dictionary(at);
        if let Some(Part::Dictionary(dictionary)) = self.cached(id) {
            return Ok(dictionary);
        }
        let piece = &label.dictionary;
        let (bytes, _held) = self.read(std::slice::from_ref(&piece.extent())).await?;
        let bytes = bytes.first().ok_or(WHAT)?;
        let dictionary = LabelDictionary::open(bytes, piece).map_err(|b| b.at(self.fetcher.place()))?;
        let dictionary = Arc::new(dictionary);
        self.keep(id, Part::Dictionary(Arc::clone(&dictionary)));
        Ok(dictionary)
    }

    /// The blocks of postings that `lists` (ascending) lie in.
    async fn bytes_of(&self, at: u32, label: &LabelEntry, lists: &[List]) -> Result<PostingsBytes> {
        let blocks: BTreeSet<u32> = lists.iter().flat_map(List::blocks).collect();
        let mut out = PostingsBytes::default();
        let mut missing = Vec::new();
        for block in blocks {
            let piece = label.blocks.get(block as usize).ok_or(WHAT)?;
            match self.cached(PartId::Postings(at, block)) {
                Some(Part::Postings(bytes)) => out.blocks.push((block, bytes)),
                _ => missing.push((block, piece)),
            }
        }
        let extents: Vec<Extent> = missing.iter().map(|(_, piece)| piece.extent()).collect();
        let (read, _held) = self.read(&extents).await?;
        for ((block, piece), bytes) in missing.into_iter().zip(read) {
            if xxh3_64(&bytes) != piece.checksum {
                return Err(Broken("label index (checksum)").at(self.fetcher.place()));
            }
            let bytes = Bytes::from(unpack(&bytes, POSTINGS_BLOCK_BYTES, "label index")?);
            self.keep(PartId::Postings(at, block), Part::Postings(bytes.clone()));
            out.blocks.push((block, bytes));
        }
        out.blocks.sort_by_key(|(block, _)| *block);
        Ok(out)
    }
}

/// Some blocks of one label's postings.
#[derive(Default)]
struct PostingsBytes {
    blocks: Vec<(u32, Bytes)>,
}

impl PostingsBytes {
    /// The bytes from `start` to `end` of the postings; a copy where they span blocks.
    fn slice(&self, start: u32, end: u32) -> Parsed<Bytes> {
        let size = POSTINGS_BLOCK_BYTES as u32;
        let (first, last) = (start / size, end.saturating_sub(1).max(start) / size);
        let part = |block: u32| -> Parsed<Bytes> {
            let at = self
                .blocks
                .binary_search_by_key(&block, |(b, _)| *b)
                .map_err(|_| WHAT)?;
            let bytes = &self.blocks[at].1;
            let from = start.max(block * size) - block * size;
            let to = end.min((block + 1).saturating_mul(size)) - block * size;
            match (from as usize, to as usize) {
                (from, to) if from <= to && to <= bytes.len() => Ok(bytes.slice(from..to)),
                _ => Err(WHAT),
            }
        };
        if first == last {
            return part(first);
        }
        let mut out = Vec::with_capacity((end - start) as usize);
        for block in first..=last {
            out.extend_from_slice(&part(block)?);
        }
        Ok(out.into())
    }
}
