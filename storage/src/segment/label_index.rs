//! The label index of segments with many series: tantivy, a term `name 0xFF value` per label pair, a document per series.
//! See FORMAT.md, "Label index".
//!
//! Document numbers are ordinals: one writer, one segment, documents in series order. 0xFF occurs in no UTF-8 text, so
//! the terms of a name are neighbours and no name is the beginning of another's terms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;
use tantivy::directory::{Directory, RamDirectory};
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, Schema};
use tantivy::{DocSet, Index, IndexSettings, InvertedIndexReader, ReloadPolicy, TERMINATED, TantivyDocument};

use super::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_slice, put_varint, unpack};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LabelMatcher, Labels, MatchOp};

/// Below this many series the series table's dictionaries answer faster than an index opens.
pub(super) const MIN_INDEXED_SERIES: usize = 4000;
/// tantivy drops terms above 65,530 bytes without a word; a segment with one gets no index.
const MAX_TERM_BYTES: usize = 65_000;
/// Sizes tantivy's table of terms while writing.
const WRITER_BUDGET_BYTES: usize = 64 << 20;
const WHAT: &str = "label index";
const META_FILE: &str = "meta.json";

fn schema() -> (Schema, Field) {
    let mut builder = Schema::builder();
    let field = builder.add_bytes_field("pair", BytesOptions::default().set_indexed());
    (builder.build(), field)
}

fn term(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + value.len() + 1);
    out.extend_from_slice(name.as_bytes());
    out.push(0xff);
    out.extend_from_slice(value.as_bytes());
    out
}

/// The section's bytes; `None` where the series are few, or a label too long for a term.
pub(super) fn build(series: &[Labels]) -> Result<Option<Vec<u8>>> {
    let too_long = |labels: &Labels| labels.iter().any(|(n, v)| n.len() + v.len() > MAX_TERM_BYTES);
    if series.len() < MIN_INDEXED_SERIES || series.iter().any(too_long) {
        return Ok(None);
    }
    build_with_tantivy(series)
        .map(Some)
        .map_err(|e| Error::with_source(ErrorKind::Internal, "cannot build the label index", e))
}

fn build_with_tantivy(series: &[Labels]) -> tantivy::Result<Vec<u8>> {
    let (schema, field) = schema();
    let directory = RamDirectory::create();
    let settings = IndexSettings {
        docstore_compress_dedicated_thread: false,
        ..Default::default()
    };
    let mut writer = Index::builder()
        .schema(schema)
        .settings(settings)
        .single_segment_index_writer(directory.clone(), WRITER_BUDGET_BYTES)?;
    for labels in series {
        let mut document = TantivyDocument::new();
        for (name, value) in labels.iter() {
            document.add_bytes(field, &term(name, value));
        }
        writer.add_document(document)?;
    }
    let index = writer.finalize()?;
    let mut files: Vec<PathBuf> = vec![META_FILE.into()];
    files.extend(index.load_metas()?.list_segment_files());
    files.sort();
    let mut raw = Vec::new();
    let mut packed_files = 0;
    let mut body = Vec::new();
    for file in files {
        if directory.exists(&file)? {
            put_slice(&mut body, file.to_string_lossy().as_bytes());
            put_slice(&mut body, &directory.open_read(&file)?.read_bytes()?);
            packed_files += 1;
        }
    }
    put_varint(&mut raw, packed_files);
    raw.extend_from_slice(&body);
    Ok(pack(&raw, 1))
}

/// An opened label index.
pub(super) struct LabelIndex {
    terms: Arc<InvertedIndexReader>,
    series: u32,
    size_bytes: usize,
}

impl std::fmt::Debug for LabelIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LabelIndex({} series, {} bytes)", self.series, self.size_bytes)
    }
}

impl LabelIndex {
    pub fn open(bytes: &[u8], series: u32) -> Parsed<LabelIndex> {
        let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
        let directory = RamDirectory::create();
        let mut cursor = Cursor::new(&raw, WHAT);
        for _ in 0..cursor.count(2)? {
            let name = std::str::from_utf8(cursor.slice()?).map_err(|_| Broken(WHAT))?;
            let data = cursor.slice()?;
            directory
                .atomic_write(Path::new(name), data)
                .map_err(|_| Broken(WHAT))?;
        }
        cursor.end()?;
        let terms = open_terms(directory, series).map_err(|error| {
            tracing::warn!(%error, "label index cannot be opened");
            Broken(WHAT)
        })?;
        Ok(LabelIndex {
            terms,
            series,
            size_bytes: raw.len(),
        })
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Ordinals that pass all matchers.
    pub fn select(&self, matchers: &[LabelMatcher]) -> std::io::Result<RoaringBitmap> {
        let mut out = RoaringBitmap::new();
        out.insert_range(0..self.series);
        for matcher in matchers {
            if out.is_empty() {
                break;
            }
            // Series without the label pass or fail together, so the terms of the other answer are the ones to read.
            let absent = matcher.matches_absent();
            let named = self.series_of_terms(matcher, !absent)?;
            if absent {
                out -= named;
            } else {
                out &= named;
            }
        }
        Ok(out)
    }

    /// Ordinals with a value of the matcher's label on which it answers `wanted`.
    fn series_of_terms(&self, matcher: &LabelMatcher, wanted: bool) -> std::io::Result<RoaringBitmap> {
        let mut out = RoaringBitmap::new();
        let exact = match matcher.op() {
            MatchOp::Equal => wanted && !matcher.value().is_empty(),
            MatchOp::NotEqual => !wanted && !matcher.value().is_empty(),
            MatchOp::Regex | MatchOp::NotRegex => false,
        };
        if exact {
            if let Some(info) = self.terms.terms().get(term(matcher.name(), matcher.value()))? {
                self.add_postings(&info, &mut out)?;
            }
            return Ok(out);
        }
        let prefix = term(matcher.name(), "");
        let mut stream = self.terms.terms().range().ge(&prefix).into_stream()?;
        while stream.advance() {
            let Some(value) = stream.key().strip_prefix(prefix.as_slice()) else {
                break;
            };
            let Ok(value) = std::str::from_utf8(value) else {
                continue;
            };
            if matcher.matches(value) == wanted {
                self.add_postings(&stream.value().clone(), &mut out)?;
            }
        }
        Ok(out)
    }

    fn add_postings(&self, info: &tantivy::postings::TermInfo, out: &mut RoaringBitmap) -> std::io::Result<()> {
        let mut postings = self.terms.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        let mut ordinals = Vec::with_capacity(postings.doc_freq() as usize);
        let mut document = postings.doc();
        while document != TERMINATED {
            ordinals.push(document);
            document = postings.advance();
        }
        *out |= RoaringBitmap::from_iter(ordinals.into_iter().filter(|o| *o < self.series));
        Ok(())
    }
}

fn open_terms(directory: RamDirectory, series: u32) -> tantivy::Result<Arc<InvertedIndexReader>> {
    let index = Index::open(directory)?;
    let field = index.schema().get_field("pair")?;
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    let searcher: tantivy::Searcher = tantivy::IndexReader::searcher(&reader);
    match searcher.segment_readers() {
        [only] if only.max_doc() == series => only.inverted_index(field),
        _ => Err(tantivy::TantivyError::InternalError(
            "the index does not have one document per series".to_string(),
        )),
    }
}
