//! An opened tail: everything a reader needs to know before it reads pages.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::bytes::Broken;
use super::directory::{Chunk, Chunks, PageEntry, decode_chunks, decode_directory};
use super::fetch::Fetcher;
use super::footer::{Footer, Section, SectionId};
use super::label_index::LabelIndex;
use super::meta::SegmentMeta;
use super::series_table::SeriesTable;
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct OpenTail {
    pub pages: Vec<PageEntry>,
    pub table: SeriesTable,
    pub index: Option<LabelIndex>,
    chunks: Chunks,
    /// One more than series: where each one's chunks start.
    series_chunks: Vec<u32>,
}

impl OpenTail {
    /// Reads the tail with one request, and sections that lie before it with one more each.
    pub async fn open(fetcher: &Fetcher<'_>, meta: &SegmentMeta) -> Result<OpenTail> {
        let tail_start = meta
            .len
            .checked_sub(meta.tail_len)
            .ok_or_else(|| Broken("tail length").at(meta.place()))?;
        let tail = fetcher.get(tail_start..meta.len).await?;
        let footer = Footer::decode(&tail).map_err(|b| b.at(meta.place()))?;
        let same = footer.tenant == meta.tenant && footer.signal == meta.signal && footer.segment_len == meta.len;
        if !same || footer.series != meta.series || footer.rows != meta.rows {
            // Never an answer from another tenant's bytes, whatever the catalog says.
            let message = format!(
                "{}: the footer is of another segment than the catalog says",
                meta.place()
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let directory = required(fetcher, &footer, SectionId::PageDirectory, &tail, tail_start).await?;
        let chunks = required(fetcher, &footer, SectionId::Chunks, &tail, tail_start).await?;
        let table = required(fetcher, &footer, SectionId::SeriesTable, &tail, tail_start).await?;
        let index = match footer.section(SectionId::LabelIndex) {
            Some(found) => open_index(fetcher, meta, found, &tail, tail_start).await?,
            None => None,
        };
        Self::parse(&footer, &directory, &chunks, &table, index).map_err(|b| b.at(meta.place()))
    }

    fn parse(
        footer: &Footer,
        directory: &[u8],
        chunks: &[u8],
        table: &[u8],
        index: Option<LabelIndex>,
    ) -> std::result::Result<OpenTail, Broken> {
        let pages_end = footer.sections.iter().map(|s| s.offset).min().unwrap_or(0);
        let pages = decode_directory(directory, pages_end, footer.series)?;
        let chunks = decode_chunks(chunks, &pages)?;
        let table = SeriesTable::decode(table)?;
        if table.len() != footer.series {
            return Err(Broken("series table"));
        }
        let mut series_chunks = vec![0u32; footer.series as usize + 1];
        for chunk in &chunks.by_series {
            series_chunks[chunk.series as usize + 1] += 1;
        }
        for at in 1..series_chunks.len() {
            series_chunks[at] += series_chunks[at - 1];
        }
        Ok(OpenTail {
            pages,
            table,
            index,
            chunks,
            series_chunks,
        })
    }

    /// The chunks of a series in time order; none for an ordinal that is not there.
    pub fn chunks_of(&self, ordinal: u32) -> &[Chunk] {
        let at = ordinal as usize;
        match (self.series_chunks.get(at), self.series_chunks.get(at + 1)) {
            (Some(start), Some(end)) => &self.chunks.by_series[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// How many rows each chunk of a page has, in row order.
    pub fn chunk_rows(&self, page: u32) -> &[u32] {
        self.chunks.rows_of_page(page)
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        let columns: usize = self
            .pages
            .iter()
            .map(|p| p.columns.len() * 32 + size_of::<PageEntry>())
            .sum();
        let index = self.index.as_ref().map_or(0, LabelIndex::size_bytes);
        columns + index + self.chunks.size_bytes() + self.series_chunks.len() * 4 + self.table.size_bytes()
    }
}

/// The bytes of a section, out of the tail where it reaches that far back.
async fn section(fetcher: &Fetcher<'_>, found: &Section, tail: &Bytes, tail_start: u64) -> Result<Bytes> {
    let bytes = match found.offset.checked_sub(tail_start) {
        Some(from) => {
            let (from, len) = (from as usize, found.len as usize);
            match from.checked_add(len).filter(|end| *end <= tail.len()) {
                Some(end) => tail.slice(from..end),
                None => return Err(Broken("section bounds").at(fetcher.place())),
            }
        }
        None => fetcher.get(found.offset..found.offset + found.len).await?,
    };
    if xxh3_64(&bytes) != found.checksum {
        return Err(Broken("section (checksum)").at(fetcher.place()));
    }
    Ok(bytes)
}

async fn required(
    fetcher: &Fetcher<'_>,
    footer: &Footer,
    id: SectionId,
    tail: &Bytes,
    tail_start: u64,
) -> Result<Bytes> {
    let found = footer
        .section(id)
        .ok_or_else(|| Broken("footer (a section is missing)").at(fetcher.place()))?;
    section(fetcher, found, tail, tail_start).await
}

/// The label index; a damaged one is passed over, since the series table answers the same, only slower.
async fn open_index(
    fetcher: &Fetcher<'_>,
    meta: &SegmentMeta,
    found: &Section,
    tail: &Bytes,
    tail_start: u64,
) -> Result<Option<LabelIndex>> {
    let opened = match section(fetcher, found, tail, tail_start).await {
        Ok(bytes) => LabelIndex::open(&bytes, meta.series).map_err(|b| b.at(meta.place())),
        Err(error) => Err(error),
    };
    match opened {
        Ok(index) => Ok(Some(index)),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "matching without the label index");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
