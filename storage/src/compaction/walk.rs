//! Walks through the series of several segments in their order, each once, with its places in them; holds a block of them at
//! a time.

use super::input::Input;
use crate::error::Result;
use crate::model::{Labels, SeriesKey, TimeRange};
use crate::scan::{Held, ScanContext, SourceSeries};

/// Series that are read from a segment at one time.
const READ_SERIES: u32 = 1024;

/// A series in one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub input: u32,
    pub ordinal: u32,
    /// Bounds of its rows there.
    pub range: TimeRange,
    /// How many they are.
    pub rows: u64,
}

/// Neighbouring series, in the order of [`SeriesKey`].
#[derive(Debug, Default)]
pub(super) struct SeriesBlock {
    pub labels: Vec<Labels>,
    /// Places of series `i` lie at `offsets[i]..offsets[i + 1]`, in the order of the inputs.
    offsets: Vec<u32>,
    places: Vec<Place>,
}

impl SeriesBlock {
    /// Number of series.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Where series number `series` is.
    pub fn places(&self, series: usize) -> &[Place] {
        &self.places[self.offsets[series] as usize..self.offsets[series + 1] as usize]
    }

    /// How many rows a series has in all inputs.
    pub fn rows(&self, series: usize) -> u64 {
        let rows = self.places(series).iter().map(|place| place.rows);
        rows.fold(0, u64::saturating_add)
    }

    fn clear(&mut self) {
        self.labels.clear();
        self.places.clear();
        self.offsets.clear();
        self.offsets.push(0);
    }

    fn size_bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(label_bytes).sum();
        labels + self.places.capacity() * size_of::<Place>() + self.offsets.capacity() * 4
    }
}

/// What a label set takes, with the counts of its allocation.
fn label_bytes(labels: &Labels) -> usize {
    labels.size_bytes() + size_of::<Labels>() + 16
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct SeriesWalk<'a> {
    cursors: Vec<Cursor<'a>>,
    block: SeriesBlock,
    held: Held,
}

/// Where the walk stands in one segment.
#[derive(Debug)]
struct Cursor<'a> {
    input: &'a Input,
    next: u32,
    /// Series read and not passed yet, the next one last.
    read: Vec<SourceSeries>,
}

impl Cursor<'_> {
    /// Reads on where nothing is left.
    async fn fill(&mut self, scan: &ScanContext) -> Result<()> {
        let all = self.input.segment.meta().series;
        while self.read.is_empty() && self.next < all {
            self.read = self.input.series_from(self.next, READ_SERIES, scan).await?;
            self.next = match self.read.last() {
                Some(last) => last.ordinal + 1,
                // All of them are without rows.
                None => self.next.saturating_add(1),
            };
            self.read.reverse();
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        let labels: usize = self.read.iter().map(|series| label_bytes(&series.labels)).sum();
        labels + self.read.capacity() * size_of::<SourceSeries>()
    }
}

impl<'a> SeriesWalk<'a> {
    /// Before the first series.
    pub fn new(inputs: &'a [Input], scan: &ScanContext) -> Self {
        let cursor = |input| Cursor {
            input,
            next: 0,
            read: Vec::new(),
        };
        SeriesWalk {
            cursors: inputs.iter().map(cursor).collect(),
            block: SeriesBlock::default(),
            held: Held::new(&scan.memory),
        }
    }

    /// The next series, at most `max` of them; `None` behind the last.
    pub async fn next(&mut self, max: usize, scan: &ScanContext) -> Result<Option<&SeriesBlock>> {
        let SeriesWalk { cursors, block, held } = self;
        block.clear();
        while block.len() < max {
            for cursor in cursors.iter_mut() {
                cursor.fill(scan).await?;
            }
            let Some(least) = least(cursors) else { break };
            for (input, cursor) in (0..).zip(cursors.iter_mut()) {
                let Some(head) = cursor.read.pop_if(|head| head.labels == least) else {
                    continue;
                };
                block.places.push(Place {
                    input,
                    ordinal: head.ordinal,
                    range: head.range,
                    rows: head.rows,
                });
            }
            block.labels.push(least);
            block.offsets.push(block.places.len() as u32);
        }
        held.set(block.size_bytes() + cursors.iter().map(Cursor::size_bytes).sum::<usize>())?;
        Ok((block.len() > 0).then_some(&*block))
    }
}

/// The first series of all that are left. With at most a few dozen inputs, that mostly hold the same series, comparing each
/// head with the least so far is one comparison of equal bytes each.
fn least(cursors: &[Cursor<'_>]) -> Option<Labels> {
    let heads = cursors.iter().filter_map(|cursor| cursor.read.last());
    let least = heads.reduce(|least, head| match SeriesKey::compare(&head.labels, &least.labels) {
        std::cmp::Ordering::Less => head,
        _ => least,
    })?;
    Some(least.labels.clone())
}
