//! A kept result is used exactly as long as it is right.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use garner_storage::compaction::Depth;
use garner_storage::engine::{DeleteRequest, Storage};
use garner_storage::memory::{MemoryAccountant, MemoryUse};
use garner_storage::model::{LabelMatcher, Labels, MatchOp, Signal, TenantId, TimeRange};
use garner_storage::retention::{RetentionRules, RetentionSettings};
use garner_storage::testing::StoreFixture;
use proptest::prelude::*;

use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::logql::run::LogqlOptions;
use crate::output::QueryOutput;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
/// The fixture's clock in the beginning.
const NOW: i64 = 1_735_689_600 * SECOND;
const BUDGET: u64 = 1 << 20;

struct Fixture {
    store: StoreFixture,
    storage: Storage,
    account: MemoryAccountant,
    /// With the cache, and without.
    cached: Engine,
    plain: Engine,
}

impl Fixture {
    async fn new(change: impl FnOnce(&mut StoreFixture)) -> Fixture {
        let mut store = StoreFixture::new(1);
        change(&mut store);
        let storage = store.open().await.unwrap();
        let account = MemoryAccountant::new(1 << 30);
        let engine = |result_cache_bytes| {
            let limits = EngineLimits {
                result_cache_bytes,
                ..EngineLimits::default()
            };
            let reader = Arc::new(storage.clone());
            Engine::new(reader, account.clone(), limits, Arc::new(store.clock.clone()))
        };
        let (cached, plain) = (engine(BUDGET), engine(0));
        Fixture {
            store,
            storage,
            account,
            cached,
            plain,
        }
    }

    async fn write(&self, whose: &str, name: &str, time_ns: i64, value: f64) {
        let mut append = self.storage.begin_samples(&tenant(whose)).await.unwrap();
        let labels = Labels::from_pairs([("__name__", name), ("job", "j")]);
        let id = append.register(labels.fingerprint(), labels).unwrap();
        append.push(id, time_ns, value);
        append.commit().await.unwrap();
    }

    async fn write_log(&self, whose: &str, app: &str, time_ns: i64, line: &str) {
        let mut append = self.storage.begin_logs(&tenant(whose)).await.unwrap();
        let labels = Labels::from_pairs([("app", app)]);
        let id = append.register(labels.fingerprint(), labels).unwrap();
        append.push(id, time_ns, line.as_bytes(), &[], None);
        append.commit().await.unwrap();
    }

    async fn flush(&self) {
        self.storage.flush().await.unwrap();
    }

    async fn compact(&self) {
        while self.storage.compact_once(Depth::Full).await.unwrap().is_some() {}
    }

    async fn delete(&self, signal: Signal, name: &str, value: &str, range: TimeRange) {
        let request = DeleteRequest {
            signal,
            matchers: vec![LabelMatcher::new(name, MatchOp::Equal, value).unwrap()],
            filter: None,
            range,
            query: value.into(),
            cancel_period: Duration::from_secs(3600),
        };
        self.storage.create_deletes(&tenant("a"), vec![request]).await.unwrap();
    }

    /// Asks for ten minutes from [`NOW`] on; whether it was a hit. The answer must be that of no cache.
    async fn ask(&self, text: &str) -> bool {
        self.ask_range("a", text, NOW, NOW + 10 * MINUTE, MINUTE).await
    }

    async fn ask_range(&self, whose: &str, text: &str, start_ns: i64, end_ns: i64, step_ns: i64) -> bool {
        let ask = async |engine: &Engine| {
            let tenant = tenant(whose);
            let output = engine.promql_range(&tenant, text, start_ns, end_ns, step_ns, QueryOptions::default());
            output.await.unwrap()
        };
        same(ask(&self.cached).await, ask(&self.plain).await)
    }

