//! The series that several sources selected, merged: who they are, and where their rows lie.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use super::held::Held;
use super::{Fingerprint, ScanContext, SeriesRequest, SeriesSource, SourceSeries};
use crate::error::Result;
use crate::model::{Labels, SeriesKey, TimeRange};

/// Sources asked at the same time. Enough to hide the latency of a bucket, few enough that a query over a year does not open
/// thousands of requests at once.
const MAX_SOURCES_AT_ONCE: usize = 32;

/// What one source holds of one selected series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Index into [`Selection::sources`].
    pub source: u32,
    /// The series in that source.
    pub ordinal: u32,
    /// Bounds of its rows there, inside the request's range.
    pub range: TimeRange,
    /// About how many rows it has there inside the request's range.
    pub rows: u64,
}

impl Part {
    /// What source number `source` holds of `series` inside `range`.
    pub fn of(source: u32, series: &SourceSeries, range: TimeRange) -> Part {
        let inside = series.range.intersect(&range);
        Part {
            source,
            ordinal: series.ordinal,
            range: inside,
            rows: share(series.rows, series.range, inside),
        }
    }
}

/// Merged series of one request. Immutable, shared by all partitions of its scans.
#[derive(Debug)]
pub(super) struct Selection {
    /// Those that overlap the request, in the order of the view: newest first.
    pub sources: Vec<Arc<dyn SeriesSource>>,
    pub range: TimeRange,
    /// In the order of [`SeriesKey`], each once.
    pub series: Vec<Labels>,
    /// Parts of series `i` lie at `part_offsets[i]..part_offsets[i + 1]`, newest source first.
    part_offsets: Vec<u32>,
    parts: Vec<Part>,
    /// Estimated rows of the series before `i`, one more than series.
    rows_before: Vec<u64>,
    pub scan: ScanContext,
    memory: Held,
    /// `None` where a source whose rows may change has a part in it.
    pub fingerprint: Option<Fingerprint>,
}

impl Selection {
    /// Asks all sources that overlap the request, side by side, and merges their answers. `whole` is the request's
    /// range with what has expired.
    pub async fn resolve(
        sources: &[Arc<dyn SeriesSource>],
        request: &SeriesRequest,
        whole: TimeRange,
        scan: &ScanContext,
    ) -> Result<Selection> {
        let sources = overlapping(sources, request.range);
        // One source has each series once.
        let asking = match sources.len() {
            0 | 1 => &ScanContext::passing(scan.memory.clone(), Arc::clone(&scan.stats)),
            _ => scan,
        };
        let asked = sources
            .iter()
            .map(|s| s.select(&request.matchers, request.range, asking))
            .collect();
        let found = all_answers(asked).await?;
        let mut fingerprint = Some(Fingerprint::new());
        for (source, found) in sources.iter().zip(&found) {
            match source.identity() {
                Some(identity) => {
                    if let Some(fingerprint) = &mut fingerprint {
                        fingerprint.push(identity, source.time_range(), whole, request.range.start);
                    }
                }
                // Rows that come to it while the query runs are not read either: it was asked once, here.
                None if found.is_empty() => {}
                None => fingerprint = None,
            }
        }
        let mut selection = Selection::empty(sources, request.range, scan);
        selection.fingerprint = fingerprint;
        // Interned ones are on the interner's account, once.
        let labels = |s: &SourceSeries| match asking.labels.keeps() {
            true => 0,
            false => s.labels.size_bytes(),
        };
        let size_bytes = |s: &SourceSeries| size_of::<SourceSeries>() + size_of::<Part>() + labels(s) + 24;
        selection.memory.set(found.iter().flatten().map(size_bytes).sum())?;
        selection.merge(&found);
        Ok(selection)
    }

    /// A selection of no series yet.
    pub fn empty(sources: Vec<Arc<dyn SeriesSource>>, range: TimeRange, scan: &ScanContext) -> Selection {
        Selection {
            sources,
            range,
            series: Vec::new(),
            part_offsets: vec![0],
            parts: Vec::new(),
            rows_before: vec![0],
            scan: scan.clone(),
            memory: Held::new(&scan.memory),
            fingerprint: None,
        }
    }

    /// Adds a series that sorts after the one before.
    pub fn push(&mut self, labels: &Labels, parts: impl Iterator<Item = Part>) {
        let mut rows = self.rows_before.last().copied().unwrap_or(0);
        for part in parts {
            rows = rows.saturating_add(part.rows);
            self.parts.push(part);
        }
        self.series.push(labels.clone());
        self.part_offsets.push(self.parts.len() as u32);
        self.rows_before.push(rows);
    }

    /// Holds what was pushed on the query's account.
    pub fn account(&mut self) -> Result<()> {
        let labels: usize = self.series.iter().map(Labels::size_bytes).sum();
        let bytes = labels + self.series.len() * 40 + self.parts.len() * size_of::<Part>();
        self.memory.set(bytes)
    }

