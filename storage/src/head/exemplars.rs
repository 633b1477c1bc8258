//! Exemplars of the series of one head.

use hashbrown::HashMap;

use crate::model::{Exemplar, TimeRange};

/// Bytes a series takes besides its exemplars: its place in the map.
const SERIES_OVERHEAD_BYTES: usize = 56;

/// Exemplars in order of arrival, as an append brings them; both columns have one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExemplarRows {
    /// Series ids.
    pub series: Vec<u32>,
    /// The exemplars.
    pub exemplars: Vec<Exemplar>,
}

impl ExemplarRows {
    /// Adds an exemplar.
    pub fn push(&mut self, series: u32, exemplar: Exemplar) {
        self.series.push(series);
        self.exemplars.push(exemplar);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

/// Exemplars by series id.
#[derive(Debug, Default)]
pub(super) struct ExemplarStore {
    series: HashMap<u32, Vec<Exemplar>, ahash::RandomState>,
    pub count: usize,
}

impl ExemplarStore {
    /// Adds exemplars, equal ones of a series once; returns how many bytes the store grew.
    pub fn append(&mut self, rows: &ExemplarRows) -> usize {
        let mut grown = 0;
        for (id, exemplar) in rows.series.iter().zip(&rows.exemplars) {
            let known = self.series.entry(*id).or_insert_with(|| {
                grown += SERIES_OVERHEAD_BYTES;
                Vec::new()
            });
            // Kept in order, since a sender that tries again sends what is there already.
            let Err(at) = known.binary_search_by(|e| e.total_cmp(exemplar)) else {
                continue;
            };
            let room = known.capacity();
            known.insert(at, exemplar.clone());
            grown += (known.capacity() - room) * size_of::<Exemplar>() + exemplar.labels.size_bytes();
            self.count += 1;
        }
        grown
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Exemplars of series `id` inside `range`, in time order.
    pub fn get(&self, id: u32, range: TimeRange) -> &[Exemplar] {
        let all = self.series.get(&id).map_or(&[][..], Vec::as_slice);
        let from = all.partition_point(|e| e.time < range.start);
        let to = all.partition_point(|e| e.time < range.end);
        &all[from..to.max(from)]
    }

    /// All of them, by series id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Exemplar])> {
        self.series.iter().map(|(id, exemplars)| (*id, exemplars.as_slice()))
    }
}
