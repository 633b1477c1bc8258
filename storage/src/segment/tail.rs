//! An opened tail: everything a reader needs to know before it reads pages.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Broken, Parsed};
use super::directory::{Chunk, Chunks, PageEntry, decode_chunks, decode_directory};
use super::fetch::{Fetcher, TailBytes, read_parts};
use super::footer::{Footer, Section, SectionId};
use super::label_index::{LabelEntry, decode_labels, entries_size_bytes};
use super::meta::SegmentMeta;
use super::series_groups::{GroupEntry, decode_groups};
use super::side::OpenSide;
use super::time_columns::{TimeGroupEntry, decode_time_directory};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Signal;
use crate::pieces::{Check, Extent};

#[derive(Debug)]
pub(super) struct OpenTail {
    /// What the tail holds beside what was opened here.
    pub bytes: TailBytes,
    pub footer: Footer,
    pub pages: Vec<PageEntry>,
    pub groups: Vec<GroupEntry>,
    pub time_groups: Vec<TimeGroupEntry>,
    /// The labels of the index, where there is one.
    pub index: Option<Vec<LabelEntry>>,
    pub side: OpenSide,
    /// Of segments of logs; samples list theirs by series group.
    chunks: Chunks,
    /// One more than series, of segments of logs: where each one's chunks start.
    series_chunks: Vec<u32>,
}

/// The sections of a segment, each verified.
struct Sections {
    directory: Bytes,
    groups: Bytes,
    chunks: Option<Bytes>,
    times: Option<Bytes>,
    index: Option<Bytes>,
}

