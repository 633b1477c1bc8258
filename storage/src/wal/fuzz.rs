//! The decoders of record bodies behind one function, for fuzzing.

use super::body::{decode_rows, decode_series, open_body};
use super::record::RecordKind;
use crate::model::Signal;

/// Decodes `data` as the part of a record's body that its first byte names.
pub fn decode_bodies(data: &[u8]) {
    let Some((part, raw)) = data.split_first() else {
        return;
    };
    match part % 5 {
        0 => drop(decode_series(raw)),
        1 => drop(decode_rows(RecordKind::Rows, Signal::Metrics, raw)),
        2 => drop(decode_rows(RecordKind::RowsAndMore, Signal::Metrics, raw)),
        3 => drop(decode_rows(RecordKind::Rows, Signal::Logs, raw)),
        _ => drop(open_body(raw)),
    }
}
