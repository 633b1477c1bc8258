//! Metadata of many metrics.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{MetadataRef, MetricMetadata};

/// Bytes an entry takes besides its texts.
const ENTRY_OVERHEAD_BYTES: usize = 64;
/// Different metadata kept of one metric. Limits at the door are lower; this one bounds what many sources add up to.
const MAX_PER_METRIC: usize = 64;

/// Distinct metadata by metric name, in the order in which it came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MetadataMap {
    metrics: BTreeMap<String, Vec<MetricMetadata>>,
}

impl MetadataMap {
    /// Adds what is new; returns how many bytes the map grew.
    pub fn add(&mut self, metric: &str, metadata: MetadataRef<'_>) -> usize {
        if self.has(metric, metadata) || self.of(metric).len() >= MAX_PER_METRIC {
            return 0;
        }
        let metadata = metadata.to_owned();
        let size_bytes = metadata.size_bytes();
        match self.metrics.entry(metric.to_string()) {
            Entry::Vacant(entry) => {
                entry.insert(vec![metadata]);
                size_bytes + metric.len() + ENTRY_OVERHEAD_BYTES
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().push(metadata);
                size_bytes
            }
        }
    }

    /// Whether this is known of the metric.
    pub fn has(&self, metric: &str, metadata: MetadataRef<'_>) -> bool {
        self.of(metric).iter().any(|known| known.borrow() == metadata)
    }

    /// What is known of a metric.
    pub fn of(&self, metric: &str) -> &[MetricMetadata] {
        self.metrics.get(metric).map_or(&[], Vec::as_slice)
    }

    /// Number of metrics.
    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// Metric by metric, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[MetricMetadata])> {
        self.metrics
            .iter()
            .map(|(name, known)| (name.as_str(), known.as_slice()))
    }

    /// Adds all that `other` knows.
    pub fn extend(&mut self, other: &MetadataMap) {
        for (metric, known) in other.iter() {
            for metadata in known {
                self.add(metric, metadata.borrow());
            }
        }
    }

    /// Bytes held, about.
    pub fn size_bytes(&self) -> usize {
        let metrics = self.iter().map(|(name, known)| {
            let texts: usize = known.iter().map(MetricMetadata::size_bytes).sum();
            name.len() + texts + ENTRY_OVERHEAD_BYTES
        });
        metrics.sum()
    }
}
