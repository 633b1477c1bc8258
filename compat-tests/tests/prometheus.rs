//! A real Prometheus scrapes a real node_exporter and remote-writes to garner; both then answer the same queries.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::http::Client;
use garner_compat_tests::peers;
use serde_json::Value;

/// Scraped this long before the last instant that is asked: the longest window of the first instant (80 s before) must
/// begin after remote write did, a few seconds after Prometheus' own first scrape.
const WARM_UP: Duration = Duration::from_secs(96);
/// Instants lie at least this far in the past, so that remote write has delivered everything before them.
const SETTLED: Duration = Duration::from_secs(31);
const TOLERANCE: f64 = 1e-9;

const QUERIES: &[&str] = &[
    "up",
    "sum(up)",
    "node_cpu_seconds_total",
    "rate(node_cpu_seconds_total[30s])",
    "sum by (mode) (rate(node_cpu_seconds_total[1m]))",
    "irate(node_context_switches_total[30s])",
    "increase(prometheus_tsdb_head_samples_appended_total[45s])",
    "delta(node_memory_MemFree_bytes[30s])",
    "idelta(node_memory_MemFree_bytes[30s])",
    "avg_over_time(node_load1[1m])",
    "max_over_time(go_goroutines[30s])",
    "min_over_time(go_goroutines[30s])",
    "sum_over_time(up[20s])",
    "count_over_time(up[20s])",
    "last_over_time(node_load5[30s])",
    "stddev_over_time(node_memory_Active_bytes[40s])",
    "quantile_over_time(0.9, go_goroutines[50s])",
    "topk(3, node_memory_MemTotal_bytes or node_memory_MemFree_bytes or node_memory_Cached_bytes or node_memory_Active_bytes)",
    "bottomk(2, node_filesystem_size_bytes)",
    "quantile(0.5, go_memstats_alloc_bytes)",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[1m])))",
    "histogram_quantile(0.5, prometheus_tsdb_compaction_chunk_size_bytes_bucket)",
    "1 - node_memory_MemFree_bytes / node_memory_MemTotal_bytes",
    "node_memory_MemTotal_bytes > bool 1e6",
    "process_cpu_seconds_total * on (job) group_left (goversion) go_info",
    "node_load1 and on (instance) up",
    "node_load1 unless on (job) up{job=\"prometheus\"}",
    "go_goroutines{job!=\"node\"} or up{job=~\"no.*\"}",
    "count({__name__=~\"node_.*\",job!~\"prometheus\"})",
    "max by (instance) (go_goroutines offset 10s)",
];

fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}

/// Sample times (ms) of every series in the last two minutes before `at_ms`, modulo one second.
fn phases(client: &Client, at_ms: i64) -> Result<Vec<i64>> {
    let data = client.data("/api/v1/query", &[("query", "up[2m]"), ("time", &seconds(at_ms))])?;
    let mut phases = Vec::new();
    for series in data["result"].as_array().context("no result")? {
        for pair in series["values"].as_array().context("no values")? {
            phases.push((pair[0].as_f64().context("no time")? * 1000.0).round() as i64 % 1000);
        }
    }
    ensure!(phases.len() > 100, "only {} samples of up were scraped", phases.len());
    Ok(phases)
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Series (labels as text) to their points.
fn points(data: &Value) -> Result<BTreeMap<String, Vec<(f64, f64)>>> {
    let mut out = BTreeMap::new();
    for series in data["result"].as_array().context("no result")? {
        let pairs = match series.get("values") {
            Some(values) => values.as_array().context("values")?.clone(),
            None => vec![series["value"].clone()],
        };
        let mut row = Vec::new();
        for pair in pairs {
            row.push((
                pair[0].as_f64().context("time")?,
                pair[1].as_str().context("value")?.parse::<f64>()?,
            ));
        }
        let labels: BTreeMap<String, Value> = serde_json::from_value(series["metric"].clone())?;
        out.insert(format!("{labels:?}"), row);
    }
    Ok(out)
}

fn compare(query: &str, expected: &Value, got: &Value) -> Result<usize> {
    ensure!(
        expected["resultType"] == got["resultType"],
        "{query}: {} and {}",
        expected["resultType"],
        got["resultType"]
    );
    let (expected, got) = (points(expected)?, points(got)?);
    let keys = |m: &BTreeMap<String, Vec<(f64, f64)>>| m.keys().cloned().collect::<Vec<_>>();
    ensure!(
        keys(&expected) == keys(&got),
        "{query}: series {:?} expected, {:?} answered",
        keys(&expected),
        keys(&got)
    );
    for (labels, row) in &expected {
        let other = &got[labels];
        ensure!(
            row.len() == other.len(),
            "{query} {labels}: {} points expected, {} answered",
            row.len(),
            other.len()
        );
        for (a, b) in row.iter().zip(other) {
            let close =
                a.1 == b.1 || (a.1.is_nan() && b.1.is_nan()) || (a.1 - b.1).abs() <= TOLERANCE * a.1.abs().max(1.0);
            ensure!(a.0 == b.0 && close, "{query} {labels}: {a:?} expected, {b:?} answered");
        }
    }
    Ok(expected.len())
}

#[test]
fn prometheus_and_garner_answer_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let garner = Garner::start(&folder.path().join("data"), &Options::default())?;
    let exporter = peers::node_exporter(folder.path())?;
    let prometheus = peers::prometheus(folder.path(), &exporter, garner.port)?;
    // Half of the samples shall lie in segments, half in the head.
    std::thread::sleep(WARM_UP / 2);
    garner.flush()?;
    std::thread::sleep(WARM_UP / 2 + SETTLED);

    let (real, ours) = (prometheus.client(), garner.client());
    let settled = now_ms()? - SETTLED.as_millis() as i64;
    let phases = phases(&real, settled)?;
    // All ranges, offsets and steps below are whole seconds, so a window edge falls on a sample exactly where the
    // instant's phase is a sample's phase. Debian's Prometheus 2.42 has closed range starts, garner left-open ones.
    let far_from_samples = |phase: &i64| {
        phases
            .iter()
            .all(|p| (p - phase).rem_euclid(1000).min((phase - p).rem_euclid(1000)) > 20)
    };
    let phase = (0..1000)
        .find(far_from_samples)
        .context("samples lie on every phase of the second")?;
    let at = settled / 1000 * 1000 - 1000 + phase;
    ensure!(
        at <= settled && far_from_samples(&(at % 1000)),
        "no sample lies on a window edge"
    );

    let (start, end) = (seconds(at - 20_000), seconds(at));
    let mut series = 0;
    for query in QUERIES {
        let params = [("query", *query), ("time", &end)];
        let path = "/api/v1/query";
        series += compare(query, &real.data(path, &params)?, &ours.data(path, &params)?)?;
        let params = [("query", *query), ("start", &start), ("end", &end), ("step", "5")];
        let path = "/api/v1/query_range";
        series += compare(query, &real.data(path, &params)?, &ours.data(path, &params)?)?;
    }
    println!(
        "{} queries agree on {series} series, as instant and as range",
        QUERIES.len()
    );
    ensure!(series > 2 * QUERIES.len(), "only {series} series were compared");
    Ok(())
}
