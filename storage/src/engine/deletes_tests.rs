//! Deletes as readers see them: every read path, restarts, cancels, crashes, against a list of rows.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::deletes::TombstoneId;
use crate::error::ErrorKind;
use crate::flush::{FailAction, FailPoints};
use crate::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use crate::scan::{SeriesRequest, StoreReader};
use crate::testing::{Faults, StoreFixture, read_entries, read_samples, scan_context};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_735_689_600 * SECOND;
const DAY: Duration = Duration::from_secs(86_400);

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

fn delete(signal: Signal, app: &str, filter: Option<&str>, range: TimeRange) -> DeleteRequest {
    DeleteRequest {
        signal,
        matchers: vec![LabelMatcher::new("app", MatchOp::Regex, app).unwrap()],
        filter: filter.map(Arc::from),
        range,
        query: format!("{{app=~{app:?}}}").into(),
        cancel_period: DAY,
    }
}

async fn delete_one(storage: &Storage, request: DeleteRequest) -> crate::Result<TombstoneId> {
    let made = storage.create_deletes(&tenant(), vec![request]).await?;
    Ok(made[0].id)
}

/// A row of either signal; of metrics the line is the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    app: String,
    time: i64,
    line: String,
}

async fn write(storage: &Storage, signal: Signal, rows: &[Row]) {
    let labels = |row: &Row| Labels::from_pairs([("__name__", "m"), ("app", row.app.as_str())]);
    match signal {
        Signal::Metrics => {
            let mut append = storage.begin_samples(&tenant()).await.unwrap();
            for row in rows {
                let id = append.register(labels(row).fingerprint(), labels(row)).unwrap();
                append.push(id, row.time, row.line.parse().unwrap());
            }
            append.commit().await.unwrap();
        }
        Signal::Logs => {
            let mut append = storage.begin_logs(&tenant()).await.unwrap();
            for row in rows {
                let id = append.register(labels(row).fingerprint(), labels(row)).unwrap();
                append.push(id, row.time, row.line.as_bytes(), &[("k", &row.line)], Some("info"));
            }
            append.commit().await.unwrap();
        }
    }
}

/// Rows by way of scans.
async fn read(storage: &Storage, signal: Signal, range: TimeRange) -> BTreeSet<Row> {
    let app = |labels: &Labels| labels.get("app").unwrap().to_string();
    match signal {
        Signal::Metrics => {
            let rows = read_samples(storage, &tenant(), &[], range).await.unwrap();
            let row = |(labels, time, value): (Labels, i64, f64)| Row {
                app: app(&labels),
                time,
                line: format!("{value}"),
            };
            rows.into_iter().map(row).collect()
        }
        Signal::Logs => {
            let rows = read_entries(storage, &tenant(), &[], range).await.unwrap();
            let row = |e: crate::testing::Entry| Row {
                app: app(&e.stream),
                time: e.time,
                line: String::from_utf8(e.line).unwrap(),
            };
            rows.into_iter().map(row).collect()
        }
    }
}

/// Series, label values and volumes agree with the rows of a range.
async fn check_indexes(storage: &Storage, signal: Signal, range: TimeRange, rows: &BTreeSet<Row>, exact: bool) {
    let request = SeriesRequest {
        signal,
        matchers: Vec::new(),
        range,
    };
    let scan = scan_context();
    let view = storage.view(&tenant()).unwrap();
    let apps: BTreeSet<String> = rows.iter().map(|r| r.app.clone()).collect();
    let series = view.series(&request, &scan).await.unwrap();
    let found: BTreeSet<String> = series.iter().map(|l| l.get("app").unwrap().to_string()).collect();
    let values = view.label_values("app", &request, &scan).await.unwrap();
    assert_eq!(values, found.iter().cloned().collect::<Vec<_>>());
    assert!(apps.is_subset(&found), "{apps:?} {found:?}");
    if exact {
        assert_eq!(apps, found);
        assert_eq!(
            view.label_names(&request, &scan).await.unwrap().is_empty(),
            apps.is_empty()
        );
    }
    if signal == Signal::Logs {
        for width in [0, SECOND, 7 * SECOND] {
            let logs = view.select_logs(&request, &scan).await.unwrap();
            let volumes = logs.volumes(width).await.unwrap();
            let counted: u64 = volumes.iter().map(|v| v.total().rows).sum();
            assert_eq!(counted, rows.len() as u64, "cells of {width}");
        }
    }
}

