//! The families of `/metrics` about the caches.

use garner_query::results::ResultCounts;
use garner_storage::pieces::PieceCounts;

use super::metrics::Page;

/// Appends them.
pub(super) fn cache_metrics(pieces: &PieceCounts, results: &ResultCounts, page: &mut Page) {
    page.family(
        "garner_storage_cache_pieces_total",
        "counter",
        "Pieces of segments that queries asked for, by where they were found: memory, disk, or nowhere.",
    );
    for (found, count) in [
        ("memory", pieces.memory_hits),
        ("disk", pieces.disk_hits),
        ("nowhere", pieces.misses),
    ] {
        page.sample("garner_storage_cache_pieces_total", &[("found", found)], count as f64);
    }
    page.family(
        "garner_query_result_cache_queries_total",
        "counter",
        "Queries whose result could be kept, by whether an earlier one was exact still.",
    );
    for (outcome, count) in [("hit", results.hits), ("miss", results.misses)] {
        page.sample(
            "garner_query_result_cache_queries_total",
            &[("outcome", outcome)],
            count as f64,
        );
    }
    for (name, kind, help, value) in [
        (
            "garner_query_result_cache_entries",
            "gauge",
            "Results kept for later queries.",
            results.entries,
        ),
        (
            "garner_query_result_cache_bytes",
            "gauge",
            "Memory of the results kept.",
            results.bytes,
        ),
        (
            "garner_storage_cache_hit_bytes_total",
            "counter",
            "Bytes of the pieces found in memory and on disk.",
            pieces.hit_bytes,
        ),
        (
            "garner_storage_cache_disk_dropped_total",
            "counter",
            "Pieces that were not written to disk since too many waited for it.",
            pieces.disk_dropped,
        ),
        (
            "garner_storage_cache_memory_bytes",
            "gauge",
            "Pieces of segments kept in memory.",
            pieces.memory_bytes,
        ),
        (
            "garner_storage_cache_disk_budget_bytes",
            "gauge",
            "What the disk cache may take; 0 where there is none.",
            pieces.disk_bytes,
        ),
    ] {
        page.one(name, kind, help, value as f64);
    }
}
