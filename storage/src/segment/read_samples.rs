//! From sample pages and time columns to the columns of an answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::bytes::Broken;
use super::directory::{CODEC_METRIC_PAGE, ColumnId};
use super::fetch::Held;
use super::pages::PageInput;
use super::sample_chunks::SampleChunk;
use super::series_groups::{SeriesGroup, group_of};
use super::tail::OpenTail;
use super::time_columns::{Run, TimeCodes, TimeHeads, append_runs};
use crate::codec::metric_page::{MetricPage, MetricPageDecoder};
use crate::error::{Error, ErrorKind, Result};
use crate::model::TimeRange;
use crate::scan::{SampleColumns, ScanContext};

/// Decoded rows of time columns that one read keeps; series of one target come back to them metric after metric.
const MAX_DECODED_ROWS: usize = 2 << 20;

/// The times of a read: what it needs of the time columns, decoded as chunks ask for them.
pub(super) struct Times<'a> {
    tail: &'a OpenTail,
    heads: BTreeMap<u32, Arc<TimeHeads>>,
    codes: BTreeMap<u32, TimeCodes>,
    decoded: HashMap<u32, Vec<i64>>,
    rows: usize,
    held: Held,
}

impl<'a> Times<'a> {
    pub fn new(
        tail: &'a OpenTail,
        heads: BTreeMap<u32, Arc<TimeHeads>>,
        codes: BTreeMap<u32, TimeCodes>,
        scan: &ScanContext,
    ) -> Result<Self> {
        Ok(Times {
            tail,
            heads,
            codes,
            decoded: HashMap::new(),
            rows: 0,
            held: Held::take(scan, 0)?,
        })
    }

    /// All times of a column.
    fn column(&mut self, column: u32) -> Result<&[i64]> {
        if !self.decoded.contains_key(&column) {
            let group = self.tail.time_group_of(column).ok_or(Broken("chunk list"))?;
            let head = self.heads.get(&group).and_then(|heads| heads.head(column));
            let times = match (head, self.codes.get(&group)) {
                (Some(head), Some(codes)) => codes.times(head)?,
                _ => return Err(Broken("time columns").into()),
            };
            if self.rows + times.len() > MAX_DECODED_ROWS {
                self.decoded.clear();
                self.held.shrink(self.rows as u64 * 8);
                self.rows = 0;
            }
            self.held.grow(times.len() as u64 * 8)?;
            self.rows += times.len();
            self.decoded.insert(column, times);
        }
        Ok(self.decoded.get(&column).map_or(&[], Vec::as_slice))
    }
}

/// Gathers samples page by page. Pages lie in series order and a series' pages in time order, so rows are only appended.
pub(super) struct SampleAssembler<'a> {
    range: TimeRange,
    groups: &'a BTreeMap<u32, Arc<SeriesGroup>>,
    times: Times<'a>,
    counts: Vec<u32>,
    out: SampleColumns,
    /// Position of the series whose rows were appended last.
    at: u32,
}

impl<'a> SampleAssembler<'a> {
    pub fn new(series: usize, range: TimeRange, groups: &'a BTreeMap<u32, Arc<SeriesGroup>>, times: Times<'a>) -> Self {
        SampleAssembler {
            range,
            groups,
            times,
            counts: vec![0; series],
            out: SampleColumns::default(),
            at: 0,
        }
    }

    /// Appends what is wanted of a page, or nothing of it.
    pub fn add(&mut self, input: &PageInput<'_, SampleChunk>) -> Result<()> {
        let bytes = input
            .fetched
            .column(input.entry, ColumnId::Samples, CODEC_METRIC_PAGE)?;
        let page = MetricPage::open(&bytes)?;
        let before = (self.at, self.out.timestamps.len());
        let taken = self.append_all(input, &page);
        if taken.is_err() {
            self.out.timestamps.truncate(before.1);
            self.out.values.truncate(before.1);
            self.at = before.0;
        }
        for (index, rows) in taken? {
            if let Some(count) = self.counts.get_mut(index as usize) {
                *count += rows as u32;
            }
        }
        Ok(())
    }

    /// Appends the chunks wanted; gives how many rows each brought.
    fn append_all(&mut self, input: &PageInput<'_, SampleChunk>, page: &MetricPage) -> Result<Vec<(u32, usize)>> {
        let mut decoder = page.decoder();
        let mut counts = Vec::with_capacity(input.chunks.len());
        for (index, chunk) in input.chunks {
            // Writers keep this order; were it broken, rows would land under another series.
            if *index < self.at {
                return Err(Broken("order of pages").into());
            }
            self.at = *index;
            if page.rows(chunk.number as usize) != Some(chunk.rows as usize) {
                return Err(Broken("page (its chunks are not those of the chunk list)").into());
            }
            counts.push((*index, self.append(chunk, &mut decoder)?));
        }
        Ok(counts)
    }

    fn append(&mut self, chunk: &SampleChunk, decoder: &mut MetricPageDecoder<'_>) -> Result<usize> {
        let SampleAssembler {
            groups,
            times,
            out,
            range,
            ..
        } = self;
        let group = groups.get(&group_of(chunk.series)).ok_or(Broken("series groups"))?;
        let runs: &[Run] = group.chunks.runs(chunk);
        let column = times.column(chunk.column)?;
        let inside =
            |times: &[i64]| times.partition_point(|t| *t < range.start)..times.partition_point(|t| *t < range.end);
        let rows = if runs.is_empty() && column.len() == chunk.rows as usize {
            let rows = inside(column);
            out.timestamps.extend_from_slice(&column[rows.clone()]);
            rows
        } else {
            let start = out.timestamps.len();
            if !append_runs(column, runs, 0..chunk.rows as usize, &mut out.timestamps) {
                return Err(Broken("chunk list (more rows than its time column)").into());
            }
            let rows = inside(&out.timestamps[start..]);
            out.timestamps.truncate(start + rows.end);
            out.timestamps.drain(start..start + rows.start);
            rows
        };
        if !rows.is_empty() {
            let values = decoder.values(chunk.number as usize)?;
            out.values.extend_from_slice(&values[rows.clone()]);
        }
        Ok(rows.len())
    }

    pub fn finish(mut self) -> Result<SampleColumns> {
        self.out.offsets = offsets(&self.counts)?;
        Ok(self.out)
    }
}

/// Row offsets from row counts.
pub(super) fn offsets(counts: &[u32]) -> Result<Vec<u32>> {
    let mut out = Vec::with_capacity(counts.len() + 1);
    let mut total = 0u32;
    out.push(0);
    for count in counts {
        total = total.checked_add(*count).ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                "more than 4 billion rows in one read; narrow the time range",
            )
        })?;
        out.push(total);
    }
    Ok(out)
}
