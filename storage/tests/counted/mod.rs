//! What tests of memory share: an allocator that counts, and the labels of a fleet like the benchmark's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use garner_storage::model::Labels;

struct Counting;

/// Bytes of the heap in use.
pub static NOW: AtomicUsize = AtomicUsize::new(0);
/// The most so far.
pub static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: each call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Series of each target, as in the benchmark's fleet.
pub const SERIES_PER_TARGET: usize = 270;

pub fn labels(target: usize, series: usize) -> Labels {
    let (metric, cpu) = (
        format!("node_metric_{:03}_total", series % 90),
        (series / 90).to_string(),
    );
    let (instance, mode) = (
        format!("10.0.{}.{}:9100", target / 250, target % 250),
        ["idle", "user"][series % 2],
    );
    Labels::from_pairs([
        ("__name__", metric.as_str()),
        ("cluster", "eu-1"),
        ("cpu", cpu.as_str()),
        ("instance", instance.as_str()),
        ("job", "node"),
        ("mode", mode),
        ("namespace", "monitoring"),
    ])
}
