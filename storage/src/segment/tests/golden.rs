//! Kept files of every format version are read.

use super::*;

/// What the kept files of each format version hold.
fn golden_samples() -> Samples {
    let mut series = Samples::new();
    let grid = |n: i64, value: &dyn Fn(i64) -> f64| -> Vec<(i64, f64)> {
        (0..n)
            .map(|i| (1_763_000_000_000_000_000 + i * 15_000_000_000, value(i)))
            .collect()
    };
    for pod in ["a", "b"] {
        for (i, le) in ["0.1", "1", "10", "+Inf"].into_iter().enumerate() {
            let labels = [("__name__", "seconds_bucket"), ("pod", pod), ("le", le)];
            series.insert(key(&labels), grid(130, &|t| (t * (i as i64 + 1)) as f64));
        }
    }
    series.insert(key(&[("__name__", "constant")]), grid(200, &|_| 7.0));
    series.insert(
        key(&[("__name__", "decimal"), ("ключ", "ü")]),
        grid(300, &|t| ((t * 7919) % 1000) as f64 / 100.0),
    );
    series.insert(key(&[("__name__", "float")]), grid(300, &|t| (t as f64).sin()));
    series.insert(
        key(&[("__name__", "multiplied")]),
        grid(300, &|t| (t * 7919) as f64 * 0.001),
    );
    series.insert(
        key(&[("__name__", "divided_twice")]),
        grid(300, &|t| (t * 7919) as f64 / 1000.0 / 1000.0),
    );
    let sum_of_durations = |n: i64| (0..n).fold(0.0, |sum, t| sum + (t * 104_729 % 9973) as f64 / 1e9);
    series.insert(key(&[("__name__", "summed")]), grid(300, &sum_of_durations));
    // A later begin and missed scrapes: rows of the column that others have whole.
    let mut partly = grid(300, &|t| (t / 7) as f64);
    partly.drain(200..210);
    partly.drain(..40);
    series.insert(key(&[("__name__", "partly")]), partly);
    let odd = [
        f64::NAN,
        f64::from_bits(STALE_NAN_BITS),
        -0.0,
        f64::INFINITY,
        f64::MIN_POSITIVE,
    ];
    series.insert(
        key(&[("__name__", "odd")]),
        (0..5).map(|i| (i * i - 7, odd[i as usize])).collect(),
    );
    series.insert(key(&[]), vec![(i64::MIN, 1.0), (i64::MAX - 1, 2.0)]);
    series
}

fn golden_logs() -> Logs {
    let entry = |i: i64, line: &[u8]| Entry {
        time: 1_763_000_000_000_000_000 + i * 1_200_000_000_000,
        line: line.to_vec(),
        metadata: Labels::from_pairs([("trace_id", format!("{:04x}", i / 2))]),
        derived: if i % 3 == 0 {
            Labels::empty()
        } else {
            Labels::from_pairs([("detected_level", "info")])
        },
    };
    let streams = ["api", "db"].map(|app| {
        let lines = (0..20).map(|i| entry(i, format!("GET /{app}/{i} 200").as_bytes()));
        let odd = [entry(20, b""), entry(20, b"\xff\x00\n")];
        (key(&[("service_name", app)]), lines.chain(odd).collect())
    });
    streams.into()
}

/// Long and noisy enough for compaction to use entropy codes.
fn golden_noise() -> Samples {
    let mut state = 1u64;
    let mut noise = |range: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % range
    };
    let mut sum = 0;
    let mut series = Samples::new();
    for (name, range) in [("seconds_total", 1500), ("bytes", 110)] {
        let rows = (0..1500).map(|row| {
            let step = noise(range);
            sum = if row == 700 { 0 } else { sum + step };
            let value = if range == 1500 {
                sum as f64 / 100.0
            } else {
                (step * 4096) as f64
            };
            (1_763_000_000_000_000_000 + row * 15_000_000_000, value)
        });
        series.insert(key(&[("__name__", name)]), rows.collect());
    }
    series
}

const GOLDEN_METRICS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segments/v1-metrics.seg");
const GOLDEN_COMPACTED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/testdata/segments/v1-metrics-compacted.seg"
);
const GOLDEN_LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segments/v1-logs.seg");

/// Run by hand when a format version is released, never to make the test below pass.
#[test]
#[ignore = "writes the golden files"]
fn write_golden_files() {
    keep_file(GOLDEN_METRICS, &write_samples(&golden_samples()).unwrap());
    keep_file(GOLDEN_COMPACTED, &write_samples_as(&golden_noise(), 2).unwrap());
    keep_file(GOLDEN_LOGS, &write_logs(&golden_logs()).unwrap());
}

/// Files of every released format version are read for ever.
#[test]
fn golden_files_are_read() {
    let fixture = Fixture::new();
    let samples = inside(&golden_samples(), TimeRange::ALL);
    assert_eq!(
        read_all_samples(&fixture, &fixture.open_file(GOLDEN_METRICS), TimeRange::ALL),
        samples
    );
    assert_eq!(
        read_all_samples(&fixture, &fixture.open_file(GOLDEN_COMPACTED), TimeRange::ALL),
        inside(&golden_noise(), TimeRange::ALL)
    );
    assert_eq!(
        read_all_logs(&fixture, &fixture.open_file(GOLDEN_LOGS), TimeRange::ALL, ALL_COLUMNS),
        golden_logs()
    );
}
