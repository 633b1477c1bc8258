//! The LogQL questions of the benchmark, the nearest LogsQL, and how they are asked.

use anyhow::{Result, ensure};
use garner_compat_tests::http::Client;
use serde_json::Value;

use crate::lines::{BASE_NS, SPAN_NS};
use crate::server::{Program, check_answer};

/// One question in both languages.
pub struct LogQuestion {
    /// Its name in tables.
    pub title: &'static str,
    /// For Loki and garner.
    pub logql: &'static str,
    /// For VictoriaLogs.
    pub logsql: &'static str,
    /// Most lines of a log answer.
    pub limit: &'static str,
}

const fn question(title: &'static str, logql: &'static str, logsql: &'static str, limit: &'static str) -> LogQuestion {
    LogQuestion {
        title,
        logql,
        logsql,
        limit,
    }
}

/// Every question with a latency row. Windows of five minutes, one after the other, over all the data.
pub const QUESTIONS: &[LogQuestion] = &[
    question("select, limit 1000", r#"{app="api"}"#, r#"{app="api"}"#, "1000"),
    question(
        "needle over everything",
        r#"{app=~".+"} |= "req-7f3a9c51d2e84b60""#,
        r#""req-7f3a9c51d2e84b60""#,
        "1000",
    ),
    question(
        "rare regex",
        r#"{app=~".+"} |~ "req-7f3a9c[a-f0-9]+b60""#,
        r#"~"req-7f3a9c[a-f0-9]+b60""#,
        "1000",
    ),
    question(
        r#"|= "error", limit 100"#,
        r#"{app=~".+"} |= "error""#,
        r#"error"#,
        "100",
    ),
    question(
        "count by app over all",
        r#"sum by (app) (count_over_time({app=~".+"}[5m]))"#,
        r#"* | stats by (_time:5m, app) count()"#,
        "1000",
    ),
    question(
        "json 5xx rate by app",
        r#"sum by (app) (rate({app=~"auth|ingress|search"} | json | status >= 500 [5m]))"#,
        r#"{app=~"auth|ingress|search"} | unpack_json | filter status:>=500 | stats by (_time:5m, app) count()"#,
        "1000",
    ),
    question(
        "logfmt quantile of a duration by app",
        r#"quantile_over_time(0.99, {app=~"api|gateway|queue"} | logfmt | unwrap duration(duration) [5m]) by (app)"#,
        r#"{app=~"api|gateway|queue"} | unpack_logfmt | stats by (_time:5m, app) quantile(0.99, duration)"#,
        "1000",
    ),
    question(
        "topk of errors by app",
        r#"topk(5, sum by (app) (count_over_time({app=~".+"} |= "error" [5m])))"#,
        r#"error | stats by (_time:5m, app) count() n | sort by (n desc) | limit 5"#,
        "1000",
    ),
];

impl LogQuestion {
    /// Asks it once; what the server says it did for it, where it says so.
    pub fn ask(&self, program: &Program, client: &Client) -> Result<Option<Processed>> {
        let (start, end) = (BASE_NS.to_string(), (BASE_NS + SPAN_NS).to_string());
        if matches!(program, Program::VictoriaLogs(_)) {
            let seconds = |ns: i64| (ns / 1_000_000_000).to_string();
            let (start, end) = (seconds(BASE_NS), seconds(BASE_NS + SPAN_NS));
            let mut params = vec![("query", self.logsql), ("start", start.as_str()), ("end", end.as_str())];
            // The newest lines, as the other language means it; a pipe would take any.
            if !self.logsql.contains(" stats ") {
                params.push(("limit", self.limit));
            }
            let answer = client.get("/select/logsql/query", &params)?;
            ensure!(
                answer.status == 200 && !answer.body.is_empty(),
                "{}: {} {}",
                self.logsql,
                answer.status,
                answer.text()
            );
            return Ok(None);
        }
        let params = [
            ("query", self.logql),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("limit", self.limit),
            ("step", "300"),
        ];
        let answer = client.get("/loki/api/v1/query_range", &params)?;
        check_answer(self.logql, &answer)?;
        Ok(processed(&answer.body))
    }
}

/// What a server says of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Processed {
    /// Lines looked at.
    pub lines: f64,
    /// Bytes of them.
    pub bytes: f64,
    /// Bytes read from the store, compressed.
    pub stored_bytes: f64,
}

/// The figures of `stats`, read from the text: parsing whole answers would stand in the latency.
fn processed(body: &[u8]) -> Option<Processed> {
    // They stand behind the result.
    let at = memchr_last(body, b"\"stats\":")?;
    let text = std::str::from_utf8(&body[at..]).ok()?;
    let number = |name: &str| -> Option<f64> {
        let at = text.find(&format!("\"{name}\":"))? + name.len() + 3;
        let rest = text.get(at..)?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    Some(Processed {
        lines: number("totalLinesProcessed")?,
        bytes: number("totalBytesProcessed")?,
        stored_bytes: number("objectBytes")
            .or_else(|| number("compressedBytes"))
            .unwrap_or(0.0),
    })
}

fn memchr_last(body: &[u8], text: &[u8]) -> Option<usize> {
    body.windows(text.len()).rposition(|window| window == text)
}

/// Values of the label that has most.
pub fn label_values(program: &Program, client: &Client) -> Result<()> {
    let (start, end) = (BASE_NS.to_string(), (BASE_NS + SPAN_NS).to_string());
    let answer = match program {
        Program::VictoriaLogs(_) => client.get(
            "/select/logsql/stream_field_values",
            &[("query", "*"), ("field", "pod"), ("start", &start), ("end", &end)],
        )?,
        _ => client.get("/loki/api/v1/label/pod/values", &[("start", &start), ("end", &end)])?,
    };
    let json: Value = answer.json()?;
    let values = json["data"].as_array().or(json["values"].as_array());
    ensure!(values.is_some_and(|v| v.len() > 50), "label values: {}", answer.text());
    Ok(())
}
