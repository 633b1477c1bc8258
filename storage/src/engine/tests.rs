//! The store as its users see it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::error::ErrorKind;
use crate::file::{OsFiles, SharedFiles};
use crate::flush::{FailAction, FailPoints};
use crate::memory::MemoryAccountant;
use crate::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use crate::object::{Bucket, DurableLocalStore, RetryPolicy};
use crate::scan::{SeriesRequest, StoreReader};
use crate::testing::{Entry, StoreFixture, read_entries, read_samples, scan_context};

/// Stream, time, line, metadata.
type LogRow<'a> = (&'a str, i64, &'a str, &'a [(&'a str, &'a str)]);

const SECOND: i64 = 1_000_000_000;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn series(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "test")])
}

async fn write(storage: &Storage, tenant: &TenantId, rows: &[(&str, i64, f64)]) -> crate::Result<()> {
    let mut append = storage.begin_samples(tenant).await?;
    for (name, time, value) in rows {
        let labels = series(name);
        let alias = labels.fingerprint();
        let id = match append.lookup(alias) {
            Some(id) => id,
            None => append.register(alias, labels)?,
        };
        append.push(id, *time, *value);
    }
    append.commit().await
}

async fn read(storage: &Storage, tenant: &TenantId) -> Vec<(String, i64, f64)> {
    let rows = read_samples(storage, tenant, &[], TimeRange::ALL).await.unwrap();
    let name = |labels: &Labels| labels.get("__name__").unwrap_or("").to_string();
    rows.iter().map(|(labels, t, v)| (name(labels), *t, *v)).collect()
}

async fn write_log(storage: &Storage, tenant: &TenantId, rows: &[LogRow<'_>]) {
    let mut append = storage.begin_logs(tenant).await.unwrap();
    for (app, time, line, metadata) in rows {
        let labels = Labels::from_pairs([("app", *app)]);
        let id = append.register(labels.fingerprint(), labels).unwrap();
        append.push(id, *time, line.as_bytes(), metadata, Some("info"));
    }
    append.commit().await.unwrap();
}

fn owned(rows: &[(&str, i64, f64)]) -> Vec<(String, i64, f64)> {
    rows.iter().map(|(n, t, v)| (n.to_string(), *t, *v)).collect()
}

#[tokio::test]
async fn samples_are_the_same_in_head_sealed_flushed_and_after_restarts() {
    let fixture = StoreFixture::new(1);
    let now = 1_735_689_600 * SECOND;
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    // Out of order, doubled, years apart.
    write(
        &storage,
        &a,
        &[("x", now, 1.0), ("y", now - 5, 2.0), ("x", now - SECOND, 0.5)],
    )
    .await
    .unwrap();
    write(
        &storage,
        &a,
        &[("x", now, 7.0), ("y", now - 400 * 86_400 * SECOND, 9.0)],
    )
    .await
    .unwrap();
    let expected = owned(&[
        ("x", now - SECOND, 0.5),
        ("x", now, 7.0),
        ("y", now - 400 * 86_400 * SECOND, 9.0),
        ("y", now - 5, 2.0),
    ]);
    assert_eq!(read(&storage, &a).await, expected);
    assert_eq!(read(&storage, &tenant("b")).await, []);
    drop(storage);

    let storage = fixture.open().await.unwrap();
    assert_eq!(storage.stats().replay.rows, 5);
    assert_eq!(read(&storage, &a).await, expected, "replayed");
    let summary = storage.flush().await.unwrap();
    assert_eq!(
        (summary.heads, summary.segments, summary.objects, summary.rows),
        (1, 3, 1, 4)
    );
    assert_eq!(read(&storage, &a).await, expected, "flushed");
    assert_eq!(storage.stats().head_rows, [0, 0]);
    write(&storage, &a, &[("x", now, 3.0), ("x", now + 1, 4.0)])
        .await
        .unwrap();
    let mut expected = expected;
    expected.insert(2, ("x".into(), now + 1, 4.0));
    assert_eq!(read(&storage, &a).await, expected, "head over segments");
    storage.close(Duration::from_secs(60)).await.unwrap();
    let refused = storage.begin_samples(&a).await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);

    let storage = fixture.open().await.unwrap();
    assert_eq!(
        storage.stats().replay.rows,
        0,
        "a closed store leaves nothing to replay"
    );
    assert_eq!(read(&storage, &a).await, expected);
}

