//! How much a selection holds: entries and bytes per stream and cell of time, from the directory of pages where a page lies
//! inside one cell, and by reading all columns but the lines where it does not.
//!
//! Bytes are those of lines and of structured metadata as sent. Page statistics know the lines only: in a page that is not
//! read, metadata counts with its size in the store.
//!
//! An entry that several sources hold (a client sent it again later) counts once in each of them: telling such entries
//! apart would need their lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;

use super::held::Held;
use super::selection::{Selection, all_answers};
use super::{LogColumns, LogRows};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, TimeRange, Timestamp};

/// Everything but the lines, whose lengths are always there.
pub(crate) const COUNTED_COLUMNS: LogColumns = LogColumns {
    lines: false,
    metadata: true,
};

/// A time range cut into cells at the multiples of a width, as Loki cuts the steps of volumes. The first and the last
/// cell can be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeGrid {
    range: TimeRange,
    width_ns: i64,
}

impl VolumeGrid {
    /// The whole range as one cell.
    pub fn one(range: TimeRange) -> Self {
        VolumeGrid { range, width_ns: 0 }
    }

    /// Cells of `width_ns` nanoseconds; below one, the whole range is one cell.
    pub fn new(range: TimeRange, width_ns: i64) -> Self {
        VolumeGrid {
            range,
            width_ns: width_ns.max(0),
        }
    }

    /// All cells together.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// The cell of a time inside the range.
    pub fn cell(&self, time: Timestamp) -> u32 {
        if self.width_ns == 0 {
            return 0;
        }
        let width = i128::from(self.width_ns);
        let first = i128::from(self.range.start).div_euclid(width);
        u32::try_from(i128::from(time).div_euclid(width) - first).unwrap_or(u32::MAX)
    }

    /// First nanosecond behind a cell, at most the range's end.
    pub fn end(&self, cell: u32) -> Timestamp {
        if self.width_ns == 0 {
            return self.range.end;
        }
        let width = i128::from(self.width_ns);
        let end = (i128::from(self.range.start).div_euclid(width) + i128::from(cell) + 1) * width;
        end.min(i128::from(self.range.end)) as Timestamp
    }

    /// The cell that holds all of `piece`; `None` where it is cut by the grid or the range.
    pub fn cell_around(&self, piece: TimeRange) -> Option<u32> {
        if piece.is_empty() || piece.start < self.range.start || piece.end > self.range.end {
            return None;
        }
        let cell = self.cell(piece.start);
        (self.cell(piece.end - 1) == cell).then_some(cell)
    }
}

/// Entries and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Entries.
    pub rows: u64,
    /// Bytes of their lines and metadata.
    pub bytes: u64,
}

impl Volume {
    /// Adds another volume.
    pub fn add(&mut self, other: Volume) {
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What one source holds of one stream in one cell; a source may name a cell several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceVolume {
    /// Position of the stream among the ordinals asked for.
    pub index: u32,
    /// The cell of the grid.
    pub cell: u32,
    /// What is there.
    pub volume: Volume,
}

/// A stream's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamVolume {
    /// The stream.
    pub labels: Labels,
    /// In how many heads and segments it has entries.
    pub parts: u32,
    /// By cell; cells without entries are absent.
    pub cells: BTreeMap<u32, Volume>,
}

impl StreamVolume {
    /// Over all cells.
    pub fn total(&self) -> Volume {
        let mut total = Volume::default();
        for volume in self.cells.values() {
            total.add(*volume);
        }
        total
    }
}

/// Counts rows that were read.
pub(crate) fn count_rows(rows: &LogRows, grid: &VolumeGrid) -> Vec<SourceVolume> {
    let mut out: Vec<SourceVolume> = Vec::new();
    let pairs_bytes = |set: &Labels| set.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum();
    let set_bytes: Vec<u64> = rows.metadata_sets.iter().map(pairs_bytes).collect();
    for (index, bounds) in rows.offsets.windows(2).enumerate() {
        let index = index as u32;
        for row in bounds[0] as usize..bounds[1] as usize {
            let cell = grid.cell(rows.timestamps[row]);
            let set = rows.metadata.get(row).and_then(|code| set_bytes.get(*code as usize));
            let volume = Volume {
                rows: 1,
                bytes: u64::from(rows.line_lengths[row]) + set.copied().unwrap_or(0),
            };
            match out.last_mut() {
                Some(last) if last.index == index && last.cell == cell => last.volume.add(volume),
                _ => out.push(SourceVolume { index, cell, volume }),
            }
        }
    }
    out
}

/// Volumes of all streams of a selection that have entries, in the selection's order.
pub(super) async fn selection_volumes(selection: Arc<Selection>, width_ns: i64) -> Result<Vec<StreamVolume>> {
    let grid = VolumeGrid::new(selection.range, width_ns);
    let mut ordinals: Vec<Vec<u32>> = vec![Vec::new(); selection.sources.len()];
    let mut streams: Vec<Vec<u32>> = ordinals.clone();
    for stream in 0..selection.series.len() {
        for part in selection.parts(stream) {
            ordinals[part.source as usize].push(part.ordinal);
            streams[part.source as usize].push(stream as u32);
        }
    }
    let asked = selection.sources.iter().zip(&ordinals).map(|(source, ordinals)| {
        async {
            match ordinals.is_empty() {
                true => Ok(Vec::new()),
                false => source.log_volumes(ordinals, &grid, &selection.scan).await,
            }
        }
        .boxed()
    });
    let answers = all_answers(asked.collect()).await?;
    let mut held = Held::new(&selection.scan.memory);
    held.set(answers.iter().map(|a| a.len() * size_of::<SourceVolume>() * 3).sum())?;
    let mut found: BTreeMap<u32, StreamVolume> = BTreeMap::new();
    for (answer, streams) in answers.iter().zip(&streams) {
        let mut last = None;
        for volume in answer {
            let stream = *streams.get(volume.index as usize).ok_or_else(unasked)?;
            let labels = || selection.series[stream as usize].clone();
            let entry = found.entry(stream).or_insert_with(|| StreamVolume {
                labels: labels(),
                parts: 0,
                cells: BTreeMap::new(),
            });
            entry.cells.entry(volume.cell).or_default().add(volume.volume);
            if last != Some(stream) {
                entry.parts += 1;
                last = Some(stream);
            }
        }
    }
    Ok(found.into_values().collect())
}

fn unasked() -> Error {
    Error::new(
        ErrorKind::Internal,
        "a source counted a stream that it was not asked for",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_at_multiples_of_their_width() {
        let grid = VolumeGrid::new(TimeRange::new(25, 51), 10);
        for (time, cell, end) in [(25, 0, 30), (29, 0, 30), (30, 1, 40), (45, 2, 50), (50, 3, 51)] {
            assert_eq!((grid.cell(time), grid.end(cell)), (cell, end), "{time}");
        }
        for (start, end, expected) in [
            (25, 30, Some(0)),
            (24, 30, None),
            (25, 31, None),
            (30, 40, Some(1)),
            (50, 51, Some(3)),
            (50, 52, None),
        ] {
            assert_eq!(grid.cell_around(TimeRange::new(start, end)), expected, "{start}..{end}");
        }
        let one = VolumeGrid::one(TimeRange::ALL);
        assert_eq!(one.cell_around(TimeRange::new(-5, 5)), Some(0));
        assert_eq!(one.end(0), i64::MAX);
    }
}