#[tokio::test]
async fn a_delete_hides_what_was_there_and_nothing_that_comes_later() {
    for signal in [Signal::Metrics, Signal::Logs] {
        let fixture = StoreFixture::new(1);
        let storage = fixture.open().await.unwrap();
        let row = |app: &str, at: i64, line: &str| Row {
            app: app.into(),
            time: NOW + at * SECOND,
            line: line.into(),
        };
        let old = [row("a", 0, "1"), row("a", 10, "2"), row("b", 0, "3")];
        write(&storage, signal, &old[..2]).await;
        storage.flush().await.unwrap();
        write(&storage, signal, &old[2..]).await;
        let all = TimeRange::ALL;
        let id = delete_one(
            &storage,
            delete(signal, "a", None, TimeRange::new(NOW, NOW + 5 * SECOND)),
        )
        .await
        .unwrap();
        let mut expected: BTreeSet<Row> = old[1..].iter().cloned().collect();
        assert_eq!(read(&storage, signal, all).await, expected);
        // In the deleted piece of time the series is not there, in the rest it is.
        check_indexes(&storage, signal, all, &expected, true).await;
        let piece = TimeRange::new(NOW, NOW + 5 * SECOND);
        check_indexes(&storage, signal, piece, &read(&storage, signal, piece).await, true).await;
        // The very row again is new data, in the head and in a segment.
        write(&storage, signal, &old[..1]).await;
        expected.insert(old[0].clone());
        assert_eq!(read(&storage, signal, all).await, expected);
        storage.flush().await.unwrap();
        assert_eq!(read(&storage, signal, all).await, expected);
        check_indexes(&storage, signal, all, &expected, true).await;
        let status = storage.deletes(&tenant(), signal);
        assert_eq!((status.len(), status[0].tombstone.id), (1, id));
        assert_eq!((status[0].covered_at_first, status[0].covered), (2, 2));
        assert_eq!(&*status[0].tombstone.query, r#"{app=~"a"}"#);
        drop(storage);
        let storage = fixture.open().await.unwrap();
        assert_eq!(read(&storage, signal, all).await, expected, "after a restart");
        assert_eq!(storage.deletes(&tenant(), signal), status);
    }
}

#[tokio::test]
async fn a_cancelled_delete_gives_its_rows_back_until_its_period_is_over() {
    let fixture = StoreFixture::new(2);
    let storage = fixture.open().await.unwrap();
    let row = Row {
        app: "a".into(),
        time: NOW,
        line: "x".into(),
    };
    write(&storage, Signal::Logs, std::slice::from_ref(&row)).await;
    let ask = delete(Signal::Logs, "a", None, TimeRange::ALL);
    let id = delete_one(&storage, ask.clone()).await.unwrap();
    assert!(read(&storage, Signal::Logs, TimeRange::ALL).await.is_empty());
    let cancel = async |id, force| storage.cancel_delete(&tenant(), Signal::Logs, id, force).await;
    let kind = |result: crate::Result<()>| result.map_err(|e| e.kind());
    assert_eq!(kind(cancel(TombstoneId(1), false).await), Err(ErrorKind::NotFound));
    cancel(id, false).await.unwrap();
    assert_eq!(read(&storage, Signal::Logs, TimeRange::ALL).await.len(), 1);
    assert!(storage.deletes(&tenant(), Signal::Logs).is_empty());

    let id = delete_one(&storage, ask).await.unwrap();
    fixture.clock.advance(DAY);
    assert_eq!(kind(cancel(id, false).await), Err(ErrorKind::Invalid));
    assert!(read(&storage, Signal::Logs, TimeRange::ALL).await.is_empty());
    cancel(id, true).await.unwrap();
    assert_eq!(read(&storage, Signal::Logs, TimeRange::ALL).await.len(), 1);
}

#[tokio::test]
async fn deletes_that_make_no_sense_or_are_too_many_are_refused() {
    let mut fixture = StoreFixture::new(3);
    fixture.config.max_pending_deletes = 2;
    let storage = fixture.open().await.unwrap();
    let kind = |result: crate::Result<TombstoneId>| result.map_err(|e| e.kind());
    let range = TimeRange::new(5, 5);
    let empty = delete_one(&storage, delete(Signal::Logs, "a", None, range)).await;
    assert_eq!(kind(empty), Err(ErrorKind::Invalid));
    let unreadable = delete_one(&storage, delete(Signal::Logs, "a", Some(""), TimeRange::ALL)).await;
    assert_eq!(kind(unreadable), Err(ErrorKind::Invalid));
    let samples = delete_one(&storage, delete(Signal::Metrics, "a", Some("x"), TimeRange::ALL)).await;
    assert_eq!(kind(samples), Err(ErrorKind::Invalid));
    let ask = delete(Signal::Logs, "a", None, TimeRange::ALL);
    let three = storage.create_deletes(&tenant(), vec![ask.clone(); 3]).await;
    assert_eq!(three.unwrap_err().kind(), ErrorKind::Limit);
    storage.create_deletes(&tenant(), vec![ask.clone(); 2]).await.unwrap();
    let error = delete_one(&storage, ask.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("deletes.max_pending is 2"), "{error}");
    // What has nothing to hide and cannot be cancelled waits for nothing, and is forgotten in the end.
    fixture.clock.advance(DAY);
    delete_one(&storage, ask.clone()).await.unwrap();
    assert_eq!(storage.deletes(&tenant(), Signal::Logs).len(), 3);
    fixture.clock.advance(DAY * 31);
    delete_one(&storage, ask).await.unwrap();
    assert_eq!(storage.deletes(&tenant(), Signal::Logs).len(), 1);
}

#[tokio::test]
async fn a_delete_that_fails_hides_nothing_or_is_found_again() {
    for point in FailPoints::DELETE {
        let fixture = StoreFixture::new(4);
        let storage = fixture.open().await.unwrap();
        let row = |app: &str, line: &str| Row {
            app: app.into(),
            time: NOW,
            line: line.into(),
        };
        write(&storage, Signal::Metrics, &[row("a", "1")]).await;
        fixture.fail_points.arm(point, 0, FailAction::Stall);
        let stalled = tokio::spawn({
            let storage = storage.clone();
            async move { delete_one(&storage, delete(Signal::Metrics, "a", None, TimeRange::ALL)).await }
        });
        fixture.fail_points.reached().await;
        // What arrives while the delete is under way is not covered by it.
        write(&storage, Signal::Metrics, &[row("b", "2"), row("a", "3")]).await;
        stalled.abort();
        drop((stalled, storage));
        let crashed = fixture.disk.clone();
        crashed.crash();
        let storage = fixture.open().await.unwrap();
        let found = read(&storage, Signal::Metrics, TimeRange::ALL).await;
        let expected = [row("b", "2"), row("a", "3")];
        assert_eq!(found, expected.into_iter().collect(), "{point}");
        let committed = storage.deletes(&tenant(), Signal::Metrics).len();
        assert_eq!(committed, usize::from(point == "delete.committed"));
    }
}

#[tokio::test]
async fn a_delete_of_unknown_outcome_is_there_once_the_catalog_is_read() {
    let fixture = StoreFixture::new(5);
    let (storage, store) = fixture.open_faulty().await.unwrap();
    let row = Row {
        app: "a".into(),
        time: NOW,
        line: "1".into(),
    };
    write(&storage, Signal::Metrics, std::slice::from_ref(&row)).await;
    storage.flush().await.unwrap();
    store.set_faults(Faults {
        answer_lost: 1.0,
        ..Faults::default()
    });
    let error = delete_one(&storage, delete(Signal::Metrics, "a", None, TimeRange::ALL))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    store.set_faults(Faults::default());
    storage.flush().await.unwrap();
    let known = storage.deletes(&tenant(), Signal::Metrics);
    assert_eq!(known.len(), 1, "its answer was lost, not the delete");
    assert!(read(&storage, Signal::Metrics, TimeRange::ALL).await.is_empty());
}

/// Opens a store whose last handle was dropped; its background task may hold the folder for a moment more.
async fn open_again(fixture: &StoreFixture) -> Storage {
    loop {
        match fixture.open().await {
            Ok(storage) => return storage,
            Err(error) => assert!(error.to_string().contains("in use by another"), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Random writes, flushes, deletes, cancels and restarts; after each step every read path agrees with a list of rows.
#[tokio::test]
async fn every_read_path_agrees_with_a_list_of_rows() {
    for seed in 0..8 {
        let signal = if seed % 2 == 0 { Signal::Logs } else { Signal::Metrics };
        run(seed, signal).await;
    }
}

struct Known {
    row: Row,
    /// Deletes that were made after it was written and hide it.
    hidden_by: Vec<TombstoneId>,
}

async fn run(seed: u64, signal: Signal) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut fixture = StoreFixture::new(seed);
    fixture.config.catalog.checkpoint_every = 5;
    let mut storage = fixture.open().await.unwrap();
    let mut rows: Vec<Known> = Vec::new();
    let mut live: Vec<TombstoneId> = Vec::new();
    for step in 0..60 {
        match rng.random_range(0..10) {
            0..4 => {
                let new: Vec<Row> = (0..rng.random_range(1..30))
                    .map(|_| Row {
                        app: ["a", "b", "ab", "c"][rng.random_range(0..4)].into(),
                        // Hours apart now and then, so that there are several segments.
                        time: NOW + rng.random_range(0..40) * SECOND - rng.random_range(0..3) * 7200 * SECOND,
                        line: format!("{}", rng.random_range(0..25)),
                    })
                    .collect();
                write(&storage, signal, &new).await;
                rows.extend(new.into_iter().map(|row| Known {
                    row,
                    hidden_by: Vec::new(),
                }));
            }
            4..6 => drop(storage.flush().await.unwrap()),
            6..8 => {
                let app = ["a", "a.*", "b|c", ".*"][rng.random_range(0..4)];
                let start = NOW + rng.random_range(-20..40) * SECOND - rng.random_range(0..3) * 7200 * SECOND;
                let range = TimeRange::new(start, start + rng.random_range(1..30) * SECOND);
                let needle =
                    (signal == Signal::Logs && rng.random_bool(0.5)).then(|| rng.random_range(0..25).to_string());
                let filter = match (&needle, rng.random_bool(0.5)) {
                    (Some(needle), true) => Some(format!("k={needle}")),
                    (needle, _) => needle.clone(),
                };
                let by_metadata = filter.as_ref().is_some_and(|f| f.starts_with("k="));
                let id = delete_one(&storage, delete(signal, app, filter.as_deref(), range))
                    .await
                    .unwrap();
                live.push(id);
                let selector = LabelMatcher::new("app", MatchOp::Regex, app).unwrap();
                for known in &mut rows {
                    let row = &known.row;
                    let matches = match &needle {
                        None => true,
                        Some(needle) if by_metadata => row.line == *needle,
                        Some(needle) => row.line.contains(needle.as_str()),
                    };
                    if selector.matches(&row.app) && range.contains(row.time) && matches {
                        known.hidden_by.push(id);
                    }
                }
            }
            8 if !live.is_empty() => {
                let id = live.swap_remove(rng.random_range(0..live.len()));
                storage.cancel_delete(&tenant(), signal, id, false).await.unwrap();
                rows.iter_mut().for_each(|known| known.hidden_by.retain(|by| *by != id));
            }
            _ => {
                drop(storage);
                // Every run of a server has a seed of its own.
                fixture.seed += 1000;
                storage = open_again(&fixture).await;
            }
        }
        let all = TimeRange::new(NOW - 8 * 3600 * SECOND, NOW + 3600 * SECOND);
        let piece = TimeRange::new(NOW + 5 * SECOND, NOW + 15 * SECOND);
        for range in [all, piece] {
            let visible = rows
                .iter()
                .filter(|k| k.hidden_by.is_empty() && range.contains(k.row.time));
            let mut expected: BTreeSet<Row> = visible.map(|k| k.row.clone()).collect();
            if signal == Signal::Metrics {
                expected = greatest(expected);
            }
            let found = read(&storage, signal, range).await;
            assert_eq!(found, expected, "seed {seed} step {step}");
            if signal == Signal::Metrics {
                check_indexes(&storage, signal, range, &expected, false).await;
            }
        }
    }
}

/// Of samples of one series and time the greatest, as reads resolve them.
fn greatest(rows: BTreeSet<Row>) -> BTreeSet<Row> {
    let mut best: std::collections::BTreeMap<(String, i64), u32> = Default::default();
    for row in rows {
        let value: u32 = row.line.parse().unwrap();
        let kept = best.entry((row.app, row.time)).or_default();
        *kept = value.max(*kept);
    }
    let row = |((app, time), value): ((String, i64), u32)| Row {
        app,
        time,
        line: value.to_string(),
    };
    best.into_iter().map(row).collect()
}
