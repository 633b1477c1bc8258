//! Requests as Grafana's Prometheus data source and its Metrics Drilldown app send them (grafana `pkg/promlib`,
//! `packages/grafana-prometheus/src/resource_clients.ts`), and the whole answer to each.
#![allow(missing_docs)]

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::go;
use garner_compat_tests::http::{Answer, Client};
use garner_compat_tests::write::{Series, accepted, remote_write};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A `prometheus.WriteRequest` of metadata alone, as Prometheus sends it once a minute.
const METADATA: &[u8] = b"\x1a\x27\x08\x01\x12\x13http_requests_total\x22\x0eRequests taken";

/// A server with samples every 15 s for five minutes, which end at a whole minute some minutes ago.
struct Scene {
    garner: Garner,
    _folder: tempfile::TempDir,
    end_s: i64,
}

impl Scene {
    fn new() -> Result<Scene> {
        let folder = tempfile::tempdir()?;
        let garner = Garner::start(&folder.path().join("data"), &Options::default())?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let end_s = now / 60 * 60 - 180;
        let times = || (0..=20).map(|i| ((end_s - 300 + i * 15) * 1000, i));
        let series = [
            Series {
                labels: vec![("__name__", "http_requests_total"), ("code", "200"), ("job", "api")],
                samples: times().map(|(time, i)| (time, 30.0 * i as f64)).collect(),
            },
            Series {
                labels: vec![("__name__", "http_requests_total"), ("code", "500"), ("job", "api")],
                samples: times().map(|(time, i)| (time, 1.5 * i as f64)).collect(),
            },
            Series {
                labels: vec![
                    ("__name__", "temperature.celsius"),
                    ("job", "room"),
                    ("room.name", "büro"),
                ],
                samples: times().map(|(time, _)| (time, 21.5)).collect(),
            },
        ];
        accepted(remote_write(&garner.client(), &series)?)?;
        let body = snap::raw::Encoder::new().compress_vec(METADATA)?;
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
            ("User-Agent", "Prometheus/3.14.0"),
        ];
        accepted(garner.client().post("/api/v1/write", &headers, &body)?)?;
        Ok(Scene {
            garner,
            _folder: folder,
            end_s,
        })
    }

    fn client(&self) -> Client {
        self.garner.client()
    }

    /// POST of a form, the default of the data source.
    fn post(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer> {
        let headers = [FORM, ("User-Agent", "Grafana/12.1.0")];
        self.client().post(path, &headers, go::encode(params).as_bytes())
    }

    fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer> {
        let uri = match params {
            [] => path.to_string(),
            params => format!("{path}?{}", go::encode(params)),
        };
        self.client().get_with(&uri, &[], &[("User-Agent", "Grafana/12.1.0")])
    }

    /// By both methods, with both prefixes; all must answer the same.
    fn both(&self, path: &str, params: &[(&str, &str)], expected: &Value) -> Result<()> {
        for prefix in ["", "/prometheus"] {
            let path = format!("{prefix}/api/v1/{path}");
            for answer in [self.get(&path, params)?, self.post(&path, params)?] {
                expect(&path, &answer, expected)?;
            }
        }
        Ok(())
    }
}

fn expect(what: &str, answer: &Answer, expected: &Value) -> Result<()> {
    ensure!(
        answer.header("content-type") == "application/json",
        "{what}: {:?}",
        answer.headers
    );
    let got = answer.json().with_context(|| what.to_string())?;
    ensure!(got == *expected, "{what}: expected\n{expected:#}\nnot\n{got:#}");
    Ok(())
}

fn success(data: Value) -> Value {
    json!({"status": "success", "data": data})
}

