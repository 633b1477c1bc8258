//! Label sets in their canonical bytes.
//!
//! ```text
//! labels = pair*            sorted by name bytes, each name once, no empty value
//! pair   = varint(name length) name varint(value length) value
//! ```
//!
//! Two label sets are the same exactly where their bytes are, so the bytes serve as dictionary value, hash input and
//! key in every format. Names and values are UTF-8.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label by which log streams sort first; made at ingest where the client sends none.
pub const SERVICE_NAME: &str = "service_name";

/// An immutable label set in canonical bytes (see the module docs). Cheap to clone; ordered by its bytes, which is
/// *not* the order of series (that is [`super::SeriesKey`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<[u8]>);

/// Why bytes are not a canonical label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid canonical label bytes at offset {offset}")]
pub struct LabelsError {
    /// Where the first violation starts.
    pub offset: usize,
}

impl Labels {
    /// The empty label set.
    pub fn empty() -> Self {
        Labels(Arc::from([].as_slice()))
    }

    /// A set from pairs in any order. Pairs with an empty value are left out (as in Prometheus, they mean "absent"); of
    /// pairs with one name the last wins.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Takes canonical bytes after checking every rule of the module docs.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelsError> {
        Self::checked(bytes, false)
    }

    /// As [`Labels::from_canonical`], but values may be empty: LogQL's answers tell a label that a parser set to nothing
    /// from one that is not there. Such a set is never stored.
    pub fn of_answer(bytes: &[u8]) -> Result<Self, LabelsError> {
        Self::checked(bytes, true)
    }

    fn checked(bytes: &[u8], may_be_empty: bool) -> Result<Self, LabelsError> {
        let mut offset = 0;
        let mut previous: Option<&[u8]> = None;
        while offset < bytes.len() {
            let err = LabelsError { offset };
            let (name, rest) = read_slice(bytes, offset).ok_or(err)?;
            let (value, rest) = read_slice(bytes, rest).ok_or(err)?;
            let sorted = previous.is_none_or(|p| p < name);
            let empty = value.is_empty() && !may_be_empty;
            if !sorted || empty || std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
                return Err(err);
            }
            previous = Some(name);
            offset = rest;
        }
        Ok(Labels(Arc::from(bytes)))
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Pairs in name order.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter {
            bytes: &self.0,
            offset: 0,
        }
    }

    /// Pairs in name order as bytes: what comparing needs, without the UTF-8 check that text costs.
    pub(super) fn raw_pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let bytes: &[u8] = &self.0;
        let mut offset = 0;
        std::iter::from_fn(move || {
            let (name, rest) = read_slice(bytes, offset)?;
            let (value, rest) = read_slice(bytes, rest)?;
            offset = rest;
            Some((name, value))
        })
    }

    /// The canonical bytes of each pair, in name order; [`Labels::from_pair_bytes`] joins them again.
    pub(crate) fn pair_bytes(&self) -> impl Iterator<Item = &[u8]> {
        let bytes: &[u8] = &self.0;
        let mut offset = 0;
        std::iter::from_fn(move || {
            let start = offset;
            let (_, rest) = read_slice(bytes, start)?;
            (_, offset) = read_slice(bytes, rest)?;
            bytes.get(start..offset)
        })
    }

    /// A set of the canonical bytes of pairs, which must be those of one set in name order. `scratch` saves an allocation.
    pub(crate) fn from_pair_bytes<'a>(pairs: impl Iterator<Item = &'a [u8]>, scratch: &mut Vec<u8>) -> Labels {
        scratch.clear();
        pairs.for_each(|pair| scratch.extend_from_slice(pair));
        Labels(Arc::from(scratch.as_slice()))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`; `None` where it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n >= name)
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }

    /// The 128-bit fingerprint of the canonical bytes (XXH3). Collisions are treated as impossible.
    pub fn fingerprint(&self) -> u128 {
        xxh3_128(&self.0)
    }

    /// Heap bytes held by this set.
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// A builder that starts from these pairs.
    pub fn to_builder(&self) -> LabelsBuilder {
        let pairs = self.iter().filter(|(_, value)| !value.is_empty());
        LabelsBuilder {
            pairs: pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        }
    }

    /// The pairs for which `keep` holds; used for `by`, `without`, `on` and `ignoring`.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let mut out = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                push_pair(&mut out, name, value);
            }
        }
        Labels(out.into())
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Default for Labels {
    fn default() -> Self {
        Labels::empty()
    }
}

/// `{a="b", c="d"}` with Go-quoted values: the form of Loki's messages and of Prometheus' logs.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterates the pairs of a [`Labels`] in name order.
#[derive(Clone)]
pub struct LabelsIter<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // `Labels` is only built from checked bytes, so neither read nor UTF-8 can fail; `?` ends the walk if it did.
        let (name, rest) = read_slice(self.bytes, self.offset)?;
        let (value, rest) = read_slice(self.bytes, rest)?;
        self.offset = rest;
        Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
    }
}

/// Collects pairs in any order and makes the canonical set.
#[derive(Default, Debug, Clone)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name`; an empty value removes it, as in Prometheus.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.remove(name);
        if !value.is_empty() {
            self.pairs.push((name.to_string(), value.to_string()));
        }
        self
    }

    /// Removes `name` where present.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The present value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The canonical set.
    pub fn build(mut self) -> Labels {
        self.pairs.sort_unstable();
        let mut out = Vec::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in &self.pairs {
            push_pair(&mut out, name, value);
        }
        Labels(out.into())
    }
}

/// Name and value of a pair's canonical bytes; empty where the bytes are none.
pub(crate) fn split_pair(pair: &[u8]) -> (&str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or("");
    let (name, value) = split_raw_pair(pair);
    (text(name), text(value))
}

/// As [`split_pair`], without checking the text.
pub(crate) fn split_raw_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    let Some((name, rest)) = read_slice(pair, 0) else {
        return (b"", b"");
    };
    (name, read_slice(pair, rest).map_or(b"", |(value, _)| value))
}

fn push_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    for text in [name, value] {
        push_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

fn push_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The length-prefixed slice at `offset` and the offset after it.
#[inline]
fn read_slice(bytes: &[u8], mut offset: usize) -> Option<(&[u8], usize)> {
    let first = *bytes.get(offset)?;
    if first < 0x80 {
        let end = offset + 1 + first as usize;
        return Some((bytes.get(offset + 1..end)?, end));
    }
    let mut len = 0usize;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(offset)?;
        offset += 1;
        len |= ((byte & 0x7f) as usize) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let end = offset.checked_add(len)?;
    Some((bytes.get(offset..end)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_deduplicated_and_without_empties() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!(Labels::from_canonical(labels.as_bytes()).as_ref(), Ok(&labels));
        assert_eq!(labels.filtered(|n| n == "b"), Labels::from_pairs([("b", "3")]));
    }

    #[test]
    fn bytes_that_are_not_canonical_are_refused() {
        for bad in [
            &b"\x01b\x012\x01a\x011"[..],
            b"\x01a\x00",
            b"\x01a",
            b"\x05a\x011",
            b"\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(Labels::from_canonical(bad).is_err(), "{bad:?}");
        }
    }
}