#[tokio::test]
async fn log_entries_keep_their_metadata_everywhere() {
    let fixture = StoreFixture::new(2);
    let now = 1_735_689_600 * SECOND;
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    let rows: &[LogRow<'_>] = &[
        ("web", now, "two", &[]),
        ("web", now - 1, "one", &[("trace", "1")]),
        ("db", now, "two", &[("trace", "1")]),
        ("web", now, "two", &[("trace", "2")]),
    ];
    write_log(&storage, &a, rows).await;
    write_log(&storage, &a, rows).await;
    let entry = |(app, time, line, metadata): &LogRow<'_>| Entry {
        stream: Labels::from_pairs([("app", *app)]),
        time: *time,
        line: line.as_bytes().to_vec(),
        metadata: Labels::from_pairs(metadata.iter().copied()),
        derived: Labels::from_pairs([("detected_level", "info")]),
    };
    let mut expected: Vec<Entry> = rows.iter().map(entry).collect();
    expected.sort();
    let check = async |storage: &Storage, what: &str| {
        let found = read_entries(storage, &a, &[], TimeRange::ALL).await.unwrap();
        assert_eq!(found, expected, "{what}");
        let web = [LabelMatcher::new("app", MatchOp::Regex, "w.b").unwrap()];
        let found = read_entries(storage, &a, &web, TimeRange::new(now, now + 1))
            .await
            .unwrap();
        assert_eq!(found.len(), 2, "{what}");
    };
    check(&storage, "head").await;
    drop(storage);
    let storage = fixture.open().await.unwrap();
    check(&storage, "replayed").await;
    storage.flush().await.unwrap();
    check(&storage, "flushed").await;
    write_log(&storage, &a, rows).await;
    check(&storage, "a retried push over segments").await;
    storage.flush().await.unwrap();
    check(&storage, "a retried push in segments").await;
}

#[tokio::test]
async fn a_store_on_the_real_disk_comes_back_from_log_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || {
        let files: SharedFiles = Arc::new(OsFiles);
        let handle = tokio::runtime::Handle::current();
        let objects = DurableLocalStore::open(files.clone(), &dir.path().join("objects")).unwrap();
        let components = Components {
            clock: Arc::new(SystemClock),
            files,
            bucket: Bucket::new(Arc::new(objects), "", handle.clone(), RetryPolicy::default(), 1),
            accountant: MemoryAccountant::new(1 << 30),
            seed: 1,
            background: handle,
            entry_filters: Arc::new(crate::deletes::NoEntryFilters),
            give_back_memory: || (),
            fail_points: FailPoints::default(),
        };
        let storage = Storage::open(StorageConfig::new(dir.path().join("data")), components).await?;
        storage.wait_ready().await.map(|()| storage)
    };
    let a = tenant("a");
    let storage = open().await.unwrap();
    write(&storage, &a, &[("x", 1, 1.0)]).await.unwrap();
    storage.flush().await.unwrap();
    write(&storage, &a, &[("x", 2, 2.0)]).await.unwrap();
    assert!(
        open()
            .await
            .unwrap_err()
            .to_string()
            .contains("is in use by another garner")
    );
    drop(storage);
    let storage = open().await.unwrap();
    assert_eq!(storage.stats().replay.rows, 1);
    assert_eq!(read(&storage, &a).await, owned(&[("x", 1, 1.0), ("x", 2, 2.0)]));
    storage.close(Duration::from_secs(60)).await.unwrap();
    let left = std::fs::read_dir(dir.path().join("data/wal")).unwrap().count();
    assert_eq!(left, 0, "nothing to replay");
}

#[tokio::test]
async fn one_folder_serves_one_store() {
    let fixture = StoreFixture::new(3);
    let storage = fixture.open().await.unwrap();
    let error = fixture.open().await.unwrap_err();
    assert!(
        error.to_string().contains("/data is in use by another garner"),
        "{error}"
    );
    storage.close(Duration::from_secs(1)).await.unwrap();
    fixture.open().await.unwrap();
}

#[tokio::test]
async fn a_lost_folder_comes_back_from_the_bucket() {
    let mut fixture = StoreFixture::new(4);
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    write(&storage, &a, &[("x", 1, 1.0)]).await.unwrap();
    storage.close(Duration::from_secs(60)).await.unwrap();
    fixture.disk = crate::testing::SimDisk::new(5);
    fixture.seed = 99;
    let storage = fixture.open().await.unwrap();
    write(&storage, &a, &[("x", 2, 2.0)]).await.unwrap();
    storage.flush().await.unwrap();
    assert_eq!(read(&storage, &a).await, owned(&[("x", 1, 1.0), ("x", 2, 2.0)]));
}

