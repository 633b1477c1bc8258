//! `data.stats` of Loki's answers (loki `pkg/logqlmodel/stats/stats.proto`): every field that clients may look for, with
//! true figures where garner has such a thing and zeros where it has not.

use std::fmt::Write;

use garner_query::output::QueryStats;

/// Caches that Loki tells about. Of these garner has "chunk", which is its cache of pieces of segments, and
/// "result".
const CACHES: [&str; 10] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
    "taskResult",
    "logResult",
];
const INDEX: &str = r#"{"totalChunks":0,"postFilterChunks":0,"shardsDuration":0,"usedBloomFilters":false,"totalStreams":0,"chunkRefsLookupTime":0,"bloomFilterTime":0}"#;
/// Of Loki's columnar store.
const DATAOBJ: &str = r#"{"prePredicateDecompressedRows":0,"prePredicateDecompressedBytes":0,"prePredicateDecompressedStructuredMetadataBytes":0,"postPredicateRows":0,"postPredicateDecompressedBytes":0,"postPredicateStructuredMetadataBytes":0,"postFilterRows":0,"pagesScanned":0,"pagesDownloaded":0,"pagesDownloadedBytes":0,"pageBatches":0,"totalRowsAvailable":0,"totalPageDownloadTime":0,"wireBytesTransferred":0}"#;

/// Appends the object. `entries` is what the answer holds.
pub fn push_stats(out: &mut Vec<u8>, stats: &QueryStats, entries: usize) {
    let mut text = String::with_capacity(4096);
    let seconds = stats.elapsed_ns as f64 / 1e9;
    let per_second = |amount: u64| {
        if seconds > 0.0 {
            (amount as f64 / seconds) as u64
        } else {
            0
        }
    };
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        r#"{{"summary":{{"bytesProcessedPerSecond":{},"linesProcessedPerSecond":{},"totalBytesProcessed":{},"totalLinesProcessed":{},"execTime":{seconds},"queueTime":{},"subqueries":0,"totalEntriesReturned":{entries},"splits":0,"shards":0,"totalPostFilterLines":{},"totalStructuredMetadataBytesProcessed":0}}"#,
        per_second(stats.bytes),
        per_second(stats.rows),
        stats.bytes,
        stats.rows,
        stats.queued_ns as f64 / 1e9,
        stats.rows_passed,
    );
    text.push_str(r#","querier":{"querierExecTime":0,"store":"#);
    push_store(&mut text, stats);
    text.push_str(r#"},"ingester":{"recvWaitTime":0,"totalReached":0,"totalChunksMatched":0,"totalBatches":0,"totalLinesSent":0,"store":"#);
    push_store(&mut text, &QueryStats::default());
    text.push_str(r#"},"cache":{"#);
    for (index, cache) in CACHES.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, "{comma}\"{cache}\":");
        match *cache {
            "chunk" => {
                let found = stats.cache_memory_hits + stats.cache_disk_hits;
                push_cache(
                    &mut text,
                    found,
                    found + stats.cache_misses,
                    stats.cache_misses,
                    stats.cache_bytes,
                );
            }
            "result" => push_cache(&mut text, stats.result_cache_hits, stats.result_cache_hits, 0, 0),
            _ => push_cache(&mut text, 0, 0, 0, 0),
        }
    }
    // What the store did for it, which Loki has no names for.
    let _ = write!(
        text,
        r#"}},"index":{INDEX},"storage":{{"segments":{},"pages":{},"pagesSkipped":{},"objectRequests":{},"objectBytes":{},"cacheMemoryHits":{},"cacheDiskHits":{},"cacheMisses":{},"cacheBytes":{},"resultCacheHits":{}}}}}"#,
        stats.segments,
        stats.pages,
        stats.pages_skipped,
        stats.object_requests,
        stats.object_bytes,
        stats.cache_memory_hits,
        stats.cache_disk_hits,
        stats.cache_misses,
        stats.cache_bytes,
        stats.result_cache_hits,
    );
    out.extend_from_slice(text.as_bytes());
}

/// Entries found, asked for and stored, and bytes that came out of it. Being in the process, it is sent nothing.
fn push_cache(text: &mut String, found: u64, requested: u64, stored: u64, bytes: u64) {
    let _ = write!(
        text,
        r#"{{"entriesFound":{found},"entriesRequested":{requested},"entriesStored":{stored},"bytesReceived":{bytes},"bytesSent":0,"requests":{requested},"downloadTime":0,"queryLengthServed":0}}"#,
    );
}

/// What was read from segments; a page is counted as a chunk.
fn push_store(text: &mut String, stats: &QueryStats) {
    let _ = write!(
        text,
        r#"{{"totalChunksRef":{},"totalChunksDownloaded":{},"chunkRefsFetchTime":0,"chunksDownloadTime":0,"congestionControlLatency":0,"queryReferencedStructuredMetadata":false,"queryUsedV2Engine":false,"pipelineWrapperFilteredLines":0,"chunk":{{"headChunkBytes":0,"headChunkLines":0,"headChunkStructuredMetadataBytes":0,"decompressedBytes":{},"decompressedLines":{},"decompressedStructuredMetadataBytes":0,"compressedBytes":{},"totalDuplicates":0,"postFilterLines":{}}},"dataobj":{DATAOBJ}}}"#,
        stats.pages + stats.pages_skipped,
        stats.pages,
        stats.bytes,
        stats.rows,
        stats.object_bytes,
        stats.rows_passed,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_are_json_with_true_figures() {
        let stats = QueryStats {
            rows: 10,
            rows_passed: 6,
            bytes: 500,
            pages: 3,
            pages_skipped: 4,
            cache_memory_hits: 5,
            cache_disk_hits: 6,
            cache_misses: 2,
            elapsed_ns: 500_000_000,
            ..QueryStats::default()
        };
        let mut out = Vec::new();
        push_stats(&mut out, &stats, 2);
        let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        for (path, expected) in [
            ("/summary/totalBytesProcessed", 500),
            ("/summary/bytesProcessedPerSecond", 1000),
            ("/summary/totalLinesProcessed", 10),
            ("/summary/totalEntriesReturned", 2),
            ("/summary/totalPostFilterLines", 6),
            ("/querier/store/chunk/postFilterLines", 6),
            ("/querier/store/totalChunksRef", 7),
            ("/querier/store/totalChunksDownloaded", 3),
            ("/ingester/store/dataobj/pagesScanned", 0),
            ("/cache/logResult/requests", 0),
            ("/cache/chunk/entriesFound", 11),
            ("/cache/chunk/entriesRequested", 13),
            ("/storage/cacheDiskHits", 6),
            ("/index/totalStreams", 0),
            ("/storage/pagesSkipped", 4),
        ] {
            assert_eq!(json.pointer(path), Some(&serde_json::json!(expected)), "{path}");
        }
    }
}
