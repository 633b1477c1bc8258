//! What a merge takes of the heap, by an allocator that counts: a fixed amount, and little for each series. Alone in its
//! binary, since it counts everything.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, unsafe_code)]

mod counted;

use std::sync::atomic::Ordering;

use garner_storage::compaction::Depth;

use counted::{MOST, NOW, SERIES_PER_TARGET, open, scrape};

/// Segments that are merged.
const SEGMENTS: i64 = 3;
/// Scrapes of each: few, since rows are not what is looked at here.
const SCRAPES: i64 = 4;

/// All count.
fn value(target: usize, series: usize, scrape: i64) -> f64 {
    ((target * 31 + series * 7) as i64 + scrape) as f64
}

/// Bytes of the heap that merging segments of so many targets takes at most.
async fn merged(targets: usize) -> usize {
    let (storage, _folder) = open().await;
    for segment in 0..SEGMENTS {
        for at in 0..SCRAPES {
            scrape(&storage, targets, segment * SCRAPES + at, value).await;
        }
        storage.flush().await.unwrap();
    }
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let report = storage.compact_once(Depth::Full).await.unwrap().unwrap();
    let (most, after) = (MOST.load(Ordering::Relaxed), NOW.load(Ordering::Relaxed));
    assert_eq!((report.segments_in, report.segments_out), (SEGMENTS as u64, 1));
    let series = targets * SERIES_PER_TARGET;
    assert_eq!(report.rows_out, series as u64 * (SEGMENTS * SCRAPES) as u64);
    println!(
        "{series} series in {SEGMENTS} segments: {} KB before, +{} KB at most, {} KB after",
        before >> 10,
        (most - before) >> 10,
        after >> 10
    );
    most - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_holds_little_of_each_series() {
    const FEW: usize = 40;
    const MANY: usize = 120;
    let (few, many) = (merged(FEW).await, merged(MANY).await);
    let each = many.saturating_sub(few) as f64 / ((MANY - FEW) * SERIES_PER_TARGET) as f64;
    println!("{each:.0} bytes for each series more");
    // The packed label sets and chunk lists of the new segment, and its index; a label set alone has 150 bytes.
    assert!(each < 60.0, "{each} bytes a series");
    // Windows, opened parts, a batch of rows, a part of the object.
    assert!(many < 8 << 20, "{many} bytes");
}
