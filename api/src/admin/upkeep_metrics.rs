//! The families of `/metrics` about compaction, retention and deletion.

use garner_storage::engine::UpkeepStatus;

use super::metrics::Page;

/// Appends them.
pub(super) fn upkeep_metrics(status: &UpkeepStatus, page: &mut Page) {
    let done = &status.totals.done;
    let counters: [(&str, &str, u64); 20] = [
        (
            "compaction_rounds_total",
            "Compaction rounds committed, an object each.",
            done.rounds,
        ),
        ("compaction_merges_total", "Merges in them.", done.merges),
        (
            "compaction_segments_in_total",
            "Segments that merges replaced.",
            done.segments_in,
        ),
        (
            "compaction_segments_out_total",
            "Segments that merges wrote.",
            done.segments_out,
        ),
        ("compaction_rows_in_total", "Rows of replaced segments.", done.rows_in),
        ("compaction_rows_out_total", "Rows that merges wrote.", done.rows_out),
        (
            "compaction_bytes_in_total",
            "Stored bytes of replaced segments.",
            done.bytes_in,
        ),
        (
            "compaction_bytes_out_total",
            "Stored bytes that merges wrote.",
            done.bytes_out,
        ),
        (
            "compaction_bytes_read_total",
            "Bytes that merges read from the object store.",
            done.bytes_read,
        ),
        (
            "compaction_conflicts_total",
            "Merges dropped since another writer was first.",
            done.conflicts,
        ),
        (
            "compaction_failures_total",
            "Steps of compaction, retention and deletion that failed.",
            done.failures,
        ),
        (
            "compaction_paused_total",
            "Compaction rounds put off since memory was short.",
            status.totals.paused,
        ),
        (
            "compaction_quarantined_segments_total",
            "Segments found unreadable and left alone from then on.",
            done.quarantined,
        ),
        (
            "retention_segments_dropped_total",
            "Segments dropped by retention.",
            done.segments_dropped,
        ),
        (
            "retention_rows_dropped_total",
            "Rows of segments dropped by retention.",
            done.rows_dropped,
        ),
        (
            "retention_rows_left_out_total",
            "Expired rows that merges left out.",
            done.rows_expired,
        ),
        (
            "retention_bytes_dropped_total",
            "Stored bytes dropped by retention.",
            done.bytes_dropped,
        ),
        (
            "objects_deleted_total",
            "Objects deleted after their grace period.",
            done.objects_deleted,
        ),
        (
            "orphans_deleted_total",
            "Objects deleted that were never committed.",
            done.orphans_deleted,
        ),
        (
            "compaction_running",
            "Whether a round is under way.",
            u64::from(status.totals.running.is_some()),
        ),
    ];
    for (name, help, value) in counters {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        page.one(&format!("garner_storage_{name}"), kind, help, value as f64);
    }
    page.one(
        "garner_storage_compaction_seconds_total",
        "counter",
        "Time of compaction rounds.",
        status.totals.compaction_time.as_secs_f64(),
    );
    let gauges = [
        (
            "compaction_planned_merges",
            "Merges that would be done now.",
            status.planned_merges,
        ),
        (
            "compaction_planned_bytes",
            "Stored bytes of their segments.",
            status.planned_bytes,
        ),
        (
            "quarantined_segments",
            "Live segments that cannot be read whole.",
            status.quarantined.len() as u64,
        ),
        ("live_objects", "Objects that hold live segments.", status.live_objects),
        (
            "pending_objects",
            "Objects that wait for their deletion.",
            status.pending_objects,
        ),
    ];
    for (name, help, value) in gauges {
        page.one(&format!("garner_storage_{name}"), "gauge", help, value as f64);
    }
    let by_level = [
        (
            "segments_by_level",
            "Live segments: 0 flushed, 1 to 3 merged.",
            &status.segments_by_level,
        ),
        ("segment_bytes_by_level", "Their stored bytes.", &status.bytes_by_level),
    ];
    for (name, help, values) in by_level {
        let name = format!("garner_storage_{name}");
        page.family(&name, "gauge", help);
        for (level, value) in values.iter().enumerate() {
            page.sample(&name, &[("level", &level.to_string())], *value as f64);
        }
    }
}
