//! What the bytes of a segment are spent on.

use std::sync::Arc;

use super::bytes::{Broken, Parsed};
use super::cache::TailCache;
use super::directory::{PageEntry, decode_directory};
use super::footer::{Footer, SectionId};
use super::label_index::{LabelEntry, decode_labels};
use super::meta::SegmentMeta;
use super::reader::SegmentReader;
use super::series_groups::{GroupEntry, decode_groups};
use super::time_columns::{TimeGroupEntry, decode_time_directory};
use crate::error::Result;
use crate::memory::MemoryAccountant;
use crate::object::Bucket;
use crate::scan::ScanContext;

/// Bytes of one segment or of several together, by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSizes {
    /// Segments.
    pub segments: u64,
    /// Samples or log entries.
    pub rows: u64,
    /// Series.
    pub series: u64,
    /// Pages: values, or the columns of log entries.
    pub values: u64,
    /// Time columns of samples, with their directory.
    pub times: u64,
    /// Which rows of which series lie where.
    pub chunk_lists: u64,
    /// Label sets.
    pub labels: u64,
    /// The label index.
    pub index: u64,
    /// Page directory, directory of series groups, footer.
    pub directory: u64,
    /// Native histograms, start times, exemplars, metadata, and whatever else this list does not name.
    pub beside: u64,
}

impl SegmentSizes {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.values + self.times + self.chunk_lists + self.labels + self.index + self.directory + self.beside
    }

    /// The bytes by what they hold, with a name each.
    pub fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("pages", self.values),
            ("times", self.times),
            ("chunk lists", self.chunk_lists),
            ("label sets", self.labels),
            ("label index", self.index),
            ("directory", self.directory),
            ("beside", self.beside),
        ]
    }

    /// Adds those of another segment.
    pub fn add(&mut self, other: &SegmentSizes) {
        self.segments += other.segments;
        self.rows += other.rows;
        self.series += other.series;
        self.values += other.values;
        self.times += other.times;
        self.chunk_lists += other.chunk_lists;
        self.labels += other.labels;
        self.index += other.index;
        self.directory += other.directory;
        self.beside += other.beside;
    }
}

/// What the directories of a segment say.
struct Directories<'a> {
    footer: &'a Footer,
    pages: &'a [PageEntry],
    groups: &'a [GroupEntry],
    time_groups: &'a [TimeGroupEntry],
    labels: &'a [LabelEntry],
}

impl Directories<'_> {
    fn sizes(&self) -> SegmentSizes {
        let section = |id: SectionId| self.footer.section(id).map_or(0, |s| s.len);
        let lens = self.groups.iter().map(GroupEntry::lens);
        let (labels, lists) = lens.fold((0, 0), |all, own| (all.0 + own.0, all.1 + own.1));
        let pieces = self.labels.iter().flat_map(LabelEntry::pieces);
        let times = self
            .time_groups
            .iter()
            .flat_map(TimeGroupEntry::extents)
            .map(|e| e.len());
        let mut sizes = SegmentSizes {
            segments: 1,
            rows: self.footer.rows,
            series: u64::from(self.footer.series),
            values: self
                .pages
                .iter()
                .flat_map(|p| &p.columns)
                .map(|c| u64::from(c.len))
                .sum(),
            times: section(SectionId::TimeColumns) + times.sum::<u64>(),
            chunk_lists: section(SectionId::Chunks) + lists,
            labels,
            index: section(SectionId::LabelIndex) + pieces.map(|p| u64::from(p.len)).sum::<u64>(),
            directory: section(SectionId::PageDirectory) + section(SectionId::SeriesGroups) + self.footer.encoded_len(),
            beside: 0,
        };
        sizes.beside = self.footer.segment_len.saturating_sub(sizes.total());
        sizes
    }
}

/// The sizes of the segment that ends where `segment` ends; it may be preceded by others in the same object.
pub fn segment_sizes(segment: &[u8]) -> Result<SegmentSizes> {
    Ok(parse(segment)?)
}

fn parse(object: &[u8]) -> Parsed<SegmentSizes> {
    let footer = Footer::decode(object)?;
    let start = (object.len() as u64).checked_sub(footer.segment_len);
    let segment = object.get(start.ok_or(Broken("footer"))? as usize..).unwrap_or(&[]);
    let pages_end = footer.sections.iter().map(|s| s.offset).min().unwrap_or(0);
    let bytes = |id: SectionId| {
        let section = footer.section(id)?;
        segment.get(section.offset as usize..(section.offset + section.len) as usize)
    };
    let (mut pages, mut groups, mut time_groups, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if let Some(bytes) = bytes(SectionId::PageDirectory) {
        pages = decode_directory(bytes, pages_end, footer.series)?;
    }
    if let Some(bytes) = bytes(SectionId::SeriesGroups) {
        groups = decode_groups(bytes, pages_end, footer.series)?;
    }
    if let Some(bytes) = bytes(SectionId::TimeColumns) {
        time_groups = decode_time_directory(bytes, pages_end)?;
    }
    if let Some(bytes) = bytes(SectionId::LabelIndex) {
        labels = decode_labels(bytes, pages_end)?;
    }
    let directories = Directories {
        footer: &footer,
        pages: &pages,
        groups: &groups,
        time_groups: &time_groups,
        labels: &labels,
    };
    Ok(directories.sizes())
}

/// The sizes of a stored segment, by one read of its tail.
pub(crate) async fn stored_sizes(bucket: &Bucket, meta: &Arc<SegmentMeta>) -> Result<SegmentSizes> {
    let memory = MemoryAccountant::new(u64::MAX >> 1);
    let scan = ScanContext::passing(memory.query(u64::MAX >> 1), Arc::default());
    let cache = Arc::new(TailCache::new(memory, 0));
    let reader = SegmentReader::new(bucket.clone(), Arc::clone(meta), cache);
    let tail = reader.open_tail(&scan).await?;
    let directories = Directories {
        footer: &tail.footer,
        pages: &tail.pages,
        groups: &tail.groups,
        time_groups: &tail.time_groups,
        labels: tail.index.as_deref().unwrap_or(&[]),
    };
    Ok(directories.sizes())
}
