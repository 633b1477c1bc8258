//! The PromQL questions of the benchmark and how they are asked.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use garner_compat_tests::http::Client;
use garner_compat_tests::write::{Series, accepted, remote_write};

use crate::Size;
use crate::fleet::{BASE_MS, INTERVAL_MS};
use crate::server::check_answer;

/// What a question is.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// A query at the newest time.
    Instant(&'static str),
    /// A query over the last hour at 15 s.
    Range(&'static str),
    /// Values of the label with [`UIDS`] values.
    LabelValues,
    /// The series of one metric.
    Series(&'static str),
}

/// The dashboard join.
pub const JOIN: &str = r#"sum(kube_pod_status_phase{phase="Running"} * on (pod) group_left(namespace, resource) sum(kube_pod_container_resource_requests{resource="cpu"}) by (pod, resource)) by (resource)"#;

/// Every question with a latency row.
pub const QUESTIONS: &[Question] = &[
    Question::Instant("kube_node_info"),
    Question::Range("kube_node_info"),
    Question::Range("sum by (cluster) (rate(node_cpu_seconds_total[5m]))"),
    Question::Range(JOIN),
    Question::Range("histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"),
    Question::Range("histogram_quantile(0.99, sum by (le, cluster) (rate(http_request_duration_seconds_bucket[5m])))"),
    Question::Range(r#"topk(10, rate(http_requests_total{code="200"}[5m]))"#),
    Question::Range(
        r#"sum by (cluster) (rate(http_requests_total{code="500"}[5m])) / sum by (cluster) (rate(http_requests_total[5m]))"#,
    ),
    Question::Instant(r#"count({__name__=~".+"})"#),
    Question::Range("quantile_over_time(0.9, node_hwmon_temp_celsius[5m])"),
    Question::Range("max_over_time(node_hwmon_temp_celsius[1h])"),
    Question::Range("max_over_time(sum by (cluster) (rate(node_cpu_seconds_total[5m]))[30m:1m])"),
    Question::Series("kube_node_info"),
    Question::LabelValues,
];

/// Values of `uid`, see [`write_uids`].
const UIDS: usize = 100_000;
const UIDS_PER_REQUEST: usize = 5_000;
/// How long a server may take until it answers what it has accepted.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

impl Question {
    /// Its name in tables.
    pub fn title(&self) -> String {
        match self {
            Question::Instant(query) => format!("`{query}` instant"),
            Question::Range(query) => format!("`{query}`"),
            Question::LabelValues => "label values, 100k of them".to_string(),
            Question::Series(metric) => format!("series of `{metric}`"),
        }
    }

    /// Asks it once; fails on anything but an answer with content.
    pub fn ask(&self, client: &Client, size: Size) -> Result<()> {
        let end = BASE_MS + size.scrapes as i64 * INTERVAL_MS;
        let (start, end) = (((end - 3_600_000) / 1000).to_string(), (end / 1000).to_string());
        match self {
            Question::Instant(query) => {
                let params = [("query", *query), ("time", end.as_str())];
                check_answer(query, &client.get("/api/v1/query", &params)?)
            }
            Question::Range(query) => {
                let params = [
                    ("query", *query),
                    ("start", start.as_str()),
                    ("end", end.as_str()),
                    ("step", "15"),
                ];
                check_answer(query, &client.get("/api/v1/query_range", &params)?)
            }
            Question::Series(metric) => {
                let params = [("match[]", *metric), ("start", start.as_str()), ("end", end.as_str())];
                let answer = client.get("/api/v1/series", &params)?;
                ensure!(
                    answer.status == 200 && answer.body.len() > 100,
                    "series: {}",
                    answer.text()
                );
                Ok(())
            }
            Question::LabelValues => {
                let params = [("start", start.as_str()), ("end", end.as_str())];
                let answer = client.get("/api/v1/label/uid/values", &params)?;
                ensure!(
                    answer.status == 200 && answer.body.len() > UIDS * 8,
                    "label values: {} and {} bytes",
                    answer.status,
                    answer.body.len()
                );
                Ok(())
            }
        }
    }
}

/// One sample each of series whose label `uid` has 100k values, at the end of the fleet's time. Returns once they are shown.
pub fn write_uids(client: &Client, size: Size) -> Result<()> {
    let time = BASE_MS + size.scrapes as i64 * INTERVAL_MS - 1;
    let uids: Vec<String> = (0..UIDS).map(|i| format!("uid-{i:08x}")).collect();
    for part in uids.chunks(UIDS_PER_REQUEST) {
        let body: Vec<Series> = part
            .iter()
            .map(|uid| Series {
                labels: vec![("__name__", "pod_uid_info"), ("uid", uid)],
                samples: vec![(time, 1.0)],
            })
            .collect();
        accepted(remote_write(client, &body)?)?;
    }
    // A server may take its time until it shows what it has accepted.
    let last = format!("pod_uid_info{{uid=\"uid-{:08x}\"}}", UIDS - 1);
    let params = [("query", last.as_str()), ("time", &((time + 1) / 1000).to_string())];
    let asked = Instant::now();
    loop {
        match check_answer(&last, &client.get("/api/v1/query", &params)?) {
            Err(_) if asked.elapsed() < SHOWN_WITHIN => std::thread::sleep(Duration::from_millis(100)),
            shown => return shown,
        }
    }
}