    async fn ask_logs(&self, whose: &str, text: &str) -> bool {
        let ask = async |engine: &Engine| {
            let (tenant, options) = (tenant(whose), LogqlOptions::default());
            let output = engine.logql_range(&tenant, text, NOW, NOW + 10 * MINUTE, MINUTE, options);
            output.await.unwrap()
        };
        let (kept, fresh) = (ask(&self.cached).await, ask(&self.plain).await);
        assert_eq!(format!("{:?}", kept.value), format!("{:?}", fresh.value));
        kept.stats.result_cache_hits == 1
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Checks that answers agree; whether the first was kept.
fn same(kept: QueryOutput, fresh: QueryOutput) -> bool {
    let shown = |o: &QueryOutput| format!("{:?} {:?} {:?}", o.value, o.warnings, o.infos);
    assert_eq!(shown(&kept), shown(&fresh));
    assert_eq!(
        (kept.stats.rows, kept.stats.bytes),
        (fresh.stats.rows, fresh.stats.bytes)
    );
    assert_eq!(fresh.stats.result_cache_hits, 0);
    let hit = kept.stats.result_cache_hits == 1;
    if hit {
        assert_eq!((kept.stats.pages, kept.stats.object_requests), (0, 0));
    }
    hit
}

/// Some samples of `m` and `n` in a segment.
async fn filled() -> Fixture {
    let fixture = Fixture::new(|_| ()).await;
    for at in 0..10 {
        fixture.write("a", "m", NOW + at * MINUTE, at as f64).await;
        fixture.write("a", "n", NOW + at * MINUTE, 1.0).await;
    }
    fixture.flush().await;
    fixture
}

#[tokio::test]
async fn what_rests_on_segments_is_kept() {
    let fixture = filled().await;
    for text in [
        "m",
        "sum(rate(m[5m])) + on() n",
        "m offset 3m",
        "max_over_time(m[4m:1m])",
        "-m",
        "absent(m)",
    ] {
        assert!(!fixture.ask(text).await, "{text}");
        assert!(fixture.ask(text).await, "{text}");
    }
    // Infos are kept with it.
    assert!(!fixture.ask("rate(n[5m])").await);
    assert!(fixture.ask("rate(n[5m])").await);
    let counts = fixture.cached.result_counts();
    assert_eq!((counts.hits, counts.misses, counts.entries), (7, 7, 7));
    assert_eq!(fixture.account.used_bytes(MemoryUse::Cache), counts.bytes);
}

#[tokio::test]
async fn what_a_request_changes_makes_another_answer() {
    let fixture = filled().await;
    assert!(!fixture.ask("m").await);
    assert!(!fixture.ask_range("a", "m", NOW, NOW + 9 * MINUTE, MINUTE).await);
    assert!(
        !fixture
            .ask_range("a", "m", NOW + SECOND, NOW + 10 * MINUTE, MINUTE)
            .await
    );
    assert!(!fixture.ask_range("a", "m", NOW, NOW + 10 * MINUTE, 2 * MINUTE).await);
    // The end between two steps is no step, but `end()` sees it.
    for seconds in [0, 20, 40] {
        let end_ns = NOW + 8 * MINUTE + seconds * SECOND;
        assert!(
            !fixture.ask_range("a", "m @ end()", NOW, end_ns, MINUTE).await,
            "{seconds}"
        );
    }
    let looking = async |engine: &Engine, minutes: u64, time_ns: i64| {
        let options = QueryOptions {
            lookback_delta: Some(Duration::from_secs(60 * minutes)),
            ..QueryOptions::default()
        };
        engine
            .promql_instant(&tenant("a"), "m", time_ns, options)
            .await
            .unwrap()
    };
    for minutes in [1, 3] {
        // Three minutes after the last sample.
        let time_ns = NOW + 11 * MINUTE + 30 * SECOND;
        let (kept, fresh) = (
            looking(&fixture.cached, minutes, time_ns).await,
            looking(&fixture.plain, minutes, time_ns).await,
        );
        assert!(!same(kept, fresh), "{minutes}");
    }
    // Another tenant with a series of that name: never the first one's.
    fixture.write("b", "m", NOW, 70.0).await;
    fixture.flush().await;
    assert!(!fixture.ask_range("b", "m", NOW, NOW + 10 * MINUTE, MINUTE).await);
    assert!(fixture.ask("m").await);
}

#[tokio::test]
async fn a_text_of_both_languages_is_two_queries() {
    let fixture = Fixture::new(|_| ()).await;
    fixture.write_log("a", "x", NOW + MINUTE, "line").await;
    let mut append = fixture.storage.begin_samples(&tenant("a")).await.unwrap();
    let labels = Labels::from_pairs([("__name__", "m"), ("app", "x")]);
    let id = append.register(labels.fingerprint(), labels).unwrap();
    append.push(id, NOW + MINUTE, 1.0);
    append.push(id, NOW + 2 * MINUTE, 1.0);
    append.commit().await.unwrap();
    fixture.flush().await;
    let text = "count_over_time({app=\"x\"}[5m])";
    assert!(!fixture.ask(text).await);
    assert!(!fixture.ask_logs("a", text).await);
    assert!(fixture.ask(text).await);
    assert!(fixture.ask_logs("a", text).await);
    // A line that comes later, into its range, and in the end into a segment.
    fixture.write_log("a", "x", NOW + 2 * MINUTE, "line").await;
    assert!(!fixture.ask_logs("a", text).await);
    assert!(fixture.ask(text).await);
    fixture.flush().await;
    assert!(!fixture.ask_logs("a", text).await);
    assert!(fixture.ask_logs("a", text).await);
}

#[tokio::test]
async fn recent_rows_count_where_they_match_in_range() {
    let fixture = filled().await;
    assert!(!fixture.ask("m").await);
    // Another series, and far outside.
    fixture.write("a", "other", NOW + MINUTE, 1.0).await;
    fixture.write("a", "m", NOW + 500 * MINUTE, 1.0).await;
    fixture.flush().await;
    fixture.write("a", "other", NOW + MINUTE, 1.0).await;
    // A segment came that overlaps in time; who knows what it holds.
    assert!(!fixture.ask("m").await);
    assert!(fixture.ask("m").await);
    fixture.write("a", "m", NOW + 600 * MINUTE, 1.0).await;
    // A recent row of the series, before the first step, inside its lookback.
    let text = "m + 0";
    fixture.flush().await;
    assert!(!fixture.ask(text).await);
    assert!(fixture.ask(text).await);
    fixture.write("a", "m", NOW - MINUTE, 8.0).await;
    assert!(!fixture.ask(text).await);
    assert!(!fixture.ask(text).await);
    // Before the lookback, but inside the window of another.
    assert!(!fixture.ask("sum_over_time(m[1h])").await);
    assert!(!fixture.ask("sum_over_time(m[1h])").await);
}

#[tokio::test]
async fn deletes_compaction_and_retention_end_it() {
    let period = Duration::from_secs(3600);
    let fixture = Fixture::new(|store| {
        let rules = RetentionRules {
            period,
            ..RetentionRules::default()
        };
        store.config.retention = Arc::new(RetentionSettings {
            defaults: [rules.clone(), rules],
            ..RetentionSettings::default()
        });
    })
    .await;
    for round in 0..2 {
        for at in 0..10 {
            fixture.write("a", "m", NOW + at * MINUTE + round, at as f64).await;
        }
        fixture.flush().await;
    }
    assert!(!fixture.ask("m").await);
    assert!(fixture.ask("m").await);
    fixture.compact().await;
    assert!(!fixture.ask("m").await);
    assert!(fixture.ask("m").await);
    // A delete, and its end.
    let range = TimeRange::new(NOW, NOW + 3 * MINUTE);
    fixture.delete(Signal::Metrics, "__name__", "m", range).await;
    assert!(!fixture.ask("m").await);
    assert!(fixture.ask("m").await);
    let id = fixture.storage.deletes(&tenant("a"), Signal::Metrics)[0].tombstone.id;
    let a = tenant("a");
    let cancel = fixture.storage.cancel_delete(&a, Signal::Metrics, id, true);
    cancel.await.unwrap();
    assert!(!fixture.ask("m").await);
    assert!(fixture.ask("m").await);
    // Rows expire while time passes: as long as none of the segment's has, nothing changes.
    fixture.store.clock.advance(Duration::from_secs(50 * 60));
    assert!(fixture.ask("m").await);
    fixture.store.clock.advance(Duration::from_secs(15 * 60));
    assert!(!fixture.ask("m").await);
    fixture.store.clock.advance(Duration::from_secs(2 * 60));
    assert!(!fixture.ask("m").await);
    fixture.store.clock.advance(Duration::from_secs(3600));
    assert!(!fixture.ask("m").await);
}

#[tokio::test]
async fn the_budget_holds() {
    let fixture = filled().await;
    for number in 0..3000 {
        fixture.ask(&format!("m + {number}")).await;
        let counts = fixture.cached.result_counts();
        assert!(counts.bytes <= BUDGET);
        assert_eq!(fixture.account.used_bytes(MemoryUse::Cache), counts.bytes);
    }
    let counts = fixture.cached.result_counts();
    assert!(counts.bytes > BUDGET / 2 && counts.entries < 3000, "{counts:?}");
    // The latest is there, the first one is not.
    assert!(fixture.ask("m + 2999").await);
    assert!(!fixture.ask("m + 0").await);
    // What would take too much of it is not kept.
    let many = |step_ns| fixture.ask_range("a", "m", NOW, NOW + 10 * MINUTE, step_ns);
    assert!(!many(SECOND / 16).await);
    assert!(!many(SECOND / 16).await);
    drop(fixture.cached);
    assert_eq!(fixture.account.used_bytes(MemoryUse::Cache), 0);
}

/// What can happen to a store.
#[derive(Clone, Debug)]
enum Step {
    Sample { name: usize, minute: i64 },
    Line { app: usize, minute: i64 },
    Flush,
    Compact,
    Delete { name: usize, from: i64, minutes: i64 },
    Wait { minutes: u64 },
    Promql { text: usize, from: i64 },
    Logql { text: usize },
}

const NAMES: [&str; 3] = ["m", "n", "o"];
const PROMQL: [&str; 5] = [
    "m",
    "sum(last_over_time({job=\"j\"}[4m]))",
    "n offset 5m or o",
    "m and on() (n > 3)",
    "absent_over_time(o[2m])",
];
const LOGQL: [&str; 3] = [
    "count_over_time({app=~\"m|n\"}[3m])",
    "sum(rate({app=\"o\"} |= \"1\" [5m]))",
    "sum by (app) (bytes_over_time({app=~\".+\"}[2m] offset 4m))",
];

fn step() -> impl Strategy<Value = Step> {
    let minute = -20i64..30;
    prop_oneof![
        4 => (0..NAMES.len(), minute.clone()).prop_map(|(name, minute)| Step::Sample { name, minute }),
        3 => (0..NAMES.len(), minute.clone()).prop_map(|(app, minute)| Step::Line { app, minute }),
        3 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => (0..NAMES.len(), minute, 0i64..20).prop_map(|(name, from, minutes)| Step::Delete { name, from, minutes }),
        1 => (1u64..30).prop_map(|minutes| Step::Wait { minutes }),
        9 => (0..PROMQL.len(), 0i64..2).prop_map(|(text, from)| Step::Promql { text, from }),
        5 => (0..LOGQL.len()).prop_map(|text| Step::Logql { text }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// Through any life of a store each answer is what it would be without the cache ([`Fixture::ask`] compares).
    #[test]
    fn answers_are_those_without_a_cache(steps in proptest::collection::vec(step(), 60..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new(|store| {
                let rules = RetentionRules { period: Duration::from_secs(3600), ..RetentionRules::default() };
                store.config.retention = Arc::new(RetentionSettings {
                    defaults: [rules.clone(), rules],
                    ..RetentionSettings::default()
                });
            }).await;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Sample { name, minute } => {
                        fixture.write("a", NAMES[name], NOW + minute * MINUTE, number as f64).await;
                    }
                    Step::Line { app, minute } => {
                        fixture.write_log("a", NAMES[app], NOW + minute * MINUTE, &format!("line {number}")).await;
                    }
                    Step::Flush => fixture.flush().await,
                    Step::Compact => fixture.compact().await,
                    Step::Delete { name, from, minutes } => {
                        let range = TimeRange::new(NOW + from * MINUTE, NOW + (from + minutes) * MINUTE + 1);
                        fixture.delete(Signal::Metrics, "__name__", NAMES[name], range).await;
                        fixture.delete(Signal::Logs, "app", NAMES[name], range).await;
                    }
                    Step::Wait { minutes } => fixture.store.clock.advance(Duration::from_secs(60 * minutes)),
                    Step::Promql { text, from } => {
                        let from = NOW + 3 * from * MINUTE;
                        fixture.ask_range("a", PROMQL[text], from, from + 10 * MINUTE, MINUTE).await;
                    }
                    Step::Logql { text } => drop(fixture.ask_logs("a", LOGQL[text]).await),
                }
            }
        });
    }
}

#[tokio::test]
async fn a_kept_result_waits_for_no_turn() {
    let fixture = filled().await;
    assert!(!fixture.ask("sum(m)").await);
    let limits = fixture.cached.limits().gate;
    let mut holders = Vec::new();
    for _ in 0..limits.max_concurrent {
        holders.push(fixture.cached.gate().enter(&tenant("a")).await.unwrap());
    }
    assert!(fixture.ask("sum(m)").await);
    // What is not kept waits, and is answered from what an equal one has kept in the meantime.
    let ask = || {
        let (tenant, options) = (tenant("a"), QueryOptions::default());
        let engine = fixture.cached.clone();
        async move {
            let end = NOW + 10 * MINUTE;
            engine
                .promql_range(&tenant, "max(m)", NOW, end, MINUTE, options)
                .await
                .unwrap()
        }
    };
    let clock = fixture.store.clock.clone();
    let (first, second, ()) = tokio::join!(ask(), ask(), async {
        clock.advance(Duration::from_millis(1));
        // One at a time.
        holders.pop();
    });
    assert_eq!((first.stats.result_cache_hits, second.stats.result_cache_hits), (0, 1));
    assert!(first.stats.queued_ns > 0 && second.stats.queued_ns > 0);
    same(second, first);
}