#[tokio::test]
async fn a_failed_flush_loses_nothing_at_any_point_and_the_next_one_succeeds() {
    for point in FailPoints::FLUSH {
        let fixture = StoreFixture::new(6);
        let a = tenant("a");
        let storage = fixture.open().await.unwrap();
        write(&storage, &a, &[("x", 1, 1.0)]).await.unwrap();
        fixture.fail_points.arm(point, 0, FailAction::Fail);
        storage.flush().await.unwrap_err();
        assert_eq!(read(&storage, &a).await, owned(&[("x", 1, 1.0)]), "{point}");
        write(&storage, &a, &[("x", 2, 2.0)]).await.unwrap();
        storage.flush().await.unwrap();
        let expected = owned(&[("x", 1, 1.0), ("x", 2, 2.0)]);
        assert_eq!(read(&storage, &a).await, expected, "{point}");
        assert_eq!(storage.stats().sealed_heads, 0, "{point}");
        assert_eq!(storage.stats().segment_rows, 2, "{point}: no row is in two segments");
        storage.close(Duration::from_secs(60)).await.unwrap();
        let storage = fixture.open().await.unwrap();
        assert_eq!(read(&storage, &a).await, expected, "{point}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_appends_and_recovers() {
    let fixture = StoreFixture::new(7);
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    write(&storage, &a, &[("x", 1, 1.0)]).await.unwrap();
    fixture.disk.set_capacity(Some(fixture.disk.used_bytes() + 20));
    let error = write(&storage, &a, &[("x", 2, 2.0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        read(&storage, &a).await,
        owned(&[("x", 1, 1.0)]),
        "nothing of a refused append is visible"
    );
    fixture.disk.set_capacity(None);
    write(&storage, &a, &[("x", 3, 3.0)]).await.unwrap();
    drop(storage);
    fixture.disk.power_loss();
    let storage = fixture.open().await.unwrap();
    assert_eq!(read(&storage, &a).await, owned(&[("x", 1, 1.0), ("x", 3, 3.0)]));
}

#[tokio::test]
async fn a_full_memory_refuses_appends_until_a_flush_made_room() {
    let mut fixture = StoreFixture::new(8);
    fixture.memory_limit_bytes = 200_000;
    fixture.config.tail_cache_bytes = 1000;
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    let mut written = 0;
    let refused = loop {
        let rows: Vec<_> = (0..500).map(|i| ("x", written + i, 1.0)).collect();
        match write(&storage, &a, &rows).await {
            Ok(()) => written += 500,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(written > 0);
    storage.flush().await.unwrap();
    write(&storage, &a, &[("x", -1, 1.0)]).await.unwrap();
    assert_eq!(read(&storage, &a).await.len() as i64, written + 1);
}

#[tokio::test]
async fn a_log_larger_than_memory_is_flushed_while_it_is_replayed() {
    let mut fixture = StoreFixture::new(12);
    let (a, b) = (tenant("a"), tenant("b"));
    let storage = fixture.open().await.unwrap();
    for chunk in 0..100 {
        // Values that do not compress.
        let rows: Vec<_> = (0..100)
            .map(|i| ("x", chunk * 100 + i, ((chunk * 100 + i) as f64).sqrt()))
            .collect();
        write(&storage, if chunk % 2 == 0 { &a } else { &b }, &rows)
            .await
            .unwrap();
    }
    drop(storage);
    fixture.memory_limit_bytes = 100_000;
    fixture.config.tail_cache_bytes = 1000;
    let storage = fixture.open().await.unwrap();
    let stats = storage.stats();
    assert_eq!(stats.replay.rows, 10_000);
    assert!(stats.flushes > 1 && stats.head_bytes[1] < 100_000, "{stats:?}");
    assert_eq!(stats.segment_rows + stats.head_rows[1], 10_000);
    for tenant in [&a, &b] {
        assert_eq!(read(&storage, tenant).await.len(), 5000);
    }
    drop(storage);
    let storage = fixture.open().await.unwrap();
    assert!(storage.stats().replay.records_flushed_before > 50);
    assert_eq!(read(&storage, &a).await.len(), 5000);
}

#[tokio::test]
async fn an_append_that_is_dropped_leaves_nothing_and_blocks_nobody() {
    let fixture = StoreFixture::new(13);
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    let mut append = storage.begin_samples(&a).await.unwrap();
    let id = append.register(1, series("x")).unwrap();
    append.push(id, 1, 1.0);
    let flush = storage.flush();
    tokio::pin!(flush);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut flush).await;
    assert!(early.is_err(), "a flush waits for appends under way");
    drop(append);
    flush.await.unwrap();
    assert_eq!(read(&storage, &a).await, []);
}

#[tokio::test]
async fn a_damaged_log_stops_the_start_with_one_clear_line() {
    let mut fixture = StoreFixture::new(14);
    fixture.config.wal_file_bytes = 200;
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    for time in 0..6 {
        write(&storage, &a, &[("x", time, 1.0)]).await.unwrap();
    }
    drop(storage);
    let first = std::path::Path::new("/data/wal/00000000000000000001.wal");
    fixture.disk.damage(first, |bytes| bytes[70] ^= 1).unwrap();
    let error = fixture.open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(
        text.contains("00000000000000000001.wal is damaged at byte") && !text.contains('\n'),
        "{text}"
    );
}

#[tokio::test]
async fn heads_are_flushed_by_age_in_the_background() {
    let fixture = StoreFixture::new(9);
    let (a, b) = (tenant("a"), tenant("b"));
    let storage = fixture.open().await.unwrap();
    write(&storage, &a, &[("x", 1, 1.0)]).await.unwrap();
    write_log(&storage, &a, &[("web", 1, "line", &[])]).await;
    fixture.clock.advance(Duration::from_secs(4 * 60));
    storage.0.wake.notify_one();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(storage.stats().flushes, 0);
    write(&storage, &b, &[("x", 1, 1.0)]).await.unwrap();
    fixture.clock.advance(Duration::from_secs(61));
    wait_for(&storage, || storage.stats().flushes == 1).await;
    assert_eq!(storage.stats().head_rows, [0, 2], "the logs are five minutes old");
    fixture.clock.advance(Duration::from_secs(25 * 60));
    wait_for(&storage, || storage.stats().flushes == 2).await;
    assert_eq!(
        storage.stats().head_rows,
        [0, 0],
        "what is due soon goes along with what is due"
    );
}

#[tokio::test]
async fn a_log_that_grows_too_large_flushes_who_holds_it_back() {
    let mut fixture = StoreFixture::new(10);
    fixture.config.wal_file_bytes = 1000;
    fixture.config.wal_max_bytes = 5000;
    let (a, b) = (tenant("a"), tenant("b"));
    let storage = fixture.open().await.unwrap();
    write(&storage, &a, &[("x", 1, 1.0)]).await.unwrap();
    for time in 0..100 {
        write(&storage, &b, &[("y", time, 1.0)]).await.unwrap();
    }
    assert!(storage.stats().wal_bytes > 5000);
    wait_for(&storage, || storage.stats().wal_bytes <= 5000).await;
    assert_eq!(read(&storage, &a).await.len() + read(&storage, &b).await.len(), 101);
}

#[tokio::test]
async fn series_that_went_idle_leave_the_index_after_two_seals() {
    let fixture = StoreFixture::new(11);
    let a = tenant("a");
    let storage = fixture.open().await.unwrap();
    write(&storage, &a, &[("x", 1, 1.0), ("y", 1, 1.0)]).await.unwrap();
    let mut known = Vec::new();
    for time in 2..5 {
        storage.flush().await.unwrap();
        known.push(storage.stats().head_series[1]);
        write(&storage, &a, &[("x", time, 1.0)]).await.unwrap();
    }
    assert_eq!(known, [2, 2, 1]);
    write(&storage, &a, &[("y", 9, 9.0)]).await.unwrap();
    assert_eq!(read(&storage, &a).await.len(), 6);
}

/// Wakes the background task until `condition` holds.
async fn wait_for(storage: &Storage, condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        storage.0.wake.notify_one();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(condition(), "waited in vain");
}

#[tokio::test]
async fn label_sets_of_many_segments_are_held_once_in_a_query() {
    let fixture = StoreFixture::new(41);
    let storage = fixture.open().await.unwrap();
    let tenant = TenantId::new("a").unwrap();
    let labels = |i: usize| {
        let host = format!("a-host-with-a-rather-long-name-{i:04}.example.org");
        Labels::from_pairs([("__name__", "up"), ("instance", host.as_str())])
    };
    let peak = async |segments: usize| {
        let scan = scan_context();
        let request = SeriesRequest {
            signal: Signal::Metrics,
            matchers: Vec::new(),
            range: TimeRange::ALL,
        };
        let view = storage.view(&tenant).unwrap();
        let selection = view.select_samples(&request, &scan).await.unwrap();
        assert_eq!(
            (selection.series_count(), selection.estimated_rows()),
            (300, 300 * segments as u64)
        );
        (scan.labels.len(), scan.memory.peak_bytes())
    };
    let mut peaks = Vec::new();
    for flush in 0..12 {
        let mut append = storage.begin_samples(&tenant).await.unwrap();
        for series in 0..300 {
            let labels = labels(series);
            let id = append.register(labels.fingerprint(), labels).unwrap();
            append.push(id, 1_735_689_600_000_000_000 + flush * 1_000_000_000, 1.0);
        }
        append.commit().await.unwrap();
        if flush < 11 {
            // The last ones stay in the head.
            storage.flush().await.unwrap();
        }
        peaks.push(peak(flush as usize + 1).await);
    }
    assert!(peaks[1..].iter().all(|(sets, _)| *sets == 300), "{peaks:?}");
    let text = (0..300).map(|i| labels(i).size_bytes() as u64).sum::<u64>();
    let (two, twelve) = (peaks[1].1, peaks[11].1);
    assert!(
        twelve - two < 10 * 300 * 150,
        "each further segment costs its places only: {peaks:?} {text}"
    );
}
