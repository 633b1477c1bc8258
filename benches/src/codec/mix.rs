//! A seeded mix of series of which nearly all move: the hard case that a small idle machine does not show. Shares of kinds
//! are those of a busy application: noisy counters with resets, byte counters, seconds with two decimals, gauges of one to
//! three decimals, percentages, gauges of bytes, small whole numbers, steps, histograms, floats of full precision, and 11 %
//! constants.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::series::Series;

/// Milliseconds between scrapes.
const INTERVAL_MS: i64 = 15_000;
const BASE_MS: i64 = 1_768_003_200_000;
/// Observations of a histogram per scrape, and its buckets.
const BUCKETS: [&str; 12] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
];

/// `rows` scrapes of one target with 222 series.
pub fn series(rows: usize, seed: u64) -> Vec<Series> {
    let mut mix = Mix {
        rng: StdRng::seed_from_u64(seed),
        rows,
        times: Vec::new(),
        out: Vec::new(),
    };
    mix.times = (0..rows as i64)
        .map(|i| (BASE_MS + i * INTERVAL_MS + mix.rng.random_range(0..3)) * 1_000_000)
        .collect();
    mix.counters();
    mix.gauges();
    mix.quiet();
    mix.histograms();
    mix.out
}

struct Mix {
    rng: StdRng,
    rows: usize,
    times: Vec<i64>,
    out: Vec<Series>,
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let power = 10f64.powi(decimals);
    (value * power).round() / power
}

/// About normal, mean 0, deviation 1.
fn normal(rng: &mut StdRng) -> f64 {
    (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0
}

impl Mix {
    fn push(&mut self, class: &'static str, pairs: &[(&str, &str)], mut next: impl FnMut(&mut StdRng, usize) -> f64) {
        let values = (0..self.rows).map(|row| next(&mut self.rng, row)).collect();
        self.out.push(Series {
            class,
            labels: pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            times: self.times.clone(),
            values,
        });
    }

    fn counters(&mut self) {
        for i in 0..20 {
            let (rate, mut sum) = (3.0 * f64::from(i + 1), f64::from(i) * 1e5);
            let name = ("id", i.to_string());
            self.push(
                "int_counter",
                &[("__name__", "requests_total"), (name.0, &name.1)],
                |rng, _| {
                    sum += (rate * (1.0 + normal(rng) / 3.0)).max(0.0).round();
                    if rng.random_range(0..2000) == 0 {
                        sum = 0.0;
                    }
                    sum
                },
            );
        }
        for i in 0..10 {
            let mut sum = f64::from(i) * 1e9;
            self.push(
                "byte_counter",
                &[("__name__", "sent_bytes_total"), ("id", &i.to_string())],
                |rng, _| {
                    sum += (4e6 * (1.0 + normal(rng) / 3.0)).max(0.0).round();
                    sum
                },
            );
        }
        for i in 0..20 {
            let mut sum = f64::from(i) * 1e4;
            self.push(
                "dec_counter",
                &[("__name__", "cpu_seconds_total"), ("id", &i.to_string())],
                |rng, _| {
                    sum = rounded(sum + (0.9 * (1.0 + normal(rng) / 2.0)).max(0.0), 2);
                    sum
                },
            );
        }
    }

    fn gauges(&mut self) {
        for i in 0..40 {
            let decimals = 1 + i % 3;
            let (middle, mut value) = (20.0 + f64::from(i), 20.0 + f64::from(i));
            let width = 10f64.powi(-decimals) * 24.0;
            self.push(
                "dec_gauge",
                &[("__name__", "temperature"), ("id", &i.to_string())],
                |rng, _| {
                    value += (middle - value) / 20.0 + normal(rng) * width;
                    rounded(value, decimals)
                },
            );
        }
        for i in 0..20 {
            let (mut bytes, page) = (2e8 + f64::from(i) * 1e7, 4096.0);
            self.push(
                "bytes_gauge",
                &[("__name__", "heap_bytes"), ("id", &i.to_string())],
                |rng, _| {
                    // Half are a heap that grows and is collected, half wander.
                    bytes += match i % 2 {
                        0 if bytes > 5e8 => -3e8,
                        0 => rng.random_range(0.0..2e7),
                        _ => normal(rng) * 1e6,
                    };
                    (bytes / page).round() * page
                },
            );
        }
        for i in 0..10 {
            let mut value: f64 = 20.0;
            self.push(
                "int_gauge",
                &[("__name__", "connections"), ("id", &i.to_string())],
                |rng, _| {
                    if rng.random_range(0..4) == 0 {
                        value = (value + f64::from(rng.random_range(-2..=2))).max(0.0);
                    }
                    value
                },
            );
        }
        for i in 0..15 {
            let mut value = 0.5;
            self.push("float", &[("__name__", "ratio"), ("id", &i.to_string())], |rng, _| {
                value += (0.5 - value) / 10.0 + normal(rng) * 0.02;
                value
            });
        }
    }

    fn quiet(&mut self) {
        for i in 0..25 {
            let value = f64::from(i) * 1234.5;
            self.push("const", &[("__name__", "limit"), ("id", &i.to_string())], |_, _| value);
        }
        for i in 0..6 {
            let mut value = 1.0;
            self.push("step", &[("__name__", "replicas"), ("id", &i.to_string())], |rng, _| {
                if rng.random_range(0..100) == 0 {
                    value = f64::from(rng.random_range(1..12));
                }
                value
            });
        }
    }

    fn histograms(&mut self) {
        for i in 0..4 {
            let id = i.to_string();
            let mut counts = [0u64; BUCKETS.len()];
            let mut sum = 0.0;
            let mut columns = vec![Vec::with_capacity(self.rows); BUCKETS.len()];
            let mut sums = Vec::with_capacity(self.rows);
            for _ in 0..self.rows {
                for _ in 0..self.rng.random_range(10..60) {
                    let seconds = (normal(&mut self.rng) * 1.2 - 2.5).exp();
                    sum += seconds;
                    for (count, le) in counts.iter_mut().zip(BUCKETS) {
                        let bound = le.parse().unwrap_or(f64::INFINITY);
                        *count += u64::from(seconds <= bound);
                    }
                }
                for (column, count) in columns.iter_mut().zip(counts) {
                    column.push(count as f64);
                }
                sums.push(sum);
            }
            for (le, column) in BUCKETS.iter().zip(columns) {
                let labels = [("__name__", "seconds_bucket"), ("id", id.as_str()), ("le", le)];
                self.push("hist_bucket", &labels, |_, row| column[row]);
            }
            self.push("float_sum", &[("__name__", "seconds_sum"), ("id", &id)], |_, row| {
                sums[row]
            });
        }
    }
}