impl OpenTail {
    /// Reads the tail with one request, and sections that lie before it with one more each.
    pub async fn open(fetcher: &Fetcher<'_>, meta: &SegmentMeta) -> Result<OpenTail> {
        let start = meta
            .len
            .checked_sub(meta.tail_len)
            .ok_or_else(|| Broken("tail length").at(meta.place()))?;
        let tail = TailBytes {
            start,
            bytes: fetcher
                .read_one(Extent {
                    range: start..meta.len,
                    check: Check::Content(is_whole),
                })
                .await?,
        };
        let footer = Footer::decode(&tail.bytes).map_err(|b| b.at(meta.place()))?;
        let same = footer.tenant == meta.tenant && footer.signal == meta.signal && footer.segment_len == meta.len;
        if !same || footer.series != meta.series || footer.rows != meta.rows {
            // Never an answer from another tenant's bytes, whatever the catalog says.
            let message = format!(
                "{}: the footer is of another segment than the catalog says",
                meta.place()
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let sections = Sections {
            directory: required(fetcher, &footer, SectionId::PageDirectory, &tail).await?,
            groups: required(fetcher, &footer, SectionId::SeriesGroups, &tail).await?,
            chunks: match meta.signal {
                Signal::Logs => Some(required(fetcher, &footer, SectionId::Chunks, &tail).await?),
                Signal::Metrics => None,
            },
            times: match meta.signal {
                Signal::Logs => None,
                Signal::Metrics => Some(required(fetcher, &footer, SectionId::TimeColumns, &tail).await?),
            },
            index: match footer.section(SectionId::LabelIndex) {
                Some(found) => optional(fetcher, found, &tail).await?,
                None => None,
            },
        };
        let side = OpenSide::open(fetcher, &footer, &tail).await?;
        Self::parse(footer, sections, side, tail).map_err(|b| b.at(meta.place()))
    }

    fn parse(footer: Footer, sections: Sections, side: OpenSide, bytes: TailBytes) -> Parsed<OpenTail> {
        let pages_end = footer.sections.iter().map(|s| s.offset).min().unwrap_or(0);
        let pages = decode_directory(&sections.directory, pages_end, footer.series)?;
        let mut chunks = Chunks::default();
        let mut series_chunks = Vec::new();
        if let Some(bytes) = &sections.chunks {
            chunks = decode_chunks(bytes, &pages)?;
            series_chunks = vec![0u32; footer.series as usize + 1];
            for chunk in &chunks.by_series {
                series_chunks[chunk.series as usize + 1] += 1;
            }
            for at in 1..series_chunks.len() {
                series_chunks[at] += series_chunks[at - 1];
            }
        }
        Ok(OpenTail {
            pages,
            groups: decode_groups(&sections.groups, pages_end, footer.series)?,
            time_groups: match &sections.times {
                Some(bytes) => decode_time_directory(bytes, pages_end)?,
                None => Vec::new(),
            },
            index: sections.index.and_then(|bytes| match decode_labels(&bytes, pages_end) {
                Ok(labels) => Some(labels),
                Err(error) => {
                    tracing::warn!(error = error.0, "matching without the label index");
                    None
                }
            }),
            side,
            chunks,
            series_chunks,
            footer,
            bytes,
        })
    }

    /// The chunks of a stream of logs in time order; none for an ordinal that is not there.
    pub fn chunks_of(&self, ordinal: u32) -> &[Chunk] {
        let at = ordinal as usize;
        match (self.series_chunks.get(at), self.series_chunks.get(at + 1)) {
            (Some(start), Some(end)) => &self.chunks.by_series[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// How many rows each chunk of a page of logs has, in row order.
    pub fn chunk_rows(&self, page: u32) -> &[u32] {
        self.chunks.rows_of_page(page)
    }

    /// The group that a time column is in.
    pub fn time_group_of(&self, column: u32) -> Option<u32> {
        let at = self
            .time_groups
            .partition_point(|g| g.first_column <= column)
            .checked_sub(1)?;
        let group = &self.time_groups[at];
        (column - group.first_column < group.columns).then_some(at as u32)
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        let columns: usize = self
            .pages
            .iter()
            .map(|p| p.columns.len() * 32 + size_of::<PageEntry>())
            .sum();
        let index = self.index.as_deref().map_or(0, entries_size_bytes);
        let groups = self.groups.len() * size_of::<GroupEntry>() + self.time_groups.len() * size_of::<TimeGroupEntry>();
        columns
            + index
            + self.side.size_bytes()
            + groups
            + self.chunks.size_bytes()
            + self.series_chunks.len() * 4
            + self.bytes.bytes.len()
    }
}

/// Whether these bytes are a tail whose footer and sections are whole.
fn is_whole(tail: &[u8]) -> bool {
    let Ok(footer) = Footer::decode(tail) else {
        return false;
    };
    let Some(start) = footer.segment_len.checked_sub(tail.len() as u64) else {
        return false;
    };
    footer
        .sections
        .iter()
        .all(|section| match section.offset.checked_sub(start) {
            Some(from) => tail
                .get(from as usize..(from + section.len) as usize)
                .is_some_and(|bytes| xxh3_64(bytes) == section.checksum),
            // It lies before the tail, and is read on its own.
            None => true,
        })
}

/// The bytes of a section, out of the tail where it reaches that far back.
pub(super) async fn section(fetcher: &Fetcher<'_>, found: &Section, tail: &TailBytes) -> Result<Bytes> {
    let extent = Extent::new(found.offset..found.offset + found.len, found.checksum);
    let bytes = read_parts(fetcher, tail, std::slice::from_ref(&extent)).await?;
    let whole = bytes.into_iter().next().filter(|bytes| extent.is_whole(bytes));
    whole.ok_or_else(|| Broken("section (checksum)").at(fetcher.place()))
}

async fn required(fetcher: &Fetcher<'_>, footer: &Footer, id: SectionId, tail: &TailBytes) -> Result<Bytes> {
    let found = footer
        .section(id)
        .ok_or_else(|| Broken("footer (a section is missing)").at(fetcher.place()))?;
    section(fetcher, found, tail).await
}

/// The label index; a damaged one is passed over, since the label sets answer the same, only slower.
async fn optional(fetcher: &Fetcher<'_>, found: &Section, tail: &TailBytes) -> Result<Option<Bytes>> {
    match section(fetcher, found, tail).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "matching without the label index");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
