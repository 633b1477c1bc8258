//! Remote writes.

use garner_storage::model::{Labels, STALE_NAN_BITS, is_stale};

use super::collected::*;
use crate::error::IngestErrorKind;
use crate::validate::MetricLimits;
use crate::wire::encode;
use crate::writer::append_write_request;

#[test]
fn samples_of_any_value_and_order_are_kept() {
    let mut rows = Collected::default();
    let stale = f64::from_bits(STALE_NAN_BITS);
    let samples = [
        (5, 1.5),
        (-5, f64::NAN),
        (0, f64::INFINITY),
        (1, f64::NEG_INFINITY),
        (2, stale),
        (-NOW_MS, 0.0),
    ];
    let outcome = write(&mut rows, &[(&[("__name__", "up"), ("größe", "ü")], &samples, 0)]);
    assert_eq!(
        (
            outcome.accepted_rows,
            outcome.accepted_bytes,
            outcome.error().map(|_| ())
        ),
        (6, 96, None)
    );
    for ((_, time_ns, value), (ms, sent)) in rows.samples.iter().zip(samples) {
        assert_eq!((*time_ns, value.to_bits()), ((NOW_MS + ms) * 1_000_000, sent.to_bits()));
    }
    assert!(is_stale(rows.samples[4].2));
    assert_eq!(rows.series, [Labels::from_pairs([("__name__", "up"), ("größe", "ü")])]);
}

#[test]
fn refused_series_leave_the_others() {
    let mut rows = Collected::default();
    let outcome = write(
        &mut rows,
        &[
            (&[("job", "x")], &[(0, 1.0), (1, 1.0)], 0),
            (&[("__name__", "good")], &[(0, 1.0), (600_001, 2.0)], 0),
            (&[("__name__", "twice"), ("a", "1"), ("a", "2")], &[(0, 1.0)], 0),
        ],
    );
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, 4));
    let (kind, message) = told(Ok(outcome));
    assert_eq!(kind, IngestErrorKind::BadRequest);
    for part in [
        "received series has no metric name (err-mimir-missing-metric-name)",
        "timestamp is too far in the future, timestamp: 1768003800001 series: 'good'",
        "duplicate label name, label: 'a'",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(rows.series.len(), 1);
}

#[test]
fn series_over_the_limit_are_refused() {
    let mut rows = Collected::default();
    let limits = MetricLimits {
        max_global_series_per_user: 1,
        ..MetricLimits::default()
    };
    let request = write_request(&[
        (&[("__name__", "a")], &[(0, 1.0)], 0),
        (&[("__name__", "b")], &[(0, 1.0)], 0),
    ]);
    let outcome = append_write_request(&mut rows, &request, &limits, NOW_NS).unwrap();
    assert_eq!(outcome.accepted_rows, 1);
    assert_eq!(
        told(Ok(outcome)),
        (
            IngestErrorKind::BadRequest,
            "per-user series limit of 1 exceeded (err-mimir-max-series-per-user). To adjust the related per-tenant limit, \
             configure -ingester.max-global-series-per-user, or contact your service administrator."
                .to_string()
        )
    );
}

#[test]
fn labels_may_stand_anywhere_in_a_series() {
    let label = |name: &str, value: &str| {
        let mut pair = Vec::new();
        encode::bytes(&mut pair, 1, name.as_bytes());
        encode::bytes(&mut pair, 2, value.as_bytes());
        pair
    };
    let mut sample = Vec::new();
    encode::double(&mut sample, 1, 7.0);
    encode::int(&mut sample, 2, NOW_MS);
    let mut message = Vec::new();
    encode::bytes(&mut message, 1, &label("__name__", "up"));
    encode::bytes(&mut message, 2, &sample);
    encode::bytes(&mut message, 1, &label("job", "x"));
    let mut request = Vec::new();
    encode::bytes(&mut request, 1, &message);

    let mut rows = Collected::default();
    write(&mut rows, &[(&[("__name__", "up"), ("job", "x")], &[(1, 1.0)], 0)]);
    append_write_request(&mut rows, &request, &MetricLimits::default(), NOW_NS).unwrap();
    assert_eq!((rows.series.len(), rows.aliases.len(), rows.samples.len()), (1, 1, 2));
}
