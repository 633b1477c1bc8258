//! The gate: order, limits, who leaves the queue how, and the engine behind it.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use garner_storage::memory::MemoryAccountant;
use garner_storage::model::TenantId;
use garner_storage::testing::ManualClock;
use proptest::prelude::*;

use super::turns::Turns;
use super::{Gate, GateLimits, Permit, TurnedAway};
use crate::engine::{Engine, EngineLimits, QueryOptions};
use crate::error::{QueryError, QueryErrorKind};
use crate::logql::run::LogqlOptions;
use crate::testing::TestStore;

type Entering<'a> = Pin<Box<dyn Future<Output = Result<Permit, TurnedAway>> + 'a>>;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn gate(max_concurrent: usize, max_queued: usize) -> (Gate, ManualClock) {
    let clock = ManualClock::new(0);
    let limits = GateLimits {
        max_concurrent,
        max_queued,
    };
    (Gate::new(limits, Arc::new(clock.clone())), clock)
}

/// Where a query stands after one more look.
fn poll(entering: &mut Entering<'_>) -> Poll<Result<Permit, TurnedAway>> {
    entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A query of `tenant` that has arrived and waits.
fn waits<'a>(gate: &'a Gate, tenant: &'a TenantId) -> Entering<'a> {
    let mut entering: Entering<'a> = Box::pin(gate.enter(tenant));
    assert!(poll(&mut entering).is_pending());
    entering
}

fn enters(entering: &mut Entering<'_>) -> Permit {
    match poll(entering) {
        Poll::Ready(permit) => permit.unwrap(),
        Poll::Pending => unreachable!("it waits"),
    }
}

#[test]
fn so_many_run_and_the_others_follow_in_order() {
    let (gate, clock) = gate(2, 10);
    let a = tenant("a");
    let mut first: Entering<'_> = Box::pin(gate.enter(&a));
    let mut second: Entering<'_> = Box::pin(gate.enter(&a));
    let (first, second) = (enters(&mut first), enters(&mut second));
    assert_eq!(first.waited_ns(), 0);
    let (mut third, mut fourth) = (waits(&gate, &a), waits(&gate, &a));
    assert_eq!((gate.counts().running, gate.counts().waiting), (2, 2));
    clock.advance(Duration::from_millis(50));
    drop(second);
    assert!(poll(&mut fourth).is_pending());
    let third = enters(&mut third);
    assert_eq!(third.waited_ns(), 50_000_000);
    drop(first);
    drop(enters(&mut fourth));
    drop(third);
    let counts = gate.counts();
    assert_eq!((counts.running, counts.waiting), (0, 0));
    assert_eq!(counts.waits, [2, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counts.waited_ns, 100_000_000);
    assert_eq!((counts.queue_full, counts.timed_out, counts.left), (0, 0, 0));
}

#[test]
fn nobody_overtakes_a_queue() {
    let (gate, _) = gate(1, 10);
    let a = tenant("a");
    let running = enters(&mut (Box::pin(gate.enter(&a)) as Entering<'_>));
    let mut early = waits(&gate, &a);
    drop(running);
    // The permit is on its way to the one that waits already.
    let mut late = waits(&gate, &a);
    drop(enters(&mut early));
    drop(enters(&mut late));
}

#[test]
fn who_leaves_is_gone_at_once_and_takes_no_permit_along() {
    let (gate, _) = gate(1, 10);
    let a = tenant("a");
    let running = enters(&mut (Box::pin(gate.enter(&a)) as Entering<'_>));
    let (leaves, called, mut stays) = (waits(&gate, &a), waits(&gate, &a), waits(&gate, &a));
    drop(leaves);
    assert_eq!(gate.counts().waiting, 2);
    drop(running);
    // Its permit is there, but it goes without having looked.
    drop(called);
    drop(enters(&mut stays));
    let counts = gate.counts();
    assert_eq!((counts.running, counts.waiting, counts.left), (0, 0, 2));
}

#[test]
fn tenants_have_their_turn_whatever_others_have_waiting() {
    let (gate, _) = gate(1, 100);
    let (a, b, c) = (tenant("a"), tenant("b"), tenant("c"));
    let mut running = enters(&mut (Box::pin(gate.enter(&a)) as Entering<'_>));
    let mut queue: Vec<(&str, Entering<'_>)> = (0..4).map(|_| ("a", waits(&gate, &a))).collect();
    queue.push(("b", waits(&gate, &b)));
    queue.push(("b", waits(&gate, &b)));
    queue.push(("c", waits(&gate, &c)));
    let mut order = String::new();
    while !queue.is_empty() {
        drop(running);
        let ready: Vec<_> = queue.iter_mut().map(|(_, entering)| poll(entering)).collect();
        let (at, permit) = ready
            .into_iter()
            .enumerate()
            .find_map(|(at, poll)| match poll {
                Poll::Ready(permit) => Some((at, permit.unwrap())),
                Poll::Pending => None,
            })
            .unwrap();
        running = permit;
        order.push_str(queue.remove(at).0);
    }
    assert_eq!(order, "abcabaa");
}

#[test]
fn a_full_queue_turns_away_the_tenant_that_has_most_in_it() {
    let (gate, _) = gate(1, 3);
    let (a, b) = (tenant("a"), tenant("b"));
    let running = enters(&mut (Box::pin(gate.enter(&a)) as Entering<'_>));
    let (mut first, mut second, mut third) = (waits(&gate, &a), waits(&gate, &a), waits(&gate, &a));
    let mut fourth: Entering<'_> = Box::pin(gate.enter(&a));
    assert!(matches!(poll(&mut fourth), Poll::Ready(Err(TurnedAway))));
    // The other tenant gets a place, which the newest of the first one gives up.
    let mut other = waits(&gate, &b);
    assert!(matches!(poll(&mut third), Poll::Ready(Err(TurnedAway))));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    // Now it would have as many: it is its own that goes.
    let mut more: Entering<'_> = Box::pin(gate.enter(&b));
    assert!(matches!(poll(&mut more), Poll::Ready(Err(TurnedAway))));
    assert_eq!((gate.counts().waiting, gate.counts().queue_full), (3, 3));
    drop(running);
    drop(enters(&mut first));
    drop(enters(&mut other));
    drop(enters(&mut second));
    assert_eq!((gate.counts().running, gate.counts().left), (0, 0));
}

#[test]
fn without_a_queue_what_cannot_run_at_once_is_turned_away() {
    let (gate, _) = gate(1, 0);
    let a = tenant("a");
    let running = enters(&mut (Box::pin(gate.enter(&a)) as Entering<'_>));
    let mut second: Entering<'_> = Box::pin(gate.enter(&a));
    assert!(matches!(poll(&mut second), Poll::Ready(Err(TurnedAway))));
    drop(running);
    let mut third: Entering<'_> = Box::pin(gate.enter(&a));
    drop(enters(&mut third));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Beside a plain model: who arrived, in order, and tenants in a ring.
    #[test]
    fn turns_are_those_of_a_model(steps in prop::collection::vec((0..3u8, 0..4u8, 0..8usize), 1..60)) {
        let mut turns: Turns<u8, u32> = Turns::default();
        let mut model: Vec<(u8, Vec<(u64, u32)>)> = Vec::new();
        for (number, (action, key, at)) in (0u32..).zip(steps) {
            match action {
                0 => {
                    let ticket = turns.push(&key, number);
                    match model.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, queue)) => queue.push((ticket, number)),
                        None => model.push((key, vec![(ticket, number)])),
                    }
                }
                1 => {
                    let expected = (!model.is_empty()).then(|| {
                        let (key, mut queue) = model.remove(0);
                        let (_, waiter) = queue.remove(0);
                        if !queue.is_empty() {
                            model.push((key, queue));
                        }
                        waiter
                    });
                    prop_assert_eq!(turns.pop(), expected);
                }
                _ => {
                    let Some((_, queue)) = model.iter_mut().find(|(k, _)| *k == key) else { continue };
                    let (ticket, waiter) = queue.remove(at % queue.len());
                    model.retain(|(_, queue)| !queue.is_empty());
                    prop_assert_eq!(turns.remove(&key, ticket), Some(waiter));
                    prop_assert_eq!(turns.remove(&key, ticket), None);
                }
            }
            prop_assert_eq!(turns.len(), model.iter().map(|(_, queue)| queue.len()).sum::<usize>());
        }
    }
}

/// An engine over some samples, whose one turn at a time is at most `timeout` long.
fn engine(timeout: Duration, max_queued: usize) -> Engine {
    let mut store = TestStore::new();
    store.load(&[("__name__", "m")], 1_000_000_000, &[Some(1.0), Some(2.0)]);
    let limits = EngineLimits {
        timeout,
        gate: GateLimits {
            max_concurrent: 1,
            max_queued,
        },
        ..EngineLimits::default()
    };
    let clock = Arc::new(ManualClock::new(0));
    Engine::new(store.reader(), MemoryAccountant::new(1 << 30), limits, clock)
}

fn refused<T>(result: Result<T, QueryError>) -> (QueryErrorKind, String) {
    let error = result.map(|_| ()).unwrap_err();
    (error.kind(), error.message().to_string())
}

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

#[tokio::test]
async fn time_in_the_queue_counts() {
    let engine = engine(LONG, 10);
    let a = tenant("a");
    let holder = engine.gate().enter(&a).await.unwrap();
    let promql = QueryOptions {
        timeout: Some(SHORT),
        ..QueryOptions::default()
    };
    let logql = LogqlOptions {
        timeout: Some(SHORT),
        ..LogqlOptions::default()
    };
    let out_of_time = (QueryErrorKind::Timeout, "query timed out in query queue".to_string());
    assert_eq!(refused(engine.promql_instant(&a, "m", 0, promql).await), out_of_time);
    let lines = engine.logql_range(&a, r#"{a="b"}"#, 0, 1, 1, logql).await;
    assert_eq!(refused(lines), out_of_time);
    let count = engine
        .logql_instant(&a, r#"count_over_time({a="b"}[1s])"#, 0, logql)
        .await;
    assert_eq!(refused(count), out_of_time);
    let several = [a.clone(), tenant("b")];
    let lines = engine.logql_range_of(&several, r#"{a="b"}"#, (0, 1, 1), logql).await;
    assert_eq!(refused(lines), out_of_time);
    let counts = engine.gate_counts();
    assert_eq!((counts.timed_out, counts.left, counts.waiting), (4, 0, 0));
    drop(holder);
    // With the engine's own time, since a busy machine may need more than a short one.
    assert!(engine.promql_instant(&a, "m", 0, QueryOptions::default()).await.is_ok());
}

#[tokio::test]
async fn what_reads_nothing_waits_for_nobody() {
    let engine = engine(LONG, 0);
    let a = tenant("a");
    let _holder = engine.gate().enter(&a).await.unwrap();
    for text in ["1 + 1", "vector(1) + vector(time())", "\"text\"", "-scalar(vector(1))"] {
        let answer = engine.promql_instant(&a, text, 0, QueryOptions::default()).await;
        assert!(answer.is_ok(), "{text}: {answer:?}");
    }
    let answer = engine.logql_instant(&a, "vector(1)+vector(1)", 0, LogqlOptions::default());
    assert!(answer.await.is_ok());
    for text in ["m", "vector(1) + m", "sum(vector(1) + vector(scalar(m)))", "m[1m]"] {
        assert_eq!(
            refused(engine.promql_instant(&a, text, 0, QueryOptions::default()).await),
            (QueryErrorKind::TooMany, "too many outstanding requests".to_string()),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_query_that_has_its_turn_gets_no_second_one() {
    let engine = engine(LONG, 10);
    let a = tenant("a");
    let nested = engine.in_turn(&a, None, |_| engine.promql_instant(&a, "m", 0, QueryOptions::default()));
    assert_eq!(refused(nested.await).0, QueryErrorKind::Internal);
    // The turn of several tenants is one for all.
    let several = [a.clone(), tenant("b"), tenant("c")];
    let lines = engine.logql_range_of(&several, r#"{a="b"}"#, (0, 1, 1), LogqlOptions::default());
    assert!(lines.await.is_ok());
    assert_eq!(engine.gate_counts().running, 0);
}

#[tokio::test]
async fn a_query_whose_future_is_dropped_gives_its_turn_back() {
    let engine = engine(LONG, 10);
    let a = tenant("a");
    {
        let mut running = Box::pin(engine.in_turn::<(), QueryError, _>(&a, None, |_| std::future::pending()));
        assert!(
            running
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(engine.gate_counts().running, 1);
    }
    assert_eq!(engine.gate_counts().running, 0);
    assert!(engine.promql_instant(&a, "m", 0, QueryOptions::default()).await.is_ok());
}
