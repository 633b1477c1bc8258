//! Compaction, retention and deletion of a whole store: what is read never changes, whatever fails on the way.
#![allow(clippy::unwrap_used)]

mod deletes;
mod failures;
mod merges;
mod retention;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::compaction::Depth;
use crate::error::ErrorKind;
use crate::flush::{FailAction, FailPoints};
use crate::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use crate::object::paths;
use crate::retention::{RetentionRules, RetentionSettings, StreamRule};
use crate::scan::{SeriesRequest, StoreReader, dedup};
use crate::testing::{Entry, Faults, StoreFixture, read_entries, read_samples, scan_context};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_735_689_600 * SECOND;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// What was written: what reads must answer.
#[derive(Clone, Default)]
struct Written {
    samples: BTreeMap<(TenantId, String, i64), f64>,
    entries: BTreeSet<(TenantId, Entry)>,
}

impl Written {
    /// Writes random rows of the last `days` days, some of them for a second time.
    async fn write(&mut self, storage: &Storage, rng: &mut StdRng, days: i64) {
        for name in ["a", "b"] {
            let tenant = tenant(name);
            let mut append = storage.begin_samples(&tenant).await.unwrap();
            for _ in 0..rng.random_range(0..60) {
                let series = format!("m{}", rng.random_range(0..8));
                let labels = Labels::from_pairs([("__name__", series.as_str()), ("job", "j")]);
                let id = append.register(labels.fingerprint(), labels).unwrap();
                let time = START - rng.random_range(0..days * 24) * HOUR + rng.random_range(0..5) * SECOND;
                let value = f64::from(rng.random_range(0..9));
                append.push(id, time, value);
                self.samples
                    .entry((tenant.clone(), series, time))
                    .and_modify(|v| *v = dedup::resolve_values(*v, value))
                    .or_insert(value);
            }
            append.commit().await.unwrap();
            let mut append = storage.begin_logs(&tenant).await.unwrap();
            for _ in 0..rng.random_range(0..60) {
                let app = format!("s{}", rng.random_range(0..6));
                let stream = Labels::from_pairs([("app", app.as_str())]);
                let id = append.register(stream.fingerprint(), stream.clone()).unwrap();
                let time = START - rng.random_range(0..days * 24) * HOUR + rng.random_range(0..3);
                let line = format!("line {}", rng.random_range(0..3));
                let trace = rng.random_range(0..2).to_string();
                let metadata = [("trace", trace.as_str())];
                append.push(id, time, line.as_bytes(), &metadata, Some("info"));
                let entry = Entry {
                    stream,
                    time,
                    line: line.into_bytes(),
                    metadata: Labels::from_pairs(metadata),
                    derived: Labels::from_pairs([("detected_level", "info")]),
                };
                self.entries.insert((tenant.clone(), entry));
            }
            append.commit().await.unwrap();
        }
    }

    /// Compares everything that can be read.
    async fn check(&self, reader: &dyn StoreReader, what: &str) {
        self.check_those(reader, what, |_, _| true).await;
    }

    async fn check_those(&self, reader: &dyn StoreReader, what: &str, kept: impl Fn(&Labels, i64) -> bool) {
        for name in ["a", "b"] {
            let tenant = tenant(name);
            let found = read_samples(reader, &tenant, &[], TimeRange::ALL).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(labels, time, value)| (labels.get("__name__").unwrap().to_string(), *time, *value))
                .collect();
            let expected: Vec<_> = self
                .samples
                .iter()
                .filter(|((t, series, time), _)| {
                    *t == tenant
                        && kept(
                            &Labels::from_pairs([("__name__", series.as_str()), ("job", "j")]),
                            *time,
                        )
                })
                .map(|((_, series, time), value)| (series.clone(), *time, *value))
                .collect();
            assert_eq!(found, expected, "{what}: samples of {name}");
            let found = read_entries(reader, &tenant, &[], TimeRange::ALL).await.unwrap();
            let own = self
                .entries
                .iter()
                .filter(|(t, e)| *t == tenant && kept(&e.stream, e.time));
            let expected: Vec<Entry> = own.map(|(_, e)| e.clone()).collect();
            assert_eq!(found, expected, "{what}: entries of {name}");
            for (signal, label) in [(Signal::Metrics, "__name__"), (Signal::Logs, "app")] {
                let request = SeriesRequest {
                    signal,
                    matchers: Vec::new(),
                    range: TimeRange::ALL,
                };
                let view = reader.view(&tenant).unwrap();
                let values = view.label_values(label, &request, &scan_context()).await.unwrap();
                let expected: BTreeSet<String> = match signal {
                    Signal::Metrics => self
                        .samples
                        .keys()
                        .filter(|(t, series, time)| {
                            *t == tenant
                                && kept(
                                    &Labels::from_pairs([("__name__", series.as_str()), ("job", "j")]),
                                    *time,
                                )
                        })
                        .map(|(_, series, _)| series.clone())
                        .collect(),
                    Signal::Logs => self
                        .entries
                        .iter()
                        .filter(|(t, e)| *t == tenant && kept(&e.stream, e.time))
                        .map(|(_, e)| e.stream.get("app").unwrap().to_string())
                        .collect(),
                };
                assert_eq!(
                    values,
                    expected.into_iter().collect::<Vec<_>>(),
                    "{what}: {label} of {name}"
                );
            }
        }
    }

    fn rows(&self) -> u64 {
        (self.samples.len() + self.entries.len()) as u64
    }
}

/// Every object of segments in the bucket.
async fn objects(fixture: &StoreFixture) -> Vec<String> {
    use futures::TryStreamExt;
    use object_store::ObjectStore;
    let prefix = object_store::path::Path::from(paths::SEGMENTS_PREFIX);
    let metas: Vec<_> = fixture.objects.list(Some(&prefix)).try_collect().await.unwrap();
    metas.into_iter().map(|meta| meta.location.to_string()).collect()
}

/// A store of several flushes over the last `days` days.
async fn filled(fixture: &StoreFixture, seed: u64, days: i64, flushes: usize) -> (Storage, Written) {
    let storage = fixture.open().await.unwrap();
    let (mut written, mut rng) = (Written::default(), StdRng::seed_from_u64(seed));
    for _ in 0..flushes {
        written.write(&storage, &mut rng, days).await;
        storage.flush().await.unwrap();
    }
    (storage, written)
}

fn days(days: u64) -> RetentionRules {
    RetentionRules {
        period: Duration::from_secs(days * 24 * 3600),
        streams: Vec::new(),
    }
}
