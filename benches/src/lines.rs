//! Seeded log lines of the kinds that clusters write: logfmt, JSON, access logs and stack traces.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Streams of the data set.
pub const STREAMS: usize = 120;
/// The one line that holds this is the needle.
pub const NEEDLE: &str = "req-7f3a9c51d2e84b60";
/// 2026-01-10T00:00:00Z in nanoseconds.
pub const BASE_NS: i64 = 1_768_003_200_000_000_000;
/// All lines lie within this many nanoseconds.
pub const SPAN_NS: i64 = 2 * 3600 * 1_000_000_000;

const APPS: [&str; 12] = [
    "api", "auth", "billing", "cart", "gateway", "ingress", "mailer", "orders", "queue", "search", "shop", "users",
];

/// Makes lines stream by stream.
pub struct Lines {
    rng: StdRng,
}

/// The label set of stream `stream` in Loki's string form.
pub fn labels(stream: usize) -> String {
    let app = APPS[stream % APPS.len()];
    format!(
        r#"{{app="{app}", cluster="cluster-{}", namespace="ns-{}", pod="{app}-{stream}"}}"#,
        stream % 5,
        stream % 7
    )
}

impl Lines {
    /// Equal seeds give equal lines.
    pub fn new(seed: u64) -> Lines {
        Lines {
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The next line of stream `stream`.
    pub fn next(&mut self, stream: usize) -> String {
        let rng = &mut self.rng;
        let (id, ms, user): (u64, u32, u32) = (rng.random(), rng.random_range(1..2000), rng.random_range(1..50_000));
        let status = [200, 200, 200, 200, 201, 204, 301, 404, 500, 503][rng.random_range(0..10)];
        let level = if status >= 500 {
            "error"
        } else {
            ["info", "info", "debug", "warn"][rng.random_range(0..4)]
        };
        match stream % 4 {
            0 => format!(
                r#"level={level} ts=2026-01-10T00:00:00Z caller=handler.go:{} msg="request done" method=GET path=/api/v1/users/{user} status={status} duration={ms}ms trace_id={id:016x}"#,
                user % 400
            ),
            1 => format!(
                r#"{{"level":"{level}","msg":"order processed","order_id":"{id:016x}","user":{user},"status":{status},"latency_ms":{ms},"region":"eu-{}"}}"#,
                user % 3
            ),
            2 => format!(
                r#"10.{}.{}.{} - - [10/Jan/2026:00:00:00 +0000] "GET /shop/item/{user}?ref={} HTTP/1.1" {status} {} "-" "Mozilla/5.0 (X11; Linux x86_64)" {ms}"#,
                user % 256,
                ms % 256,
                id % 256,
                id % 1000,
                user * 3
            ),
            _ => format!(
                "2026-01-10 00:00:00,000 {} [worker-{}] com.example.queue.Consumer - message {id:016x} handled in {ms} ms, attempt {}",
                level.to_uppercase(),
                user % 32,
                ms % 4
            ),
        }
    }
}