#[test]
fn save_and_test_then_the_flavour() -> Result<()> {
    let scene = Scene::new()?;
    let params = [("query", "1+1"), ("time", "4")];
    scene.both(
        "query",
        &params,
        &success(json!({"resultType": "scalar", "result": [4, "2"]})),
    )?;
    let info = scene.get("/api/v1/status/buildinfo", &[])?.json()?;
    ensure!(info["status"] == "success", "{info}");
    // A map of features would make Grafana believe in a Mimir whose rules it could edit.
    ensure!(
        info["data"].get("features").is_none() && info["data"]["application"] != "Grafana Mimir",
        "{info}"
    );
    let version = info["data"]["version"].as_str().context("version")?;
    ensure!(version.starts_with("3."), "{info}");
    for key in ["revision", "branch", "buildUser", "buildDate", "goVersion"] {
        ensure!(info["data"][key].is_string(), "{key}: {info}");
    }
    // Mimir's form for these two, with empty errors: it serves clients of both.
    for (path, data) in [("rules", json!({"groups": []})), ("alerts", json!({"alerts": []}))] {
        let expected = json!({"status": "success", "data": data, "errorType": "", "error": ""});
        expect(path, &scene.get(&format!("/api/v1/{path}"), &[])?, &expected)?;
    }
    let none = json!({"activeAlertmanagers": [], "droppedAlertmanagers": []});
    expect(
        "alertmanagers",
        &scene.get("/api/v1/alertmanagers", &[])?,
        &success(none),
    )?;
    Ok(())
}

