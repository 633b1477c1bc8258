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
    /// Compares two label sets in the order of the module docs. Merging 100,000 series of several segments calls this for
    /// each of them, so equal sets (the usual case there) cost one comparison of bytes, and no text is validated.
    pub fn compare(a: &Labels, b: &Labels) -> Ordering {
        // The series of one query are mostly the same object, see `scan/interner.rs`.
        if std::ptr::eq(a.as_bytes(), b.as_bytes()) || a.as_bytes() == b.as_bytes() {
            return Ordering::Equal;
        }
        lead(a)
            .cmp(lead(b))
            .then_with(|| {
                a.raw_pairs()
                    .filter(|(n, _)| *n != LE)
                    .cmp(b.raw_pairs().filter(|(n, _)| *n != LE))
            })
            .then_with(|| match (bound_of(a), bound_of(b)) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            })
            .then_with(|| a.as_bytes().cmp(b.as_bytes()))
    }
}

const LE: &[u8] = b"le";

/// The value of the leading label.
fn lead(labels: &Labels) -> &[u8] {
    let mut service = None;
    for (name, value) in labels.raw_pairs() {
        if name == METRIC_NAME.as_bytes() {
            return value;
        }
        if name == SERVICE_NAME.as_bytes() {
            service = Some(value);
        }
        // Names are sorted, and the metric name sorts before the service's.
        if name >= SERVICE_NAME.as_bytes() {
            break;
        }
    }
    service.unwrap_or(b"")
}

/// The bound that a value of `le` says.
pub(crate) fn bucket_bound(le: &str) -> Option<f64> {
    le.parse::<f64>().ok().filter(|bound| !bound.is_nan())
}

fn bound_of(labels: &Labels) -> Option<f64> {
    labels.get("le").and_then(bucket_bound)
}

impl Ord for SeriesKey {
    fn cmp(&self, other: &Self) -> Ordering {
        SeriesKey::compare(&self.0, &other.0)
    }
}

impl PartialOrd for SeriesKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The order as the module docs say it, pair by pair over checked text.
    fn as_documented(a: &Labels, b: &Labels) -> Ordering {
        let lead = |l: &Labels| l.get(METRIC_NAME).or(l.get(SERVICE_NAME)).unwrap_or("").to_string();
        let others = |l: &Labels| {
            l.filtered(|n| n != "le")
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect()
        };
        let key = |l: &Labels| -> (String, Vec<(String, String)>) { (lead(l), others(l)) };
        let bound =
            |l: &Labels| bound_of(l).map(|b| b.to_bits() as i64 ^ (((b.to_bits() as i64) >> 63) as u64 >> 1) as i64);
        key(a)
            .cmp(&key(b))
            .then(bound(a).cmp(&bound(b)))
            .then(a.as_bytes().cmp(b.as_bytes()))
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let name = prop_oneof!["__name__", "service_name", "le", "a", "zone", "[A-Z]"];
        let value = prop_oneof![
            "[ab]{1,2}",
            "-?[0-9]{1,2}",
            Just("+Inf".to_string()),
            Just("x".repeat(200))
        ];
        proptest::collection::vec((name, value), 0..5).prop_map(Labels::from_pairs)
    }

    proptest! {
        #[test]
        fn comparing_bytes_gives_the_documented_order(a in labels(), b in labels()) {
            prop_assert_eq!(SeriesKey::compare(&a, &b), as_documented(&a, &b));
            prop_assert_eq!(SeriesKey::compare(&b, &a), as_documented(&a, &b).reverse());
        }
    }

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
