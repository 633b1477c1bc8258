//! The families of `/metrics` about the gate that queries wait at.

use garner_query::admission::{GateCounts, WAIT_BOUNDS_NS};

use super::metrics::Page;

const WAIT: &str = "garner_query_wait_seconds";
const REJECTED: &str = "garner_query_rejected_total";

/// Appends them.
pub(super) fn query_metrics(counts: &GateCounts, page: &mut Page) {
    page.one(
        "garner_query_running",
        "gauge",
        "Queries that run now (query.max_concurrent).",
        counts.running as f64,
    );
    page.one(
        "garner_query_waiting",
        "gauge",
        "Queries that wait for their turn (query.max_queued).",
        counts.waiting as f64,
    );
    page.family(
        WAIT,
        "histogram",
        "How long queries waited for their turn, those that did not included.",
    );
    let mut total = 0;
    let mut bucket = |page: &mut Page, bound: &str, count: u64| {
        total += count;
        page.sample(&format!("{WAIT}_bucket"), &[("le", bound)], total as f64);
    };
    for (bound, count) in WAIT_BOUNDS_NS.iter().zip(&counts.waits) {
        bucket(page, &(*bound as f64 / 1e9).to_string(), *count);
    }
    bucket(page, "+Inf", counts.waits.last().copied().unwrap_or(0));
    page.sample(&format!("{WAIT}_sum"), &[], counts.waited_ns as f64 / 1e9);
    page.sample(&format!("{WAIT}_count"), &[], total as f64);
    page.family(
        REJECTED,
        "counter",
        "Queries that never ran, by reason: the queue was full, their time ended in it, or their client left it.",
    );
    for (reason, count) in [
        ("queue_full", counts.queue_full),
        ("timeout", counts.timed_out),
        ("client_left", counts.left),
    ] {
        page.sample(REJECTED, &[("reason", reason)], count as f64);
    }
}
