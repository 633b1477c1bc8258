//! A steady remote write allocates nothing: known series are found by the bytes of their labels, rows go straight on.
//!
//! Alone in its program, since it counts the allocations of the whole process.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;

use garner_ingest::MetricLimits;
use garner_ingest::writer::{SampleRows, append_write_request};
use garner_storage::Result;
use garner_storage::model::{Exemplar, Histogram, Labels, MetadataRef};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes unchanged to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: usize = 500;
const NOW_MS: i64 = 1_768_003_200_000;

#[derive(Default)]
struct Rows {
    known: HashMap<u128, usize>,
    samples: Vec<(usize, i64, f64)>,
}

impl SampleRows for Rows {
    type Series = usize;

    fn lookup(&self, alias: u128) -> Option<usize> {
        self.known.get(&alias).copied()
    }

    fn active_series(&self) -> usize {
        self.known.len()
    }

    fn register(&mut self, alias: u128, _labels: Labels) -> Result<usize> {
        let series = self.known.len();
        self.known.insert(alias, series);
        Ok(series)
    }

    fn push(&mut self, series: usize, time_ns: i64, value: f64) {
        self.samples.push((series, time_ns, value));
    }

    fn push_histogram(&mut self, _series: usize, _time_ns: i64, _histogram: Histogram) {}

    fn set_start_time(&mut self, _start_ns: i64) {}

    fn exemplars(&self) -> usize {
        0
    }

    fn push_exemplar(&mut self, _series: usize, _exemplar: Exemplar) {}

    fn knows_metadata(&self, _metric: &str, _metadata: MetadataRef<'_>) -> bool {
        true
    }

    fn metadata_counts(&self, _metric: &str) -> (usize, usize) {
        (0, 0)
    }

    fn push_metadata(&mut self, _metric: &str, _metadata: MetadataRef<'_>) {}
}

fn field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One sample for each series, as a scrape of a Kubernetes pod would write it.
fn request(timestamp_ms: i64) -> Vec<u8> {
    let mut request = Vec::new();
    for index in 0..SERIES {
        let pod = format!("checkout-{index}");
        let mut series = Vec::new();
        for (name, value) in [
            ("__name__", "http_requests_total"),
            ("instance", "10.0.0.1:9100"),
            ("job", "größe"),
            ("pod", pod.as_str()),
        ] {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&(index as f64).to_le_bytes());
        sample.push(2 << 3);
        varint(&mut sample, timestamp_ms as u64);
        field(&mut series, 2, &sample);
        field(&mut request, 1, &series);
    }
    request
}

#[test]
fn known_series_cost_no_allocation() {
    let limits = MetricLimits::default();
    let (first, second) = (request(NOW_MS), request(NOW_MS + 15_000));
    let mut rows = Rows::default();
    rows.samples.reserve(2 * SERIES);

    let now_ns = NOW_MS * 1_000_000;
    append_write_request(&mut rows, &first, &limits, now_ns).unwrap();
    let before = ALLOCATIONS.with(Cell::get);
    assert!(before > SERIES as u64, "the allocations are not counted");
    let outcome = append_write_request(&mut rows, &second, &limits, now_ns).unwrap();
    let allocations = ALLOCATIONS.with(Cell::get) - before;

    assert_eq!(outcome.accepted_rows, SERIES as u64);
    assert_eq!((rows.known.len(), rows.samples.len()), (SERIES, 2 * SERIES));
    assert_eq!(allocations, 0);
}
