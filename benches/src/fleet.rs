//! A seeded fleet: scrape targets with Kubernetes-like labels and series that move as real ones do.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Series of each target.
pub const SERIES_PER_TARGET: usize = 273;
/// 2026-01-10T00:00:00Z in milliseconds.
pub const BASE_MS: i64 = 1_768_003_200_000;
/// Milliseconds between scrapes.
pub const INTERVAL_MS: i64 = 15_000;

const CPUS: usize = 8;
const CPU_MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const BUCKETS: [&str; 12] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
];
const PODS: usize = 10;

/// How a series moves from scrape to scrape.
#[derive(Clone, Copy)]
enum Kind {
    /// Stays what it is.
    Constant,
    /// A counter of hundredths of seconds.
    CpuSeconds,
    /// An integer counter with about this many events a scrape.
    Counter(f64),
    /// A cumulative bucket of a histogram: about this many events a scrape, and those of the bucket before.
    Bucket(f64),
    /// A gauge in bytes, in multiples of a page.
    Bytes,
    /// A gauge with two decimals.
    Decimal,
}

/// One series: its labels, sorted by name, and its state.
pub struct FleetSeries {
    /// Sorted label pairs.
    pub labels: Vec<(String, String)>,
    kind: Kind,
    value: f64,
}

/// One target with its jitter.
pub struct Target {
    /// Its series.
    pub series: Vec<FleetSeries>,
    offset_ms: i64,
    rng: StdRng,
}

fn labels(name: &str, target: usize, more: &[(&str, String)]) -> Vec<(String, String)> {
    let mut out = vec![
        ("__name__".to_string(), name.to_string()),
        ("cluster".to_string(), format!("cluster-{}", target % 5)),
        (
            "instance".to_string(),
            format!("10.1.{}.{}:9100", target / 250, target % 250),
        ),
        ("job".to_string(), "node".to_string()),
    ];
    out.extend(more.iter().map(|(n, v)| (n.to_string(), v.clone())));
    out.sort();
    out
}

impl Target {
    /// Target number `target`; equal numbers give equal data.
    pub fn new(target: usize) -> Target {
        let mut rng = StdRng::seed_from_u64(0x6761_726e_6572 + target as u64);
        let mut series = Vec::with_capacity(SERIES_PER_TARGET);
        let mut add =
            |labels: Vec<(String, String)>, kind: Kind, value: f64| series.push(FleetSeries { labels, kind, value });
        for cpu in 0..CPUS {
            for mode in CPU_MODES {
                let more = [("cpu", cpu.to_string()), ("mode", mode.to_string())];
                add(
                    labels("node_cpu_seconds_total", target, &more),
                    Kind::CpuSeconds,
                    (cpu * 1000) as f64,
                );
            }
        }
        for path in ["/", "/api", "/login"] {
            for code in ["200", "404", "500"] {
                let more = [("path", path.to_string()), ("code", code.to_string())];
                let rate = if code == "200" { 150.0 } else { 3.0 };
                add(labels("http_requests_total", target, &more), Kind::Counter(rate), 0.0);
            }
            for le in BUCKETS {
                let more = [("path", path.to_string()), ("le", le.to_string())];
                add(
                    labels("http_request_duration_seconds_bucket", target, &more),
                    Kind::Bucket(12.0),
                    0.0,
                );
            }
        }
        for pod in 0..PODS {
            let name = format!("pod-{target}-{pod}");
            for phase in ["Failed", "Pending", "Running", "Succeeded", "Unknown"] {
                let more = [
                    ("pod", name.clone()),
                    ("namespace", format!("ns-{}", pod % 4)),
                    ("phase", phase.to_string()),
                ];
                add(
                    labels("kube_pod_status_phase", target, &more),
                    Kind::Constant,
                    f64::from(phase == "Running"),
                );
            }
            for resource in ["cpu", "memory"] {
                let more = [
                    ("pod", name.clone()),
                    ("namespace", format!("ns-{}", pod % 4)),
                    ("resource", resource.to_string()),
                ];
                add(
                    labels("kube_pod_container_resource_requests", target, &more),
                    Kind::Constant,
                    0.25,
                );
            }
        }
        add(
            labels("kube_node_info", target, &[("node", format!("node-{target}"))]),
            Kind::Constant,
            1.0,
        );
        for i in 0..45 {
            let more = [("device", format!("dev{i}"))];
            add(
                labels("node_disk_bytes", target, &more),
                Kind::Bytes,
                4096.0 * f64::from(i * 1000),
            );
            if i < 25 {
                add(labels("node_hwmon_temp_celsius", target, &more), Kind::Decimal, 40.0);
            }
        }
        while series.len() < SERIES_PER_TARGET {
            let more = [("option", format!("option-{}", series.len()))];
            series.push(FleetSeries {
                labels: labels("node_boot_info", target, &more),
                kind: Kind::Constant,
                value: 1.0,
            });
        }
        series.truncate(SERIES_PER_TARGET);
        let offset_ms = rng.random_range(0..INTERVAL_MS);
        Target { series, offset_ms, rng }
    }

    /// Moves on to scrape number `scrape`; the scrape's time and each series' value, in the order of `series`.
    pub fn scrape(&mut self, scrape: usize, values: &mut Vec<f64>) -> i64 {
        values.clear();
        // What came into the bucket before. Buckets of one histogram are neighbours, those of two never are.
        let mut below = 0.0;
        for series in &mut self.series {
            let rng = &mut self.rng;
            if !matches!(series.kind, Kind::Bucket(_)) {
                below = 0.0;
            }
            match series.kind {
                Kind::Constant => {}
                Kind::CpuSeconds => {
                    series.value = ((series.value + rng.random_range(0.0..15.0)) * 100.0).round() / 100.0
                }
                Kind::Counter(rate) => series.value += events(rng, rate),
                Kind::Bucket(rate) => {
                    below += events(rng, rate);
                    series.value += below;
                }
                Kind::Bytes => series.value = (series.value + 4096.0 * f64::from(rng.random_range(-50..60))).max(0.0),
                Kind::Decimal => series.value = ((series.value + rng.random_range(-0.5..0.5)) * 100.0).round() / 100.0,
            }
            values.push(series.value);
        }
        BASE_MS + self.offset_ms + scrape as i64 * INTERVAL_MS + self.rng.random_range(0..3)
    }
}

/// Events of one scrape, `rate` on average.
fn events(rng: &mut StdRng, rate: f64) -> f64 {
    (rng.random_range(0.5..1.5) * rate).floor()
}
