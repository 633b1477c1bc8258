//! What the bytes of a segment are spent on.

use super::bytes::{Broken, Parsed};
use super::directory::decode_directory;
use super::footer::{Footer, Section, SectionId};
use super::label_index::decode_labels;
use super::series_groups::decode_groups;
use super::time_columns::decode_time_directory;
use crate::error::Result;

/// Bytes of one segment or of several together, by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSizes {
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
    /// Page directory, directory of series groups, footer, and sections that this list does not name.
    pub directory: u64,
}

impl SegmentSizes {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.values + self.times + self.chunk_lists + self.labels + self.index + self.directory
    }

    /// Adds those of another segment.
    pub fn add(&mut self, other: &SegmentSizes) {
        self.rows += other.rows;
        self.series += other.series;
        self.values += other.values;
        self.times += other.times;
        self.chunk_lists += other.chunk_lists;
        self.labels += other.labels;
        self.index += other.index;
        self.directory += other.directory;
    }
}

/// The sizes of the segment that ends where `segment` ends; it may be preceded by others in the same object.
pub fn segment_sizes(segment: &[u8]) -> Result<SegmentSizes> {
    Ok(parse(segment)?)
}

fn parse(object: &[u8]) -> Parsed<SegmentSizes> {
    let footer = Footer::decode(object)?;
    let start = (object.len() as u64)
        .checked_sub(footer.segment_len)
        .ok_or(Broken("footer"))?;
    let segment = &object[start as usize..];
    let pages_end = footer.sections.iter().map(|s| s.offset).min().unwrap_or(0);
    // Sections lie inside the segment, which the footer's decoder has checked.
    let bytes = |s: &Section| &segment[s.offset as usize..(s.offset + s.len) as usize];
    let mut sizes = SegmentSizes {
        rows: footer.rows,
        series: u64::from(footer.series),
        ..SegmentSizes::default()
    };
    if let Some(section) = footer.section(SectionId::PageDirectory) {
        let pages = decode_directory(bytes(section), pages_end, footer.series)?;
        sizes.values = pages.iter().flat_map(|p| &p.columns).map(|c| u64::from(c.len)).sum();
    }
    if let Some(section) = footer.section(SectionId::TimeColumns) {
        let groups = decode_time_directory(bytes(section), pages_end)?;
        sizes.times = section.len + groups.iter().map(|g| g.range().end - g.range().start).sum::<u64>();
    }
    if let Some(section) = footer.section(SectionId::SeriesGroups) {
        for group in decode_groups(bytes(section), pages_end, footer.series)? {
            let (labels, list) = group.lens();
            sizes.labels += labels;
            sizes.chunk_lists += list;
        }
    }
    sizes.chunk_lists += footer.section(SectionId::Chunks).map_or(0, |s| s.len);
    if let Some(section) = footer.section(SectionId::LabelIndex) {
        let labels = decode_labels(bytes(section), pages_end)?;
        let pieces = labels
            .iter()
            .flat_map(|l| std::iter::once(&l.dictionary).chain(&l.blocks));
        sizes.index = section.len + pieces.map(|p| u64::from(p.len)).sum::<u64>();
    }
    sizes.directory = footer.segment_len - sizes.total();
    Ok(sizes)
}
