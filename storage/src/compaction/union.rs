//! The series of several segments, each once, with its place in each of them.

use std::sync::Arc;

use super::input::Input;
use crate::error::Result;
use crate::model::{Labels, SeriesKey};
use crate::scan::{Held, ScanContext, SourceSeries};

/// Series whose labels are read from a segment at one time.
const BLOCK_SERIES: u32 = 1024;

/// See the module docs. In the order of [`SeriesKey`].
#[derive(Debug)]
pub(super) struct SeriesUnion {
    pub labels: Arc<[Labels]>,
    /// Places of series `i` lie at `offsets[i]..offsets[i + 1]`, in the order of the inputs.
    offsets: Vec<u32>,
    places: Vec<Place>,
    _held: Held,
}

/// A series in one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub input: u32,
    pub ordinal: u32,
}

/// Walks through one segment's series.
struct Cursor<'a> {
    input: &'a Input,
    next: u32,
    /// Series read and not passed yet, the next one last.
    block: Vec<SourceSeries>,
}

impl Cursor<'_> {
    /// Reads on where nothing is left.
    async fn fill(&mut self, scan: &ScanContext) -> Result<()> {
        let all = self.input.segment.meta().series;
        while self.block.is_empty() && self.next < all {
            self.block = self.input.series_from(self.next, BLOCK_SERIES, scan).await?;
            self.next = match self.block.last() {
                Some(last) => last.ordinal + 1,
                // All of them are without rows.
                None => self.next.saturating_add(1),
            };
            self.block.reverse();
        }
        Ok(())
    }
}

impl SeriesUnion {
    /// Merges the series tables of `inputs`.
    pub async fn of(inputs: &[Input], scan: &ScanContext) -> Result<SeriesUnion> {
        let mut cursors: Vec<Cursor<'_>> = inputs
            .iter()
            .map(|input| Cursor {
                input,
                next: 0,
                block: Vec::new(),
            })
            .collect();
        let mut held = Held::new(&scan.memory);
        let mut labels: Vec<Labels> = Vec::new();
        let (mut offsets, mut places) = (vec![0], Vec::new());
        let mut label_bytes = 0;
        loop {
            for cursor in &mut cursors {
                cursor.fill(scan).await?;
            }
            let Some(least) = least(&cursors) else { break };
            for (input, cursor) in cursors.iter_mut().enumerate() {
                let Some(head) = cursor.block.last().filter(|head| head.labels == least) else {
                    continue;
                };
                places.push(Place {
                    input: input as u32,
                    ordinal: head.ordinal,
                });
                cursor.block.pop();
            }
            label_bytes += least.size_bytes() + size_of::<Labels>() + 16;
            labels.push(least);
            offsets.push(places.len() as u32);
            if labels.len().is_multiple_of(BLOCK_SERIES as usize) {
                held.set(label_bytes + places.len() * size_of::<Place>() + offsets.len() * 4)?;
                tokio::task::yield_now().await;
            }
        }
        held.set(label_bytes + places.len() * size_of::<Place>() + offsets.len() * 4)?;
        Ok(SeriesUnion {
            labels: labels.into(),
            offsets,
            places,
            _held: held,
        })
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Where series number `series` is.
    pub fn places(&self, series: usize) -> &[Place] {
        &self.places[self.offsets[series] as usize..self.offsets[series + 1] as usize]
    }
}

/// The first series of all that are left. With at most a few dozen inputs, that mostly hold the same series, comparing each
/// head with the least so far is one comparison of equal bytes each.
fn least(cursors: &[Cursor<'_>]) -> Option<Labels> {
    let heads = cursors.iter().filter_map(|cursor| cursor.block.last());
    let least = heads.reduce(|least, head| match SeriesKey::compare(&head.labels, &least.labels) {
        std::cmp::Ordering::Less => head,
        _ => least,
    })?;
    Some(least.labels.clone())
}
