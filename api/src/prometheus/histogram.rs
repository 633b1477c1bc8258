//! Native histograms in Prometheus' JSON (prometheus `util/jsonutil/marshal.go`, `MarshalHistogram`).

use garner_query::functions::native::buckets::{Bucket, ascending};
use garner_storage::model::Histogram;

use crate::json::push_prometheus_float;

/// Appends `{"count":"3","sum":"4.5","buckets":[[0,"0.5","1","3"]]}`: of each populated bucket which ends belong to it, its
/// bounds and its count.
pub fn push_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    out.extend_from_slice(br#"{"count":"#);
    push_quoted(out, histogram.count);
    out.extend_from_slice(br#","sum":"#);
    push_quoted(out, histogram.sum);
    let mut first = true;
    for bucket in ascending(histogram).filter(|b| b.count != 0.0) {
        out.extend_from_slice(if first { br#","buckets":["# } else { b"," });
        first = false;
        out.push(b'[');
        out.push(ends(&bucket));
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_quoted(out, number);
        }
        out.push(b']');
    }
    out.extend_from_slice(if first { b"}" } else { b"]}" });
}

/// 0: the upper end belongs to the bucket, 1: the lower, 2: neither, 3: both.
fn ends(bucket: &Bucket) -> u8 {
    match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    }
}

fn push_quoted(out: &mut Vec<u8>, number: f64) {
    out.push(b'"');
    push_prometheus_float(out, number);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA};

    use super::*;

    fn check(histogram: &Histogram, expected: &str) {
        let mut out = Vec::new();
        push_histogram(&mut out, histogram);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn every_kind_of_bucket_says_which_ends_are_its_own() {
        let histogram = Histogram {
            count: 42.0,
            sum: 34593.34,
            zero_threshold: 0.25,
            zero_count: 3.0,
            positive_spans: vec![BucketSpan { offset: -1, length: 3 }],
            positive_buckets: vec![12.0, 0.0, 21.0],
            negative_spans: vec![BucketSpan { offset: 0, length: 1 }],
            negative_buckets: vec![6.0],
            ..Histogram::default()
        };
        check(
            &histogram,
            r#"{"count":"42","sum":"34593.34","buckets":[[1,"-1","-0.5","6"],[3,"-0.25","0.25","3"],[0,"0.25","0.5","12"],[0,"1","2","21"]]}"#,
        );
        let custom = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 5.0,
            sum: f64::NAN,
            custom_values: vec![5.0, 10.0],
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 2.0],
            ..Histogram::default()
        };
        check(
            &custom,
            r#"{"count":"5","sum":"NaN","buckets":[[3,"-Inf","5","1"],[0,"5","10","2"],[0,"10","+Inf","2"]]}"#,
        );
        check(&Histogram::default(), r#"{"count":"0","sum":"0"}"#);
    }
}