    fn merge(&mut self, found: &[Vec<SourceSeries>]) {
        let merged = merge_series(found);
        self.series.reserve_exact(merged.len());
        self.parts.reserve_exact(found.iter().map(Vec::len).sum());
        let range = self.range;
        for entry in merged.entries {
            let mut at = entry.first;
            let parts = std::iter::from_fn(|| {
                let (source, index) = *merged.places.get(at as usize)?;
                at = merged.next[at as usize];
                Some(Part::of(source, &found[source as usize][index as usize], range))
            });
            self.push(entry.labels, parts);
        }
    }

    pub fn parts(&self, series: usize) -> &[Part] {
        &self.parts[self.part_offsets[series] as usize..self.part_offsets[series + 1] as usize]
    }

    /// Estimated rows of series in `range`.
    pub fn rows(&self, range: Range<usize>) -> u64 {
        self.rows_before[range.end] - self.rows_before[range.start]
    }

    /// The series of partition `partition` of `partitions`: each has about the same share of rows plus series, since a series
    /// without rows costs something too.
    pub fn partition(&self, partition: usize, partitions: usize) -> Range<usize> {
        let partitions = partitions.max(1) as u128;
        let weight = |i: usize| u128::from(self.rows_before[i]) + i as u128;
        let total = weight(self.series.len());
        let bound = |p: u128| {
            let target = total * p.min(partitions) / partitions;
            let (mut low, mut high) = (0, self.series.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if weight(middle) < target {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            low
        };
        let partition = partition as u128;
        bound(partition)..bound(partition + 1)
    }
}

/// Asks side by side and keeps the order; the first error ends it. The futures come in a vector, since a lazy iterator of
/// them makes the compiler lose their lifetimes.
pub(super) async fn all_answers<T>(asked: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
    stream::iter(asked).buffered(MAX_SOURCES_AT_ONCE).try_collect().await
}

/// The sources that may have rows in `range`.
pub(super) fn overlapping(sources: &[Arc<dyn SeriesSource>], range: TimeRange) -> Vec<Arc<dyn SeriesSource>> {
    sources
        .iter()
        .filter(|s| s.time_range().overlaps(&range))
        .cloned()
        .collect()
}

/// Rows of `part` where `rows` are spread evenly over `whole`; at least one where there is any.
fn share(rows: u64, whole: TimeRange, part: TimeRange) -> u64 {
    let len = |r: TimeRange| (i128::from(r.end) - i128::from(r.start)).max(1) as u128;
    if part.is_empty() || rows == 0 {
        return 0;
    }
    let share = u128::from(rows) * len(part) / len(whole);
    (share as u64).clamp(1, rows)
}

const NONE: u32 = u32::MAX;

/// Series merged from several lists: each entry is a chain of places through `next`, newest source first.
struct Merged<'a> {
    entries: Vec<Entry<'a>>,
    /// List and index of each input series.
    places: Vec<(u32, u32)>,
    next: Vec<u32>,
}

impl Merged<'_> {
    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    labels: &'a Labels,
    first: u32,
    last: u32,
}

/// Merges neighbours pairwise until one list is left. Sources of one tenant mostly hold the same series, so each merge
/// halves the entries and almost every comparison is one of equal bytes; a heap over all lists would compare each series
/// with every level.
fn merge_series(found: &[Vec<SourceSeries>]) -> Merged<'_> {
    let mut places = Vec::new();
    let mut lists: Vec<Vec<Entry<'_>>> = Vec::with_capacity(found.len());
    for (list, series) in found.iter().enumerate() {
        let entries = series.iter().enumerate().map(|(index, s)| {
            let place = places.len() as u32;
            places.push((list as u32, index as u32));
            Entry {
                labels: &s.labels,
                first: place,
                last: place,
            }
        });
        lists.push(entries.collect());
    }
    let mut next = vec![NONE; places.len()];
    while lists.len() > 1 {
        let pairs = lists.chunks(2).map(|pair| match pair {
            [a, b] => merge_pair(a, b, &mut next),
            [a] => a.clone(),
            _ => Vec::new(),
        });
        lists = pairs.collect();
    }
    Merged {
        entries: lists.pop().unwrap_or_default(),
        places,
        next,
    }
}

fn merge_pair<'a>(a: &[Entry<'a>], b: &[Entry<'a>], next: &mut [u32]) -> Vec<Entry<'a>> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match SeriesKey::compare(a[i].labels, b[j].labels) {
            Ordering::Less => {
                out.push(a[i]);
                i += 1;
            }
            Ordering::Greater => {
                out.push(b[j]);
                j += 1;
            }
            Ordering::Equal => {
                next[a[i].last as usize] = b[j].first;
                out.push(Entry {
                    last: b[j].last,
                    ..a[i]
                });
                i += 1;
                j += 1;
            }
        }
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}
