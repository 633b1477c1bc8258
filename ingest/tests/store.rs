//! Requests into a real store (simulated disk, objects in memory): what is acknowledged is in it, what is refused is not.
#![allow(clippy::unwrap_used)]

use garner_ingest::prometheus::WriteVersion;
use garner_ingest::{IngestErrorKind, LogLimits, LogSink, LokiPush, MetricLimits, push_loki, remote_write};
use garner_storage::engine::Storage;
use garner_storage::model::TenantId;
use garner_storage::testing::StoreFixture;

/// The fixture's clock: 2025-01-01T00:00:00Z.
const NOW_NS: i64 = 1_735_689_600_000_000_000;

/// `{__name__="up"}` with one sample, 7.0 at the fixture's time, and a second series without a name.
const WRITE: &[u8] = b"\x0a\x22\
    \x0a\x0e\x0a\x08__name__\x12\x02up\
    \x12\x10\x09\x00\x00\x00\x00\x00\x00\x1c\x40\x10\x80\xf8\xa5\xf9\xc1\x32\
    \x0a\x1a\
    \x0a\x06\x0a\x01a\x12\x01b\
    \x12\x10\x09\x00\x00\x00\x00\x00\x00\x1c\x40\x10\x80\xf8\xa5\xf9\xc1\x32";

fn tenant() -> TenantId {
    TenantId::new("team").unwrap()
}

async fn push(storage: &Storage, body: &str) -> Result<(u64, u64), IngestErrorKind> {
    let push = LokiPush {
        content_type: "application/json",
        content_encoding: "",
        body: body.as_bytes(),
        legacy: false,
    };
    let into = LogSink {
        storage,
        patterns: None,
    };
    let outcome = push_loki(into, &tenant(), push, &LogLimits::default(), NOW_NS).await;
    outcome
        .map(|o| (o.accepted_rows, o.refused.rows()))
        .map_err(|e| e.kind())
}

fn snappy(data: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(data).unwrap()
}

/// Rows in heads: log entries and samples.
fn rows(storage: &Storage) -> [u64; 2] {
    storage.stats().head_rows
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_are_in_the_store_and_survive_a_crash() {
    let fixture = StoreFixture::new(7);
    let storage = fixture.open().await.unwrap();
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{NOW_NS}","fine",{{"k":"v"}}],["{}","late"]]}}]}}"#,
        NOW_NS + 3_600_000_000_000
    );
    assert_eq!(push(&storage, &body).await, Ok((1, 1)));
    let outcome = remote_write(
        &storage,
        &tenant(),
        WriteVersion::V1,
        &snappy(WRITE),
        &MetricLimits::default(),
        NOW_NS,
    )
    .await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.accepted_rows, outcome.refused.rows()), (1, 1));
    assert_eq!(rows(&storage), [1, 1]);

    fixture.disk.crash();
    fixture.disk.power_loss();
    let reopened = fixture.open().await.unwrap();
    assert_eq!(rows(&reopened), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_no_row() {
    let storage = StoreFixture::new(7).open().await.unwrap();
    let good = format!(r#"{{"stream":{{"app":"good"}},"values":[["{NOW_NS}","x"]]}}"#);
    for (bad, kind) in [
        (
            r#"{"stream":{"bad name":"x"},"values":[]}"#,
            IngestErrorKind::BadRequest,
        ),
        (
            r#"{"stream":{"a":"b"},"values":[["1","x",5]]}"#,
            IngestErrorKind::BadRequest,
        ),
        (r#"{"stream":{"a":"b"},"values":[["#, IngestErrorKind::BadRequest),
    ] {
        let body = format!(r#"{{"streams":[{good},{bad}]}}"#);
        assert_eq!(push(&storage, &body).await, Err(kind), "{bad}");
    }
    let cut = snappy(&WRITE[..WRITE.len() - 1]);
    let error = remote_write(
        &storage,
        &tenant(),
        WriteVersion::V1,
        &cut,
        &MetricLimits::default(),
        NOW_NS,
    )
    .await;
    assert_eq!(error.map_err(|e| e.kind()).err(), Some(IngestErrorKind::BadRequest));
    assert_eq!(rows(&storage), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_unavailable_and_recovers() {
    let fixture = StoreFixture::new(7);
    let storage = fixture.open().await.unwrap();
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{NOW_NS}","x"]]}}]}}"#);
    fixture.disk.set_capacity(Some(0));
    assert_eq!(push(&storage, &body).await, Err(IngestErrorKind::Unavailable));
    assert_eq!(rows(&storage), [0, 0]);
    fixture.disk.set_capacity(None);
    assert_eq!(push(&storage, &body).await, Ok((1, 0)));
    assert_eq!(rows(&storage), [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_can_be_served_on_any_thread() {
    let storage = StoreFixture::new(7).open().await.unwrap();
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"a"}},"values":[["{NOW_NS}","x"]]}}]}}"#);
    let served = tokio::spawn(async move { push(&storage, &body).await });
    assert_eq!(served.await.unwrap(), Ok((1, 0)));
}
