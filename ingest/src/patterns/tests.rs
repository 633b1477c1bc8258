//! Patterns of pushes: what is asked for is what was counted, inside the limits.
#![allow(clippy::unwrap_used)]

use garner_storage::memory::{MemoryAccountant, MemoryUse};
use garner_storage::model::{LabelMatcher, Labels, MatchOp, TenantId};

use super::store::{PatternSeries, Patterns};

const S: i64 = 1_000_000_000;
const NOW: i64 = 1_768_000_000 * S;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn add(patterns: &Patterns, tenant: &TenantId, app: &str, lines: impl Iterator<Item = (i64, String)>) {
    let labels = Labels::from_pairs([("app", app)]);
    let known = patterns.tenant(tenant);
    let hash = app.bytes().fold(7, |h: u128, b| h * 31 + u128::from(b));
    let Some(stream) = known.stream(hash, || labels) else {
        return;
    };
    for (time, line) in lines {
        stream.lock().add("info", line.as_bytes(), time, !known.is_full());
    }
    patterns.settle(&known, &[stream], NOW);
}

fn query(patterns: &Patterns, tenant: &TenantId, app: &str, start: i64, end: i64, step: i64) -> Vec<PatternSeries> {
    let matchers = [LabelMatcher::new("app", MatchOp::Equal, app).unwrap()];
    patterns.query(tenant, &matchers, start, end, step, NOW)
}

#[test]
fn streams_of_the_tenant_are_asked_and_rare_patterns_left_out() {
    let patterns = Patterns::new(8 << 20, MemoryAccountant::new(64 << 20));
    let start = NOW - 600 * S;
    let lines = |n: i64, text: &'static str| (0..n).map(move |i| (start + i * S, format!("{text} number {i} of many")));
    add(&patterns, &tenant("a"), "x", lines(60, "request"));
    add(&patterns, &tenant("a"), "x", lines(20, "rare"));
    add(&patterns, &tenant("a"), "y", lines(40, "other"));
    add(&patterns, &tenant("b"), "x", lines(50, "theirs"));
    let found = query(&patterns, &tenant("a"), "x", NOW - 3_600 * S, NOW, 60 * S);
    let texts: Vec<_> = found.iter().map(|s| (s.pattern.as_str(), s.level)).collect();
    assert_eq!(texts, [("request number <_> of many", "info")]);
    let sum: u64 = found[0].samples.iter().map(|(_, n)| n).sum();
    assert_eq!(sum, 60);
    assert!(found[0].samples.iter().all(|(t, _)| t % (60 * S) == 0));
    // Of half the range half the lines are told, which is just enough.
    let half = query(&patterns, &tenant("a"), "x", start, start + 30 * S, 10 * S);
    assert_eq!(half[0].samples.iter().map(|(_, n)| n).sum::<u64>(), 30);
    assert_eq!(query(&patterns, &tenant("a"), "x", start, start + 20 * S, 10 * S), []);
    assert_eq!(query(&patterns, &tenant("c"), "x", 0, NOW, 60 * S), []);
}

#[test]
fn memory_is_bounded_and_given_back() {
    let accountant = MemoryAccountant::new(64 << 20);
    let patterns = Patterns::new(256 << 10, accountant.clone());
    for app in 0..200 {
        let lines = (0..20).map(|i| {
            let word: String = (0..5)
                .map(|j| char::from(b'a' + ((app * 7 + i * 13 + j) % 26) as u8))
                .collect();
            (NOW - i64::from(i) * S, format!("{word} {word}x {word}y {word}z end"))
        });
        add(&patterns, &tenant("a"), &format!("app{app}"), lines);
        assert!(accountant.used_bytes(MemoryUse::Patterns) <= 512 << 10);
    }
    assert!(accountant.used_bytes(MemoryUse::Patterns) > 0);
    drop(patterns);
    assert_eq!(accountant.used_bytes(MemoryUse::Patterns), 0);
}

#[test]
fn a_process_short_of_memory_keeps_no_patterns() {
    let accountant = MemoryAccountant::new(1 << 10);
    let patterns = Patterns::new(1 << 20, accountant.clone());
    let lines = (0..100).map(|i| (NOW, format!("line number {i} of many")));
    add(&patterns, &tenant("a"), "x", lines);
    assert_eq!(query(&patterns, &tenant("a"), "x", 0, NOW + S, 10 * S), []);
    assert_eq!(accountant.used_bytes(MemoryUse::Patterns), 0);
}
