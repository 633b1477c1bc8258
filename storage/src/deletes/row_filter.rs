//! What tombstones and retention hide of a source, ready to be asked row by row: the one place that decides it, for scans
//! and for compaction.

use std::fmt;
use std::sync::Arc;

use super::entry_filter::{EntryFilter, EntryFilterCompiler, EntryRef, StreamFilter};
use super::tombstone::{Tombstone, TombstoneId};
use crate::error::Result;
use crate::model::{Labels, TimeRange, Timestamp};
use crate::retention::SeriesCutoffs;

/// Several tombstones as one filter, or what has expired. Cheap to clone.
///
/// ```text
/// let filter = RowFilter::new(covering, compiler)?;
/// match filter.of_series(&labels) {
///     None => every row of the series stays,
///     Some(mut series) => rows stay unless series.hides_sample(time) / series.hides_entry(entry),
/// }
/// ```
#[derive(Clone, Default)]
pub struct RowFilter {
    parts: Arc<[Part]>,
    expired: Option<Arc<SeriesCutoffs>>,
}

struct Part {
    tombstone: Arc<Tombstone>,
    /// `None` hides every row of the selected series and times.
    entries: Option<Arc<dyn EntryFilter>>,
}

impl RowFilter {
    /// The filter of these tombstones; an error where a line filter cannot be compiled.
    pub fn new(tombstones: &[Arc<Tombstone>], compiler: &dyn EntryFilterCompiler) -> Result<RowFilter> {
        let part = |tombstone: &Arc<Tombstone>| {
            let entries = tombstone.filter.as_deref().map(|text| compiler.compile(text));
            Ok(Part {
                tombstone: Arc::clone(tombstone),
                entries: entries.transpose()?,
            })
        };
        let parts: Result<Vec<Part>> = tombstones.iter().map(part).collect();
        Ok(RowFilter {
            parts: parts?.into(),
            expired: None,
        })
    }

    /// The filter of rows that have expired.
    pub(crate) fn expired(cutoffs: Arc<SeriesCutoffs>) -> RowFilter {
        RowFilter {
            expired: Some(cutoffs),
            ..RowFilter::default()
        }
    }

    /// The tombstones, in the order given.
    pub fn ids(&self) -> Vec<TombstoneId> {
        self.parts.iter().map(|part| part.tombstone.id).collect()
    }

    /// Whether it hides what has expired.
    pub fn hides_expired(&self) -> bool {
        self.expired.is_some()
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.expired.is_none()
    }

    /// What is hidden of the series with these labels; `None` where nothing is.
    pub fn of_series(&self, labels: &Labels) -> Option<SeriesFilter> {
        let mut series = SeriesFilter::default();
        for part in self.parts.iter() {
            if !part.tombstone.matchers.iter().all(|m| m.matches_labels(labels)) {
                continue;
            }
            match &part.entries {
                None => series.hidden.push(part.tombstone.range),
                Some(filter) => series.filtered.push((part.tombstone.range, filter.of_stream(labels))),
            }
        }
        if let Some(cutoffs) = &self.expired {
            series.hidden.push(TimeRange::new(Timestamp::MIN, cutoffs.of(labels)));
        }
        if series.hidden.is_empty() && series.filtered.is_empty() {
            return None;
        }
        unite(&mut series.hidden);
        Some(series)
    }
}

impl fmt::Debug for RowFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFilter")
            .field("tombstones", &self.ids())
            .field("expired", &self.expired.is_some())
            .finish()
    }
}

/// What is hidden of one series.
#[derive(Default)]
pub struct SeriesFilter {
    /// Sorted, apart from each other.
    hidden: Vec<TimeRange>,
    filtered: Vec<(TimeRange, Box<dyn StreamFilter>)>,
}

impl SeriesFilter {
    /// Times at which every row is hidden: sorted ranges with gaps between them.
    pub fn hidden_times(&self) -> &[TimeRange] {
        &self.hidden
    }

    /// Whether entries in `range` have to be looked at one by one, with line and metadata.
    pub fn reads_entries(&self, range: TimeRange) -> bool {
        self.filtered.iter().any(|(own, _)| own.overlaps(&range))
    }

    /// Whether a row in `range` may be hidden.
    pub fn touches(&self, range: TimeRange) -> bool {
        self.hidden.iter().any(|own| own.overlaps(&range)) || self.reads_entries(range)
    }

    /// Whether every row in `range` is hidden, whatever is in it.
    pub fn hides_all(&self, range: TimeRange) -> bool {
        let covers = |own: &TimeRange| own.start <= range.start && range.end <= own.end;
        range.is_empty() || self.hidden.iter().any(covers)
    }

    /// Whether the row at this time is hidden whatever is in it. The whole answer for samples.
    pub fn hides_sample(&self, time: Timestamp) -> bool {
        let after = self.hidden.partition_point(|range| range.end <= time);
        self.hidden.get(after).is_some_and(|range| range.contains(time))
    }

    /// Whether the log entry is hidden.
    pub fn hides_entry(&mut self, entry: EntryRef<'_>) -> bool {
        self.hides_sample(entry.time)
            || self
                .filtered
                .iter_mut()
                .any(|(range, filter)| range.contains(entry.time) && filter.matches(entry))
    }

    /// The bounds of what is left of rows in `bounds`, seen from both ends; empty where nothing is.
    pub fn trim(&self, mut bounds: TimeRange) -> TimeRange {
        for range in &self.hidden {
            if range.contains(bounds.start) {
                bounds.start = range.end;
            }
        }
        for range in self.hidden.iter().rev() {
            // The last row lies before the end.
            if range.start < bounds.end && bounds.end <= range.end {
                bounds.end = range.start;
            }
        }
        bounds
    }
}

impl fmt::Debug for SeriesFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesFilter")
            .field("hidden", &self.hidden)
            .field("filtered", &self.filtered.len())
            .finish()
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn unite(ranges: &mut Vec<TimeRange>) {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut out: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..).filter(|range| !range.is_empty()) {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    *ranges = out;
}
