//! `/metrics`: garner about itself, in Prometheus' text format.

use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use garner_storage::memory::MemoryUse;
use garner_storage::model::Signal;
use garner_storage::object::{BucketCounts, Verb};

use super::cache_metrics::cache_metrics;
use super::query_metrics::query_metrics;
use super::upkeep_metrics::upkeep_metrics;
use crate::server::SharedApp;

/// All metrics.
pub async fn metrics(State(app): State<SharedApp>) -> Response {
    let mut page = Page::default();
    page.family("garner_build_info", "gauge", "Always 1; the version is a label.");
    page.sample("garner_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);

    page.family(
        "garner_http_requests_total",
        "counter",
        "Requests answered, by route and status.",
    );
    let requests = app.requests.snapshot();
    for (route, status, count, _) in &requests {
        let labels = [("route", &**route), ("status", &status.to_string())];
        page.sample("garner_http_requests_total", &labels, *count as f64);
    }
    page.family(
        "garner_http_request_seconds_total",
        "counter",
        "Time from a request's head to its answer's head, by route and status.",
    );
    for (route, status, _, seconds) in &requests {
        let labels = [("route", &**route), ("status", &status.to_string())];
        page.sample("garner_http_request_seconds_total", &labels, *seconds);
    }
    page.one(
        "garner_http_panics_total",
        "counter",
        "Panics caught in handlers.",
        app.requests.panics() as f64,
    );

    page.family("garner_memory_used_bytes", "gauge", "Accounted memory, by use.");
    for usage in MemoryUse::ALL {
        let used = app.accountant.used_bytes(usage) as f64;
        page.sample("garner_memory_used_bytes", &[("use", usage.as_str())], used);
    }
    let limit = app.accountant.limit_bytes() as f64;
    page.one(
        "garner_memory_limit_bytes",
        "gauge",
        "memory.limit as it is in force.",
        limit,
    );
    query_metrics(&app.engine.gate_counts(), &mut page);
    storage_metrics(&app, &mut page);
    upkeep_metrics(&app.storage.upkeep_status(), &mut page);
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], page.text).into_response()
}

fn storage_metrics(app: &SharedApp, page: &mut Page) {
    let stats = app.storage.stats();
    let by_signal = [
        (
            "garner_storage_tenants",
            "gauge",
            "Tenants with rows, by signal.",
            stats.lanes,
        ),
        (
            "garner_storage_head_series",
            "gauge",
            "Series known to heads, by signal.",
            stats.head_series,
        ),
        (
            "garner_storage_head_rows",
            "gauge",
            "Rows not yet in segments, by signal.",
            stats.head_rows,
        ),
        (
            "garner_storage_rows_appended_total",
            "counter",
            "Rows acknowledged, by signal.",
            stats.rows_appended,
        ),
    ];
    for (name, kind, help, values) in by_signal {
        page.family(name, kind, help);
        for signal in [Signal::Logs, Signal::Metrics] {
            let value = values[signal.code() as usize] as f64;
            page.sample(name, &[("signal", signal.as_str())], value);
        }
    }
    let ones = [
        (
            "garner_storage_sealed_heads",
            "gauge",
            "Heads sealed and not yet in segments.",
            stats.sealed_heads as f64,
        ),
        (
            "garner_storage_appends_failed_total",
            "counter",
            "Appends refused: disk full, memory limit.",
            stats.appends_failed as f64,
        ),
        (
            "garner_storage_wal_files",
            "gauge",
            "WAL files on disk.",
            stats.wal_files as f64,
        ),
        (
            "garner_storage_wal_bytes",
            "gauge",
            "Bytes of WAL on disk.",
            stats.wal_bytes as f64,
        ),
        (
            "garner_storage_wal_records_total",
            "counter",
            "Records written to the WAL.",
            stats.wal_records as f64,
        ),
        (
            "garner_storage_wal_groups_total",
            "counter",
            "Groups of records written to the WAL; with wal.sync = always each is one sync.",
            stats.wal_groups as f64,
        ),
        (
            "garner_storage_wal_errors_total",
            "counter",
            "Failed writes and syncs of the WAL.",
            stats.wal_errors as f64,
        ),
        (
            "garner_storage_flushes_total",
            "counter",
            "Flush rounds that succeeded.",
            stats.flushes as f64,
        ),
        (
            "garner_storage_flush_errors_total",
            "counter",
            "Flush rounds that failed.",
            stats.flush_errors as f64,
        ),
        (
            "garner_storage_flush_seconds_total",
            "counter",
            "Time of flush rounds.",
            stats.flush_time.as_secs_f64(),
        ),
        (
            "garner_storage_rows_flushed_total",
            "counter",
            "Rows brought to segments.",
            stats.rows_flushed as f64,
        ),
        (
            "garner_storage_segments",
            "gauge",
            "Live segments.",
            stats.segments as f64,
        ),
        (
            "garner_storage_segment_bytes",
            "gauge",
            "Bytes of live segments.",
            stats.segment_bytes as f64,
        ),
        (
            "garner_storage_pages_corrupt_total",
            "counter",
            "Damaged pages and segments that were left out of answers.",
            stats.pages_corrupt as f64,
        ),
        (
            "garner_storage_segment_requests_total",
            "counter",
            "Requests to the object store for what queries read.",
            stats.segment_requests as f64,
        ),
        (
            "garner_storage_segment_read_bytes_total",
            "counter",
            "Bytes that queries read from the object store.",
            stats.segment_read_bytes as f64,
        ),
        (
            "garner_storage_deletes",
            "gauge",
            "Deletes that are listed, done ones included.",
            stats.deletes as f64,
        ),
        (
            "garner_storage_delete_covers",
            "gauge",
            "Pairs of a delete and a live segment that it covers: what compaction has still to carry out.",
            stats.delete_covers as f64,
        ),
        (
            "garner_storage_replayed_rows",
            "gauge",
            "Rows that the start brought back from the WAL.",
            stats.replay.rows as f64,
        ),
        (
            "garner_storage_replay_torn_bytes",
            "gauge",
            "Bytes of never acknowledged appends that the start cut off the WAL.",
            stats.replay.torn_bytes as f64,
        ),
    ];
    for (name, kind, help, value) in ones {
        page.one(name, kind, help, value);
    }
    cache_metrics(&stats.pieces, &app.engine.result_counts(), page);
    type Count = fn(&BucketCounts) -> u64;
    let by_verb: [(&str, &str, Count); 3] = [
        (
            "requests",
            "Requests to the object store, retries included, by verb.",
            |c| c.requests,
        ),
        ("errors", "Requests to the object store that failed, by verb.", |c| {
            c.errors
        }),
        ("bytes", "Bytes to and from the object store, by verb.", |c| c.bytes),
    ];
    for (what, help, of) in by_verb {
        let name = format!("garner_object_store_{what}_total");
        page.family(&name, "counter", help);
        for (verb, counts) in Verb::ALL.iter().zip(&stats.object_store) {
            page.sample(&name, &[("verb", verb.as_str())], of(counts) as f64);
        }
    }
}

/// A page in the text format.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{label}=\"{escaped}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}
