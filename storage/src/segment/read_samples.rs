//! From sample pages to the columns of an answer.

use super::bytes::Broken;
use super::directory::{CODEC_METRIC_PAGE, ColumnId};
use super::reader::PageInput;
use crate::codec::metric_page::MetricPage;
use crate::error::{Error, ErrorKind, Result};
use crate::model::TimeRange;
use crate::scan::SampleColumns;

/// Gathers samples page by page. Pages lie in series order and a series' pages in time order, so rows are only appended.
pub(super) struct SampleAssembler {
    range: TimeRange,
    counts: Vec<u32>,
    out: SampleColumns,
    /// Position of the series whose rows were appended last.
    at: u32,
}

impl SampleAssembler {
    pub fn new(series: usize, range: TimeRange) -> Self {
        SampleAssembler {
            range,
            counts: vec![0; series],
            out: SampleColumns::default(),
            at: 0,
        }
    }

    /// Appends what is wanted of a page, or nothing of it.
    pub fn add(&mut self, input: &PageInput<'_>) -> Result<()> {
        let bytes = input
            .fetched
            .column(input.entry, ColumnId::Samples, CODEC_METRIC_PAGE)?;
        let page = MetricPage::open(&bytes)?;
        let rows = input.tail.chunk_rows(input.page);
        let as_listed = page.chunk_count() == rows.len() && (0..).zip(rows).all(|(i, n)| page.rows(i) == *n as usize);
        if !as_listed {
            return Err(Broken("page (its chunks are not those of the directory)").into());
        }
        // Rows of the page's chunks start where the rows of those before them end.
        let starts: Vec<u32> = rows
            .iter()
            .scan(0, |at, n| Some(std::mem::replace(at, *at + n)))
            .collect();
        let before = (self.at, self.out.timestamps.len());
        let taken = self.append(input, &page, &starts);
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
    fn append(&mut self, input: &PageInput<'_>, page: &MetricPage, starts: &[u32]) -> Result<Vec<(u32, usize)>> {
        let mut decoder = page.decoder();
        let mut counts = Vec::with_capacity(input.chunks.len());
        for (index, chunk) in input.chunks {
            let at = starts.binary_search(&chunk.row).map_err(|_| Broken("chunks"))?;
            // Writers keep this order; were it broken, rows would land under another series.
            if *index < self.at {
                return Err(Broken("order of pages").into());
            }
            self.at = *index;
            let rows = decoder.append(at, self.range, &mut self.out.timestamps, &mut self.out.values)?;
            counts.push((*index, rows));
        }
        Ok(counts)
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
