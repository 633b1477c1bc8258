//! Canonical label bytes as operators handle them: walked and filtered as slices, without building strings.
//!
//! The bytes come from [`garner_storage::model::Labels`], which checked them (format: its module docs), so a walk ends
//! silently at bytes that would not be canonical. Those that LogQL's pipelines make may have empty values beside: `by` keeps
//! such a label apart from one that is not there, everything else that makes new label sets drops it, as Loki does
//! (prometheus model/labels, `Builder.Reset`).

use std::cmp::Ordering;

use garner_storage::model::{Labels, METRIC_NAME};

/// Labels that describe a metric rather than a series; what changes the meaning of values drops them (prometheus
/// schema/labels.go, `IsMetadataLabel`).
const METADATA_LABELS: [&[u8]; 3] = [METRIC_NAME.as_bytes(), b"__type__", b"__unit__"];

/// An empty pair, which no stored series has and which sorts before all others: in front of a label set it says that the
/// metric name is to be dropped once the whole query is done.
const NAME_MARK: &[u8] = &[0, 0];

/// When the metric name goes where values stop being those of the metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRemoval {
    /// At once.
    #[default]
    AtOnce,
    /// With the last operator, so that functions of labels still see it (prometheus `promql-delayed-name-removal`). Until then
    /// the label set carries a mark.
    Delayed,
}

impl NameRemoval {
    /// Appends `set` without its name, or with the mark that it is to go.
    pub fn apply_into(self, set: &[u8], out: &mut Vec<u8>) {
        match self {
            NameRemoval::AtOnce => drop_metadata_into(set, out),
            NameRemoval::Delayed => {
                out.extend_from_slice(NAME_MARK);
                out.extend_from_slice(split_mark(set).1);
            }
        }
    }
}

/// Whether a label set is marked, and the label set itself.
pub fn split_mark(set: &[u8]) -> (bool, &[u8]) {
    match set.strip_prefix(NAME_MARK) {
        Some(rest) => (true, rest),
        None => (false, set),
    }
}

/// One name and value, and the bytes of both with their lengths.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// The pair as it stands in the canonical bytes.
    pub bytes: &'a [u8],
}

/// The pairs of canonical bytes in name order.
pub fn pairs(bytes: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (name, after_name) = take(rest)?;
        let (value, after) = take(after_name)?;
        let pair = &rest[..rest.len() - after.len()];
        rest = after;
        Some(Pair {
            name,
            value,
            bytes: pair,
        })
    })
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut len, mut shift, mut at) = (0usize, 0, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        len |= ((byte & 0x7f) as usize) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let end = at.checked_add(len)?;
    Some((bytes.get(at..end)?, &bytes[end..]))
}

/// The value of `name`, empty where it is absent.
pub fn value_of<'a>(bytes: &'a [u8], name: &[u8]) -> &'a [u8] {
    pairs(bytes).find(|p| p.name == name).map_or(b"", |p| p.value)
}

/// Text of a label name or value. Canonical bytes are UTF-8; anything else reads as empty.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Appends the pairs for which `keep` holds to `out`.
pub fn filter_into(bytes: &[u8], out: &mut Vec<u8>, mut keep: impl FnMut(&[u8]) -> bool) {
    for pair in pairs(bytes) {
        if keep(pair.name) {
            out.extend_from_slice(pair.bytes);
        }
    }
}

/// Appends the labels without the metric name and its like.
pub fn drop_metadata_into(bytes: &[u8], out: &mut Vec<u8>) {
    filter_into(bytes, out, |name| !is_metadata(name));
}

/// Whether a label describes the metric (`__name__`, `__type__`, `__unit__`).
pub fn is_metadata(name: &[u8]) -> bool {
    METADATA_LABELS.contains(&name)
}

/// The label set of checked canonical bytes, without a mark.
pub fn to_labels(bytes: &[u8]) -> Labels {
    Labels::of_answer(split_mark(bytes).1).unwrap_or_default()
}

/// The order in which Prometheus sorts series: pair by pair by name, then value (prometheus model/labels, `Compare`).
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let keys = |bytes| pairs(bytes).map(|p| (p.name, p.value));
    keys(a).cmp(keys(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_walked_as_labels_walk_them() {
        let long = "v".repeat(300);
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "1"), ("z", long.as_str())]);
        let walked: Vec<_> = pairs(labels.as_bytes())
            .map(|p| (text(p.name), text(p.value)))
            .collect();
        assert_eq!(walked, labels.iter().collect::<Vec<_>>());
        assert_eq!(value_of(labels.as_bytes(), b"a"), b"1");
        assert_eq!(value_of(labels.as_bytes(), b"b"), b"");
        let mut out = Vec::new();
        drop_metadata_into(labels.as_bytes(), &mut out);
        assert_eq!(to_labels(&out), labels.filtered(|n| n != "__name__"));
    }

    #[test]
    fn a_mark_stands_in_front_once() {
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "1")]);
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        NameRemoval::Delayed.apply_into(labels.as_bytes(), &mut once);
        NameRemoval::Delayed.apply_into(&once, &mut twice);
        assert_eq!(once, twice);
        assert_eq!(split_mark(&once), (true, labels.as_bytes()));
        assert_eq!(split_mark(labels.as_bytes()), (false, labels.as_bytes()));
        assert_eq!(to_labels(&once), labels);
        assert_eq!(value_of(&once, b"a"), b"1");
    }
}