#[test]
fn pickers_of_metrics_and_labels() -> Result<()> {
    let scene = Scene::new()?;
    let (start, end) = ((scene.end_s - 300).to_string(), scene.end_s.to_string());
    for flushed in [false, true] {
        if flushed {
            scene.garner.flush()?;
        }
        let range = [("start", start.as_str()), ("end", end.as_str())];
        let with = |more: &[(&'static str, &'static str)]| [&range[..], more].concat();
        let all = with(&[("limit", "40000")]);
        scene.both(
            "labels",
            &all,
            &success(json!(["__name__", "code", "job", "room.name"])),
        )?;
        let of = with(&[("match[]", "http_requests_total"), ("limit", "40000")]);
        scene.both("labels", &of, &success(json!(["__name__", "code", "job"])))?;
        let names = json!(["http_requests_total", "temperature.celsius"]);
        for (path, params, data) in [
            ("label/__name__/values", all.clone(), names),
            (
                "label/code/values",
                with(&[("match[]", r#"{__name__="http_requests_total"}"#)]),
                json!(["200", "500"]),
            ),
            // Names that are no identifiers come escaped.
            ("label/U__room_2e_name/values", all.clone(), json!(["büro"])),
            ("label/code/values", with(&[("match[]", r#"{job="room"}"#)]), json!([])),
        ] {
            expect(path, &scene.get(&format!("/api/v1/{path}"), &params)?, &success(data))?;
        }
        let limited = scene.get("/api/v1/label/code/values", &with(&[("limit", "1")]))?;
        let expected = json!({"status": "success", "data": ["200"], "warnings": ["results truncated due to limit"]});
        expect("a limit", &limited, &expected)?;
        let room = json!([{"__name__": "temperature.celsius", "job": "room", "room.name": "büro"}]);
        let utf8 = with(&[("match[]", r#"{"temperature.celsius","room.name"="büro"}"#)]);
        scene.both("series", &utf8, &success(room))?;
    }
    let entry = json!({"http_requests_total": [{"type": "counter", "unit": "", "help": "Requests taken"}]});
    for params in [&[][..], &[("metric", "http_requests_total")], &[("limit", "40000")]] {
        expect(
            "metadata",
            &scene.get("/api/v1/metadata", params)?,
            &success(entry.clone()),
        )?;
    }
    expect(
        "no metadata",
        &scene.get("/api/v1/metadata", &[("metric", "nosuch")])?,
        &success(json!({})),
    )
}

#[test]
fn panels_and_explore() -> Result<()> {
    let scene = Scene::new()?;
    for flushed in [false, true] {
        if flushed {
            scene.garner.flush()?;
        }
        let end_s = scene.end_s;
        // The backend aligns ranges to the step and writes seconds.
        let (start, end) = ((end_s - 60).to_string(), end_s.to_string());
        let range = [
            ("query", "sum by (code) (rate(http_requests_total[1m0s]))"),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("step", "30"),
        ];
        // Four samples of the minute, of which the first lies on its open start: Prometheus extrapolates 45 s to 60 s, in
        // just this order of operations.
        let values = |difference: f64| {
            let value = (difference * (60.0 / 45.0 / 60.0)).to_string();
            json!([[end_s - 60, value], [end_s - 30, value], [end_s, value]])
        };
        let result = json!([
            {"metric": {"code": "200"}, "values": values(90.0)},
            {"metric": {"code": "500"}, "values": values(4.5)},
        ]);
        scene.both(
            "query_range",
            &range,
            &success(json!({"resultType": "matrix", "result": result})),
        )?;

        let instant = [("query", r#"http_requests_total{code="500"}"#), ("time", end.as_str())];
        let metric = json!({"__name__": "http_requests_total", "code": "500", "job": "api"});
        let result = json!([{"metric": metric, "value": [end_s, "30"]}]);
        scene.both(
            "query",
            &instant,
            &success(json!({"resultType": "vector", "result": result})),
        )?;

        let utf8 = [
            ("query", r#"{"temperature.celsius", "room.name"=~"b.+"} + 0.5"#),
            ("time", end.as_str()),
        ];
        let result = json!([{"metric": {"job": "room", "room.name": "büro"}, "value": [end_s, "22"]}]);
        scene.both(
            "query",
            &utf8,
            &success(json!({"resultType": "vector", "result": result})),
        )?;

        // Explore asks for exemplars of every query that it shows.
        let exemplars = [("query", range[0].1), ("start", start.as_str()), ("end", end.as_str())];
        scene.both("query_exemplars", &exemplars, &success(json!([])))?;
    }
    let format = [("query", r#"sum   by(code)(rate(http_requests_total{job="api"}[1m]))"#)];
    let text = r#"sum by (code) (rate(http_requests_total{job="api"}[1m]))"#;
    scene.both("format_query", &format, &success(json!(text)))
}

#[test]
fn mistakes_are_told_in_prometheus_words() -> Result<()> {
    let scene = Scene::new()?;
    for (path, params, status, kind, text) in [
        (
            "query",
            [("query", "sum("), ("time", "4"), ("x", "")],
            400,
            "bad_data",
            r#"invalid parameter "query": 1:5: parse error: unclosed left parenthesis"#,
        ),
        (
            "query_range",
            [("query", "up"), ("start", "0"), ("end", "1000000")],
            400,
            "bad_data",
            r#"invalid parameter "step": cannot parse "" to a valid duration"#,
        ),
        (
            "query",
            [
                ("query", "http_requests_total + on (job) http_requests_total"),
                ("time", "4"),
                ("x", ""),
            ],
            200,
            "",
            "",
        ),
    ] {
        for answer in [
            scene.get(&format!("/api/v1/{path}"), &params)?,
            scene.post(&format!("/api/v1/{path}"), &params)?,
        ] {
            let json: Value = serde_json::from_slice(&answer.body)?;
            ensure!(answer.status == status, "{path} {params:?}: {} {json}", answer.status);
            if status != 200 {
                let expected = json!({"status": "error", "errorType": kind, "error": text});
                ensure!(json == expected, "{path} {params:?}: {json}");
            }
        }
    }
    let (time, query) = (
        scene.end_s.to_string(),
        "http_requests_total + on (job) http_requests_total",
    );
    let answer = scene.post("/api/v1/query", &[("query", query), ("time", &time)])?;
    let json: Value = serde_json::from_slice(&answer.body)?;
    ensure!(
        answer.status == 422 && json["errorType"] == "execution",
        "{} {json}",
        answer.status
    );
    ensure!(
        json["error"]
            .as_str()
            .is_some_and(|text| text.starts_with("found duplicate series for the match group {job=\"api\"}")),
        "{json}"
    );
    Ok(())
}
