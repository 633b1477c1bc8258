//! The order of the series of an index, as [`crate::model::SeriesKey`] has it, found without putting label sets together.

use std::cmp::Ordering;

use super::index::IndexInner;
use crate::model::{METRIC_NAME, SERVICE_NAME, SeriesKey, bucket_bound};

/// Ranks of the first `rank.len()` series of an index.
#[derive(Debug)]
pub(super) struct SeriesOrder {
    /// Position of each id.
    pub rank: Vec<u32>,
    /// Ids in order.
    pub sorted: Vec<u32>,
}

impl SeriesOrder {
    /// Sorts the series that `known` lacks and merges them in, so that a few new series do not cost a whole sort.
    pub fn extended(known: Option<&SeriesOrder>, index: &IndexInner) -> SeriesOrder {
        let old: &[u32] = known.map_or(&[], |k| &k.sorted);
        let compare = Comparison::new(index);
        let mut fresh: Vec<u32> = (old.len() as u32..index.len() as u32).collect();
        fresh.sort_unstable_by(|a, b| compare.compare(*a, *b));
        let mut sorted = Vec::with_capacity(index.len());
        let mut rest = old;
        for id in &fresh {
            let before = rest.partition_point(|old_id| compare.compare(*old_id, *id).is_lt());
            sorted.extend_from_slice(&rest[..before]);
            sorted.push(*id);
            rest = &rest[before..];
        }
        sorted.extend_from_slice(rest);
        let mut rank = vec![0; index.len()];
        for (position, id) in sorted.iter().enumerate() {
            rank[*id as usize] = position as u32;
        }
        SeriesOrder { rank, sorted }
    }

    pub fn len(&self) -> usize {
        self.rank.len()
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        (self.rank.capacity() + self.sorted.capacity()) * size_of::<u32>()
    }
}

/// Compares series of one index by id. Equal labels are equal numbers, so that texts are only compared where they differ.
struct Comparison<'a> {
    index: &'a IndexInner,
    metric_name: Option<u32>,
    service_name: Option<u32>,
    le: Option<u32>,
}

impl<'a> Comparison<'a> {
    fn new(index: &'a IndexInner) -> Self {
        Comparison {
            index,
            metric_name: index.pairs.number_of_name(METRIC_NAME),
            service_name: index.pairs.number_of_name(SERVICE_NAME),
            le: index.pairs.number_of_name("le"),
        }
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (lead_a, lead_b) = (self.lead(a), self.lead(b));
        if lead_a != lead_b {
            let text = |pair: Option<u32>| pair.map_or(&[][..], |pair| self.index.pairs.raw_value(pair));
            let order = text(lead_a).cmp(text(lead_b));
            if order.is_ne() {
                return order;
            }
        }
        let (mut pairs_a, mut pairs_b) = (self.others(a), self.others(b));
        loop {
            match (pairs_a.next(), pairs_b.next()) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) => return self.pair(a).cmp(&self.pair(b)),
                (a, b) => return a.is_some().cmp(&b.is_some()),
            }
        }
        let by_bound = match (self.bound(a), self.bound(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        by_bound.then_with(|| {
            let labels = |id| self.index.labels(id, &mut Vec::new());
            SeriesKey::compare(&labels(a), &labels(b))
        })
    }

    /// The pair of the leading label.
    fn lead(&self, id: u32) -> Option<u32> {
        let mut service = None;
        for pair in self.index.pairs_of(id) {
            let name = self.index.pairs.name_number(pair);
            if name == self.metric_name && name.is_some() {
                return Some(pair);
            }
            if name == self.service_name && name.is_some() {
                service = Some(pair);
            }
        }
        service
    }

    fn others(&self, id: u32) -> impl Iterator<Item = u32> {
        let is_le = |pair: &u32| self.le.is_some() && self.index.pairs.name_number(*pair) == self.le;
        self.index.pairs_of(id).filter(move |pair| !is_le(pair))
    }

    fn pair(&self, pair: u32) -> (&[u8], &[u8]) {
        crate::model::split_raw_pair(self.index.pairs.bytes(pair))
    }

    fn bound(&self, id: u32) -> Option<f64> {
        bucket_bound(self.index.value(id, self.le?)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::head::SeriesIndex;
    use crate::memory::MemoryAccountant;
    use crate::model::{Labels, SeriesKey};

    fn labels() -> impl Strategy<Value = Labels> {
        let name = prop_oneof!["__name__", "service_name", "le", "a", "zone", "[A-Z]"];
        let value = prop_oneof![
            "[ab]{1,2}",
            "-?[0-9]{1,2}",
            Just("+Inf".to_string()),
            Just("1.0".to_string())
        ];
        prop::collection::vec((name, value), 0..5).prop_map(Labels::from_pairs)
    }

    proptest! {
        #[test]
        fn series_stand_as_their_keys_say(first in prop::collection::vec(labels(), 0..40), second in prop::collection::vec(labels(), 0..40)) {
            let index = SeriesIndex::new(&MemoryAccountant::new(1 << 30));
            for batch in [first, second] {
                for labels in batch {
                    index.insert_durable(labels).expect("fits");
                }
                let order = index.order();
                let sorted: Vec<_> = order.sorted.iter().filter_map(|id| index.labels(*id)).map(SeriesKey).collect();
                prop_assert_eq!(sorted.len(), index.len());
                prop_assert!(sorted.is_sorted_by(|a, b| a < b), "{:?}", sorted);
                for (rank, id) in order.sorted.iter().enumerate() {
                    prop_assert_eq!(order.rank[*id as usize] as usize, rank);
                }
            }
        }
    }
}
