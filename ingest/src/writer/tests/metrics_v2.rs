//! Remote writes of version 2.

use garner_storage::model::Labels;

use super::collected::*;
use crate::validate::MetricLimits;
use crate::wire::encode;
use crate::writer::{append_write_request, append_write_request_v2};

const SYMBOLS: [&str; 6] = ["", "__name__", "up", "job", "x", "help"];

/// A series with packed references, one sample a value, and further fields.
fn series(refs: &[u64], values: &[f64], more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packed = Vec::new();
    refs.iter().for_each(|r| encode::varint(&mut packed, *r));
    let mut message = Vec::new();
    encode::bytes(&mut message, 1, &packed);
    for (index, value) in values.iter().enumerate() {
        let mut sample = Vec::new();
        encode::double(&mut sample, 1, *value);
        encode::int(&mut sample, 2, NOW_MS + index as i64);
        encode::int(&mut sample, 3, NOW_MS - 1_000);
        encode::bytes(&mut message, 2, &sample);
    }
    more(&mut message);
    message
}

fn request(series: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    // Symbols may stand on both sides of the series that name them.
    SYMBOLS[..3]
        .iter()
        .for_each(|s| encode::bytes(&mut request, 4, s.as_bytes()));
    series.iter().for_each(|s| encode::bytes(&mut request, 5, s));
    SYMBOLS[3..]
        .iter()
        .for_each(|s| encode::bytes(&mut request, 4, s.as_bytes()));
    request
}

fn append(rows: &mut Collected, series: &[Vec<u8>]) -> crate::PushOutcome {
    append_write_request_v2(rows, &request(series), &MetricLimits::default(), NOW_NS).unwrap()
}

#[test]
fn a_series_is_the_same_in_both_versions() {
    let mut rows = Collected::default();
    write(&mut rows, &[(&[("__name__", "up"), ("job", "x")], &[(0, 1.0)], 0)]);
    let mut unpacked = Vec::new();
    for reference in [1, 2, 3, 4] {
        encode::int(&mut unpacked, 1, reference);
    }
    unpacked.extend_from_slice(&series(&[], &[4.0], |_| {})[2..]);
    let outcome = append(&mut rows, &[series(&[1, 2, 3, 4], &[2.0, 3.0], |_| {}), unpacked]);
    assert_eq!((outcome.accepted_rows, outcome.error().map(|_| ())), (3, None));
    assert_eq!(rows.series, [Labels::from_pairs([("__name__", "up"), ("job", "x")])]);
    assert_eq!(rows.aliases.len(), 1, "one alias serves both");
    let values: Vec<f64> = rows.samples.iter().map(|(_, _, value)| *value).collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn unreadable_series_leave_the_others() {
    let check = |bad: Vec<u8>, lost: u64, text: &str| {
        let mut rows = Collected::default();
        let outcome = append(&mut rows, &[bad, series(&[1, 2], &[1.0], |_| {})]);
        assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, lost), "{text}");
        assert_eq!(told(Ok(outcome)).1, text);
        assert_eq!(rows.series.len(), 1);
    };
    check(series(&[1, 2, 3], &[1.0, 2.0], |_| {}), 2, "invalid labelRefs length 3");
    check(
        series(&[1, 6], &[1.0], |_| {}),
        1,
        "labelRefs 1 (name) = 6 (value) outside of symbols table (size 6)",
    );
    check(
        series(&[1, 2], &[], |_| {}),
        0,
        "TimeSeries must contain at least one sample or histogram",
    );
    let bad_help = series(&[1, 2], &[1.0], |message| {
        let mut metadata = Vec::new();
        encode::int(&mut metadata, 3, -1);
        encode::bytes(message, 5, &metadata);
    });
    check(
        bad_help,
        1,
        "metadata refers to symbol 18446744073709551615 outside of symbols table (size 6)",
    );
}

#[test]
fn labels_of_many_long_symbols_are_refused() {
    let mut body = Vec::new();
    encode::bytes(&mut body, 4, &[b'a'; 60_000]);
    encode::bytes(&mut body, 5, &series(&[0; 64], &[1.0], |_| {}));
    let mut rows = Collected::default();
    let outcome = append_write_request_v2(&mut rows, &body, &MetricLimits::default(), NOW_NS).unwrap();
    assert_eq!(
        told(Ok(outcome)).1,
        "the labels of a series take more than 131072 bytes"
    );
}

#[test]
fn a_message_of_the_other_version_is_no_series() {
    let mut rows = Collected::default();
    let outcome = append_write_request(&mut rows, &request(&[]), &MetricLimits::default(), NOW_NS).unwrap();
    assert_eq!(outcome.accepted_rows, 0);
    assert!(append_write_request_v2(&mut rows, &[5 << 3 | 2, 9], &MetricLimits::default(), NOW_NS).is_err());
}
