//! The total order of series: the identity of a series across segments, frozen in `segment/FORMAT.md`.
//!
//! Series sort by their leading label (`__name__`, or `service_name` where there is none), then by the remaining pairs
//! without `le` in name order, then by `le` as a number (unparsable and absent ones first, by bytes), then by the canonical
//! bytes. So the buckets of one histogram are neighbours in bucket order, which the bucket codec and `histogram_quantile`
//! both use.

use std::cmp::Ordering;

use super::{Labels, METRIC_NAME, SERVICE_NAME};

/// A label set as a sort key: compares in the order of the module docs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey(pub Labels);

impl SeriesKey {
    fn lead(&self) -> &str {
        self.0
            .get(METRIC_NAME)
            .or_else(|| self.0.get(SERVICE_NAME))
            .unwrap_or("")
    }
}

fn bucket_bound(labels: &Labels) -> Option<f64> {
    labels
        .get("le")
        .and_then(|le| le.parse::<f64>().ok())
        .filter(|b| !b.is_nan())
}

impl Ord for SeriesKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lead()
            .cmp(other.lead())
            .then_with(|| {
                self.0
                    .iter()
                    .filter(|(n, _)| *n != "le")
                    .cmp(other.0.iter().filter(|(n, _)| *n != "le"))
            })
            .then_with(|| match (bucket_bound(&self.0), bucket_bound(&other.0)) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            })
            .then_with(|| self.0.as_bytes().cmp(other.0.as_bytes()))
    }
}

impl PartialOrd for SeriesKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_one_histogram_are_neighbours_in_bucket_order() {
        let bucket =
            |pod: &str, le: &str| SeriesKey(Labels::from_pairs([("__name__", "x_bucket"), ("pod", pod), ("le", le)]));
        let mut keys = vec![
            bucket("b", "1"),
            bucket("a", "+Inf"),
            bucket("a", "10"),
            bucket("a", "9"),
            bucket("a", "odd"),
        ];
        keys.sort();
        assert_eq!(
            keys,
            [
                bucket("a", "odd"),
                bucket("a", "9"),
                bucket("a", "10"),
                bucket("a", "+Inf"),
                bucket("b", "1")
            ]
        );
    }

    #[test]
    fn the_leading_label_sorts_first() {
        let key = |pairs: &[(&str, &str)]| SeriesKey(Labels::from_pairs(pairs.iter().copied()));
        assert!(key(&[("__name__", "a"), ("A", "z")]) < key(&[("__name__", "b"), ("A", "a")]));
        assert!(key(&[("service_name", "a"), ("app", "z")]) < key(&[("service_name", "b"), ("app", "a")]));
    }
}
