//! Exemplars as both versions of remote write send them.
//!
//! ```text
//! version 1: Exemplar { labels = 1, value = 2 double, timestamp = 3 int64 milliseconds }
//! version 2: Exemplar { labels_refs = 1 packed, value = 2, timestamp = 3 }
//! ```

use garner_storage::model::Labels;

use super::write_request::parse_pair;
use super::write_request_v2::{outside_of_symbols, symbol};
use crate::wire::{Reader, Value, WireError};

/// Characters of an exemplar's labels, names and values together (prometheus `model/exemplar/exemplar.go`,
/// `ExemplarMaxLabelSetLength`).
const MAX_LABEL_CHARS: usize = 128;

/// An exemplar as sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SentExemplar<'a> {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    pub value: f64,
    labels: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> SentExemplar<'a> {
    /// Reads a message of version 1, or, with the request's symbols, of version 2; the inner error is one of the exemplar
    /// alone.
    pub(crate) fn read(
        message: &'a [u8],
        symbols: Option<&[&'a [u8]]>,
    ) -> Result<Result<SentExemplar<'a>, String>, WireError> {
        let mut sent = SentExemplar::default();
        let mut refs = Vec::new();
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, value) if symbols.is_none() => sent.labels.push(parse_pair(value.bytes("Labels")?)?),
                (1, Value::Varint(one)) => refs.push(one),
                (1, packed) => {
                    let mut packed = Reader::new(packed.bytes("LabelsRefs")?);
                    while let Some(one) = packed.next_varint()? {
                        refs.push(one);
                    }
                }
                (2, value) => sent.value = value.double("Value")?,
                (3, value) => sent.timestamp_ms = value.int("Timestamp")?,
                _ => {}
            }
        }
        let (pairs, odd) = refs.as_chunks::<2>();
        if !odd.is_empty() {
            return Ok(Err(format!("invalid labelRefs length {}", refs.len())));
        }
        for [name, value] in pairs {
            let symbols = symbols.unwrap_or(&[]);
            match (symbol(symbols, *name), symbol(symbols, *value)) {
                (Some(name), Some(value)) => sent.labels.push((name, value)),
                _ => return Ok(Err(outside_of_symbols(*name, *value, symbols.len()))),
            }
        }
        Ok(Ok(sent))
    }

    /// Its labels; `None` where it cannot be kept: they are too long, or no text. Senders are not told, as in Prometheus.
    pub(crate) fn checked_labels(&self) -> Option<Labels> {
        checked_exemplar_labels(self.labels.iter().copied())
    }
}

/// The labels of an exemplar; `None` where they are too long, or no text.
pub(crate) fn checked_exemplar_labels<'a>(sent: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Option<Labels> {
    let mut pairs = Vec::new();
    let mut chars = 0;
    for (name, value) in sent {
        let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
        chars += name.chars().count() + value.chars().count();
        if chars > MAX_LABEL_CHARS {
            return None;
        }
        pairs.push((name, value));
    }
    Some(Labels::from_pairs(pairs))
}
