//! `GET /garner/api/v1/admin/upkeep`: where compaction, retention and deletion stand.

use axum::extract::State;
use axum::response::Response;
use garner_storage::engine::UpkeepReport;
use serde_json::{Value, json};

use crate::server::{SharedApp, prometheus_json};

/// What waits, what runs, what was done since the start. Times are Unix seconds.
pub async fn upkeep(State(app): State<SharedApp>) -> Response {
    let status = app.storage.upkeep_status();
    let seconds = |ns: i64| ns as f64 / 1e9;
    let levels: Vec<Value> = status
        .segments_by_level
        .iter()
        .zip(&status.bytes_by_level)
        .enumerate()
        .map(|(level, (segments, bytes))| json!({"level": level, "segments": segments, "bytes": bytes}))
        .collect();
    let quarantined: Vec<Value> = status
        .quarantined
        .iter()
        .map(|(id, reason, since)| {
            json!({"object": &*id.object, "offset": id.offset, "reason": reason, "since": seconds(*since)})
        })
        .collect();
    let running = status.totals.running.as_ref().map(|round| {
        json!({
            "since": seconds(round.since),
            "merges": round.merges,
            "segments": round.segments,
            "bytes": round.bytes,
        })
    });
    let data = json!({
        "planned": {"merges": status.planned_merges, "bytes": status.planned_bytes},
        "running": running,
        "levels": levels,
        "objects": {
            "live": status.live_objects,
            "pendingDeletion": status.pending_objects,
            "pendingSince": status.pending_since.map(seconds),
        },
        "quarantined": quarantined,
        "sinceStart": {
            "done": report_json(&status.totals.done),
            "compactionSeconds": status.totals.compaction_time.as_secs_f64(),
            "pausedForMemory": status.totals.paused,
        },
    });
    prometheus_json(json!({"status": "success", "data": data}).to_string())
}

/// A report as both endpoints answer it.
pub(super) fn report_json(report: &UpkeepReport) -> Value {
    json!({
        "compaction": {
            "rounds": report.rounds,
            "merges": report.merges,
            "segmentsIn": report.segments_in,
            "segmentsOut": report.segments_out,
            "rowsIn": report.rows_in,
            "rowsOut": report.rows_out,
            "rowsExpired": report.rows_expired,
            "bytesIn": report.bytes_in,
            "bytesOut": report.bytes_out,
            "bytesRead": report.bytes_read,
            "segmentsQuarantined": report.quarantined,
            "conflicts": report.conflicts,
        },
        "retention": {
            "segmentsDropped": report.segments_dropped,
            "rowsDropped": report.rows_dropped,
            "bytesDropped": report.bytes_dropped,
        },
        "deletion": {
            "objectsDeleted": report.objects_deleted,
            "orphansDeleted": report.orphans_deleted,
        },
        "failures": report.failures,
        "lastFailure": report.last_failure,
    })
}
