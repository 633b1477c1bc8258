//! Cut, changed and random bodies: refused or read, never a panic.

use proptest::prelude::*;

use super::collected::*;
use crate::error::IngestErrorKind;
use crate::validate::{LogLimits, MetricLimits};
use crate::writer::{append_write_request, append_write_request_v2};

#[test]
fn truncated_requests_are_refused_wherever_they_end() {
    let request = write_request(&[(&[("__name__", "up"), ("job", "x")], &[(0, 1.0)], 0)]);
    for end in 1..request.len() {
        let mut rows = Collected::default();
        let result = append_write_request(&mut rows, &request[..end], &MetricLimits::default(), NOW_NS);
        assert_eq!(
            result.err().map(|e| e.kind()),
            Some(IngestErrorKind::BadRequest),
            "cut at {end}"
        );
    }
    let push = proto_push(&[("{a=\"b\"}", 0, b"line", &[(b"k", b"v")])]);
    for end in 1..push.len() {
        let mut rows = Collected::default();
        let body = snappy(&push[..end]);
        let result = push_body(&mut rows, "application/x-protobuf", "", &body, &LogLimits::default());
        assert_eq!(
            result.err().map(|e| e.kind()),
            Some(IngestErrorKind::BadRequest),
            "cut at {end}"
        );
    }
}

proptest! {
    #[test]
    fn changed_requests_never_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut rows = Collected::default();
        let mut request = write_request(&[
            (&[("__name__", "up"), ("job", "x")], &[(0, 1.0), (1, 2.0)], 1),
            (&[("__name__", "down")], &[(0, 1.0)], 0),
        ]);
        let at = at % request.len();
        request[at] = byte;
        request.truncate(cut.max(1));
        let _ = append_write_request(&mut rows, &request, &MetricLimits::default(), NOW_NS);

        let mut push = proto_push(&[("{a=\"b\"}", 0, b"level=info", &[(b"k", b"v")]), ("{c='d'}", 1, b"{\"a\":1}", &[])]);
        let at = at % push.len();
        push[at] = byte;
        push.truncate(cut.max(1));
        let _ = push_body(&mut rows, "application/x-protobuf", "", &snappy(&push), &LogLimits::default());
    }

    #[test]
    fn random_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rows = Collected::default();
        let limits = LogLimits::default();
        let _ = append_write_request(&mut rows, &body, &MetricLimits::default(), NOW_NS);
        let _ = append_write_request_v2(&mut rows, &body, &MetricLimits::default(), NOW_NS);
        let _ = push_body(&mut rows, "application/x-protobuf", "", &snappy(&body), &limits);
        let _ = push_body(&mut rows, "application/json", "", &body, &limits);
    }

    #[test]
    fn random_json_never_panics(
        body in "\\{\"streams\":\\[\\{\"stream\":\\{[\"a:, {}]{0,9}\\},\"values\":\\[[\\[\\]\"0-9a, {}:]{0,20}\\]\\}\\]\\}",
    ) {
        let mut rows = Collected::default();
        let _ = push_body(&mut rows, "application/json", "", body.as_bytes(), &LogLimits::default());
    }
}
