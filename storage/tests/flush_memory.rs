//! What series and a flush of theirs take of the heap, by an allocator that counts. Alone in its binary, since it counts
//! everything.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, unsafe_code)]

mod counted;

use std::sync::atomic::Ordering;

use counted::{MOST, NOW, SERIES_PER_TARGET, open, scrape};

/// Scrape targets.
const TARGETS: usize = 12;
/// Half an hour of scrapes every 15 s: what a head holds when it is flushed.
const SCRAPES: i64 = 120;

/// A third stand still, a third count, a third move freely.
fn value(target: usize, series: usize, scrape: i64) -> f64 {
    let seed = (target * 31 + series * 7) as i64;
    match series % 3 {
        0 => seed as f64,
        1 => (seed + scrape * (seed % 40)) as f64,
        _ => ((seed * 7919 + scrape * 104_729) % 100_003) as f64 / 1000.0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_and_its_flush_stay_small() {
    let (storage, _folder) = open().await;
    let empty = NOW.load(Ordering::Relaxed);
    let series = (TARGETS * SERIES_PER_TARGET) as f64;
    let per_series = |bytes: usize| bytes.saturating_sub(empty) as f64 / series;
    // The second half hour is the steady state.
    for half_hour in 0..2 {
        let mut sum = 0.0;
        for at in 0..SCRAPES {
            scrape(&storage, TARGETS, half_hour * SCRAPES + at, value).await;
            sum += per_series(NOW.load(Ordering::Relaxed));
        }
        let (mean, before) = (sum / SCRAPES as f64, NOW.load(Ordering::Relaxed));
        MOST.store(before, Ordering::Relaxed);
        storage.flush().await.unwrap();
        let (most, after) = (MOST.load(Ordering::Relaxed), NOW.load(Ordering::Relaxed));
        println!(
            "half hour {half_hour}: {mean:.0} B a series on average, {:.0} before the flush, {:.0} at most during it (+{} \
             KB), {:.0} after",
            per_series(before),
            per_series(most),
            (most - before) >> 10,
            per_series(after)
        );
        assert!(mean < 600.0, "{mean} bytes a series");
        assert!(most - before < 3 << 20, "{} bytes more during the flush", most - before);
    }
}
