//! Requests as Grafana's Loki data source, its Logs Drilldown app and its alerting send them (grafana `pkg/tsdb/loki/api.go`,
//! `healthcheck.go`, `public/app/plugins/datasource/loki/LanguageProvider.ts`; logs-drilldown `src/services/datasource.ts`), and
//! the whole answer to each.
#![allow(missing_docs)]

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use garner_compat_tests::garner::{Garner, Options};
use garner_compat_tests::go;
use garner_compat_tests::http::{Answer, Client};
use garner_compat_tests::tail::{Event, Tail};
use serde_json::{Value, json};

const CATEGORIZE: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");
const SECOND: i64 = 1_000_000_000;

/// A server with the lines of the tests, which begin at a whole minute some ten minutes ago.
struct Scene {
    garner: Garner,
    _folder: tempfile::TempDir,
    base_s: i64,
}

impl Scene {
    fn new() -> Result<Scene> {
        let folder = tempfile::tempdir()?;
        let garner = Garner::start(&folder.path().join("data"), &Options::default())?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let scene = Scene {
            garner,
            _folder: folder,
            base_s: now / 60 * 60 - 600,
        };
        let (test, prod) = (
            json!({"app": "shop", "env": "test"}),
            json!({"app": "shop", "env": "prod"}),
        );
        let body = json!({"streams": [
            {"stream": test, "values": [
                [scene.ns(1), "level=info msg=\"sold 3\" took=12ms", {"trace_id": "abc"}],
                [scene.ns(2), "level=error msg=\"no stock\" took=7ms"],
            ]},
            {"stream": prod, "values": [
                [scene.ns(3), "{\"level\":\"warn\",\"user\":{\"id\":7},\"took\":\"1.5s\"}"],
            ]},
        ]});
        let headers = [("Content-Type", "application/json")];
        let answer = scene
            .client()
            .post("/loki/api/v1/push", &headers, body.to_string().as_bytes())?;
        ensure!(answer.status == 204, "{}", answer.text());
        Ok(scene)
    }

    fn client(&self) -> Client {
        self.garner.client()
    }

    /// Nanoseconds so many seconds after the base, as text.
    fn ns(&self, seconds: i64) -> String {
        ((self.base_s + seconds) * SECOND).to_string()
    }

    /// GET as the plugin's backend does it: parameters by Go's `url.Values.Encode`.
    fn get(&self, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Result<Answer> {
        let uri = match params {
            [] => path.to_string(),
            params => format!("{path}?{}", go::encode(params)),
        };
        let mut all = vec![("User-Agent", "Grafana/12.1.0")];
        all.extend_from_slice(headers);
        self.client().get_with(&uri, &[], &all)
    }

    /// The answer with `params` between the base and a minute later.
    fn within(&self, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Result<Answer> {
        let (start, end) = (self.ns(0), self.ns(60));
        let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
        all.extend_from_slice(params);
        self.get(path, &all, headers)
    }
}

/// The JSON of an answer with its streams and series in order of their labels and the stats replaced, after a look at them.
fn body(answer: &Answer) -> Result<Value> {
    ensure!(
        answer.header("content-type") == "application/json; charset=utf-8",
        "{:?}",
        answer.headers
    );
    let mut json = answer.json()?;
    if let Some(stats) = json.pointer_mut("/data/stats") {
        check_stats(stats)?;
        *stats = json!("checked");
    }
    if let Some(result) = json.pointer_mut("/data/result").and_then(Value::as_array_mut) {
        result.sort_by_key(|one| format!("{}{}", one["stream"], one["metric"]));
    }
    Ok(json)
}

/// What Grafana's query inspector and logcli print of the stats (loki `pkg/logqlmodel/stats/stats.proto`).
fn check_stats(stats: &Value) -> Result<()> {
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect();
        keys.sort();
        keys
    };
    let summary = [
        "bytesProcessedPerSecond",
        "execTime",
        "linesProcessedPerSecond",
        "queueTime",
        "shards",
        "splits",
        "subqueries",
        "totalBytesProcessed",
        "totalEntriesReturned",
        "totalLinesProcessed",
        "totalPostFilterLines",
        "totalStructuredMetadataBytesProcessed",
    ];
    ensure!(keys(&stats["summary"]) == summary, "{}", stats["summary"]);
    ensure!(
        stats["summary"]
            .as_object()
            .into_iter()
            .flatten()
            .all(|(_, v)| v.is_number()),
        "{stats}"
    );
    for part in ["querier", "ingester"] {
        let store = &stats[part]["store"];
        for name in ["totalChunksRef", "totalChunksDownloaded", "chunksDownloadTime"] {
            ensure!(store[name].is_number(), "{part}.store.{name}: {stats}");
        }
        for name in [
            "decompressedBytes",
            "decompressedLines",
            "compressedBytes",
            "headChunkBytes",
            "totalDuplicates",
        ] {
            ensure!(store["chunk"][name].is_number(), "{part}.store.chunk.{name}: {stats}");
        }
    }
    for cache in ["chunk", "index", "result", "statsResult", "volumeResult", "labelResult"] {
        ensure!(
            stats["cache"][cache]["entriesFound"].is_number(),
            "cache.{cache}: {stats}"
        );
    }
    Ok(())
}

fn expect(what: &str, answer: &Answer, expected: Value) -> Result<()> {
    let got = body(answer).with_context(|| what.to_string())?;
    ensure!(got == expected, "{what}: expected\n{expected:#}\nnot\n{got:#}");
    Ok(())
}

fn streams(flags: Option<&str>, result: Value) -> Value {
    let mut data = json!({"resultType": "streams"});
    if let Some(flag) = flags {
        data["encodingFlags"] = json!([flag]);
    }
    data["result"] = result;
    data["stats"] = json!("checked");
    json!({"status": "success", "data": data})
}

fn metric(kind: &str, result: Value) -> Value {
    json!({"status": "success", "data": {"resultType": kind, "result": result, "stats": "checked"}})
}

#[test]
fn save_and_test_of_every_grafana() -> Result<()> {
    let scene = Scene::new()?;
    // Today: an instant query without any stream, four seconds after the epoch in nanoseconds, which Loki reads as seconds
    // since it has ten digits. The plugin looks at the value alone.
    for direction in ["backward", "BACKWARD"] {
        let params = [
            ("query", "vector(1)+vector(1)"),
            ("direction", direction),
            ("time", "4000000000"),
        ];
        let answer = scene.get("/loki/api/v1/query", &params, &[])?;
        expect(
            "vector(1)+vector(1)",
            &answer,
            metric("vector", json!([{"metric": {}, "value": [4_000_000_000i64, "2"]}])),
        )?;
    }
    // Up to 2023: the labels of the last ten minutes.
    let answer = scene.within("/loki/api/v1/labels", &[], &[])?;
    expect(
        "labels",
        &answer,
        json!({"status": "success", "data": ["app", "env", "service_name"]}),
    )?;
    // In 2019.
    let answer = scene.get("/api/prom/label", &[("start", &scene.ns(0))], &[])?;
    expect("label", &answer, json!({"values": ["app", "env", "service_name"]}))?;
    let answer = scene.get("/loki/api/v1/status/buildinfo", &[], &[])?;
    let info = body(&answer)?;
    let version: Vec<u32> = info["version"]
        .as_str()
        .context("version")?
        .split('.')
        .flat_map(str::parse)
        .collect();
    // Logs Drilldown asks for 3.5 and later.
    ensure!(version.len() == 3 && version >= vec![3, 5, 0], "{info}");
    for key in ["revision", "branch", "buildDate", "buildUser", "goVersion"] {
        ensure!(info[key].is_string(), "{key}: {info}");
    }
    let ready = scene.get("/ready", &[], &[])?;
    ensure!(
        ready.status == 200 && ready.text().trim() == "ready",
        "{}",
        ready.text()
    );
    Ok(())
}

#[test]
fn panels_of_logs_and_metrics() -> Result<()> {
    let scene = Scene::new()?;
    for flushed in [false, true] {
        if flushed {
            scene.garner.flush()?;
        }
        logs(&scene)?;
        metrics(&scene)?;
    }
    Ok(())
}

fn logs(scene: &Scene) -> Result<()> {
    let lines = [
        "level=info msg=\"sold 3\" took=12ms",
        "level=error msg=\"no stock\" took=7ms",
        "{\"level\":\"warn\",\"user\":{\"id\":7},\"took\":\"1.5s\"}",
    ];
    let (test, prod) = (
        json!({"app": "shop", "env": "test", "service_name": "shop"}),
        json!({"app": "shop", "env": "prod", "service_name": "shop"}),
    );
    let explore = |query: &str, direction: &str, limit: &str, headers: &[(&str, &str)]| {
        let params = [
            ("query", query),
            ("direction", direction),
            ("limit", limit),
            ("step", "1000ms"),
        ];
        scene.within("/loki/api/v1/query_range", &params, headers)
    };

    let answer = explore(r#"{app="shop"}"#, "backward", "1000", &[CATEGORIZE])?;
    let result = json!([
        {"stream": prod, "values": [[scene.ns(3), lines[2], {"structuredMetadata": {"detected_level": "warn"}}]]},
        {"stream": test, "values": [
            [scene.ns(2), lines[1], {"structuredMetadata": {"detected_level": "error"}}],
            [scene.ns(1), lines[0], {"structuredMetadata": {"detected_level": "info", "trace_id": "abc"}}],
        ]},
    ]);
    expect("Explore", &answer, streams(Some("categorize-labels"), result))?;

    let answer = explore(r#"{app="shop"}"#, "forward", "2", &[])?;
    let with = |labels: &Value, more: Value| -> Value {
        let mut labels = labels.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            labels[name] = value.clone();
        }
        labels
    };
    // Two labels of every entry are no part of its stream: who does not tell them apart gets a stream for each.
    let info = with(&test, json!({"detected_level": "info", "trace_id": "abc"}));
    let error = with(&test, json!({"detected_level": "error"}));
    let sorted = |labels: &Value| -> Result<Value> {
        let map: std::collections::BTreeMap<String, Value> = serde_json::from_value(labels.clone())?;
        Ok(serde_json::to_value(map)?)
    };
    let result = json!([
        {"stream": sorted(&error)?, "values": [[scene.ns(2), lines[1]]]},
        {"stream": sorted(&info)?, "values": [[scene.ns(1), lines[0]]]},
    ]);
    expect("without flags", &answer, streams(None, result))?;

    let answer = explore(
        r#"{app="shop"} | logfmt | took < 10ms"#,
        "backward",
        "1000",
        &[CATEGORIZE],
    )?;
    let result = json!([{"stream": test, "values": [
        [scene.ns(2), lines[1], {
            "structuredMetadata": {"detected_level": "error"},
            "parsed": {"level": "error", "msg": "no stock", "took": "7ms"},
        }],
    ]}]);
    expect("parsed", &answer, streams(Some("categorize-labels"), result))?;

    let answer = explore(
        r#"{app="shop"} | json | user_id = "7" | line_format "{{.took}}""#,
        "backward",
        "1000",
        &[],
    )?;
    let all = with(
        &prod,
        json!({"detected_level": "warn", "level": "warn", "took": "1.5s", "user_id": "7"}),
    );
    let result = json!([{"stream": sorted(&all)?, "values": [[scene.ns(3), "1.5s"]]}]);
    expect("json", &answer, streams(None, result))?;

    // Log context of the second line: what lies before and behind it.
    let (middle, end) = (scene.ns(2), scene.ns(7200));
    let params = [
        ("query", r#"{app="shop",env="test"}"#),
        ("direction", "forward"),
        ("limit", "10"),
        ("start", middle.as_str()),
        ("end", end.as_str()),
    ];
    let answer = scene.get("/loki/api/v1/query_range", &params, &[CATEGORIZE])?;
    let entry = json!([scene.ns(2), lines[1], {"structuredMetadata": {"detected_level": "error"}}]);
    let result = json!([{"stream": test, "values": [entry]}]);
    expect("log context", &answer, streams(Some("categorize-labels"), result))?;

    let answer = explore(r#"{app="nosuch"}"#, "backward", "1000", &[])?;
    expect("nothing", &answer, streams(None, json!([])))?;

    // Go's client asks for gzip by itself.
    let answer = explore(
        r#"{app="shop"}"#,
        "backward",
        "1000",
        &[("Accept-Encoding", "gzip"), CATEGORIZE],
    )?;
    ensure!(answer.header("content-encoding") == "gzip", "{:?}", answer.headers);
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text)?;
    let json: Value = serde_json::from_str(&text)?;
    ensure!(json["data"]["result"].as_array().map(Vec::len) == Some(2), "{text}");
    ensure!(
        answer.header("x-loki-bytes-read-total").parse::<u64>().is_ok(),
        "{:?}",
        answer.headers
    );
    Ok(())
}

fn metrics(scene: &Scene) -> Result<()> {
    let at = |seconds: i64| scene.base_s + seconds;
    // The volume histogram above the lines.
    let query = r#"sum by (level, detected_level) (count_over_time({app="shop"} | drop __error__[1m]))"#;
    let params = [("query", query), ("direction", "backward"), ("step", "60000ms")];
    let answer = scene.within(
        "/loki/api/v1/query_range",
        &params,
        &[("X-Query-Tags", "Source=logvolhist")],
    )?;
    let one = |level: &str| json!({"metric": {"detected_level": level}, "values": [[at(60), "1"]]});
    expect(
        "volume",
        &answer,
        metric("matrix", json!([one("error"), one("info"), one("warn")])),
    )?;

    let time = scene.ns(60);
    let ask = |query: &str| {
        scene.get(
            "/loki/api/v1/query",
            &[("query", query), ("direction", "backward"), ("time", &time)],
            &[],
        )
    };
    let answer = ask(r#"sum(count_over_time({app="shop"}[1m]))"#)?;
    expect(
        "instant",
        &answer,
        metric("vector", json!([{"metric": {}, "value": [at(60), "3"]}])),
    )?;
    let answer =
        ask(r#"max by (env) (max_over_time({app="shop"} | logfmt | unwrap duration(took) | __error__="" [1m]))"#)?;
    let expected = json!([{"metric": {"env": "test"}, "value": [at(60), "0.012"]}]);
    expect("unwrap", &answer, metric("vector", expected))?;
    let answer = ask(r#"rate({app="nosuch"}[1m])"#)?;
    expect("an empty vector", &answer, metric("vector", json!([])))?;
    let answer = ask("1 + 1")?;
    let expected =
        json!({"status": "success", "data": {"resultType": "scalar", "result": [at(60), "2"], "stats": "checked"}});
    expect("a scalar", &answer, expected)?;

    // An alert rule: a range query of whole minutes, whose steps Grafana folds itself.
    let params = [
        ("query", r#"sum by (app) (rate({app="shop"} |= "error" [1m]))"#),
        ("direction", "backward"),
        ("step", "30000ms"),
    ];
    let answer = scene.within("/loki/api/v1/query_range", &params, &[("FromAlert", "true")])?;
    let rate = (1.0f64 / 60.0).to_string();
    let values = json!([[at(30), rate], [at(60), rate]]);
    expect(
        "alert",
        &answer,
        metric("matrix", json!([{"metric": {"app": "shop"}, "values": values}])),
    )
}

#[test]
fn label_browser_and_query_hints() -> Result<()> {
    let scene = Scene::new()?;
    let success = |data: Value| json!({"status": "success", "data": data});
    for flushed in [false, true] {
        if flushed {
            scene.garner.flush()?;
        }
        let answer = scene.within("/loki/api/v1/labels", &[("query", r#"{env="prod"}"#)], &[])?;
        expect("labels", &answer, success(json!(["app", "env", "service_name"])))?;
        let answer = scene.within("/loki/api/v1/label/env/values", &[], &[])?;
        expect("values", &answer, success(json!(["prod", "test"])))?;
        let answer = scene.within(
            "/loki/api/v1/label/env/values",
            &[("query", r#"{app="shop",env=~"t.*"}"#)],
            &[],
        )?;
        expect("values of a selector", &answer, success(json!(["test"])))?;
        let answer = scene.within("/loki/api/v1/label/nosuch/values", &[], &[])?;
        expect("no values", &answer, json!({"status": "success"}))?;
        let answer = scene.within("/loki/api/v1/series", &[("match[]", r#"{env="prod"}"#)], &[])?;
        let prod = json!({"app": "shop", "env": "prod", "service_name": "shop"});
        expect("series", &answer, success(json!([prod])))?;

        // The backend shows how much a query will read.
        let answer = scene.within("/loki/api/v1/index/stats", &[("query", r#"{app="shop"}"#)], &[])?;
        let stats = body(&answer)?;
        let keys: Vec<&String> = stats.as_object().context("an object")?.keys().collect();
        ensure!(keys == ["streams", "chunks", "bytes", "entries"], "{stats}");
        ensure!(
            stats["streams"] == 2 && stats["entries"] == 3 && stats["chunks"] == 2,
            "{stats}"
        );
        let least = "level=info msg=\"sold 3\" took=12ms".len() as u64;
        ensure!(
            stats["bytes"].as_u64().is_some_and(|bytes| bytes > 2 * least),
            "{stats}"
        );

        // Grafana's language provider probes this once and uses it for good where it answers.
        let answer = scene.within("/loki/api/v1/detected_labels", &[], &[])?;
        let label = |name: &str, cardinality: u32| json!({"label": name, "cardinality": cardinality});
        let expected = json!({"detectedLabels": [label("app", 1), label("env", 2), label("service_name", 1)]});
        expect("detected labels", &answer, expected)?;
    }
    Ok(())
}

#[test]
fn tabs_of_logs_drilldown() -> Result<()> {
    let scene = Scene::new()?;
    let query = r#"{service_name=~".+"}"#;
    // It sends times in ISO form here.
    let iso = |seconds: i64| -> Result<String> {
        let output = std::process::Command::new("date")
            .args([
                "-u",
                "-d",
                &format!("@{}", scene.base_s + seconds),
                "+%Y-%m-%dT%H:%M:%S.000Z",
            ])
            .output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_string())
    };
    let (start, end) = (iso(0)?, iso(60)?);
    let drill = |path: &str, params: &[(&str, &str)]| {
        let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
        all.extend_from_slice(params);
        scene.get(path, &all, &[("X-Query-Tags", "Source=grafana-lokiexplore-app")])
    };
    let answer = drill(
        "/loki/api/v1/index/volume",
        &[("query", query), ("limit", "5000"), ("targetLabels", "service_name")],
    )?;
    let volume = body(&answer)?;
    let bytes = volume["data"]["result"][0]["value"][1]
        .as_str()
        .context("bytes")?
        .to_string();
    ensure!(bytes.parse::<u64>()? > 70, "{volume}");
    let expected = json!([{"metric": {"service_name": "shop"}, "value": [scene.base_s + 60, bytes]}]);
    ensure!(volume == metric("vector", expected), "{volume}");
    let answer = drill(
        "/loki/api/v1/index/volume_range",
        &[
            ("query", query),
            ("limit", "10"),
            ("targetLabels", "env"),
            ("step", "1s"),
        ],
    )?;
    let ranged = body(&answer)?;
    let result = ranged["data"]["result"].as_array().context("result")?;
    ensure!(
        ranged["data"]["resultType"] == "matrix" && result.len() == 2,
        "{ranged}"
    );
    ensure!(result.iter().all(|one| one["values"][0][1].is_string()), "{ranged}");

    let answer = drill(
        "/loki/api/v1/detected_fields",
        &[
            ("query", r#"{service_name="shop"}"#),
            ("limit", "1000"),
            ("line_limit", "1000"),
        ],
    )?;
    let field = |label: &str, kind: &str, cardinality: u32, parser: Value, path: &[&str]| {
        let mut field = json!({"label": label, "type": kind, "cardinality": cardinality, "parsers": parser});
        if !path.is_empty() {
            field["jsonPath"] = json!(path);
        }
        field
    };
    let mut fields = body(&answer)?;
    if let Some(list) = fields["fields"].as_array_mut() {
        list.sort_by_key(|one| one["label"].to_string());
        // Both kinds of lines have these; either parser may stand first.
        for one in list {
            if let Some(parsers) = one["parsers"].as_array_mut() {
                parsers.sort_by_key(Value::to_string);
            }
        }
    }
    let both = json!(["json", "logfmt"]);
    let expected = json!({"fields": [
        field("detected_level", "string", 3, Value::Null, &[]),
        field("level", "string", 3, both.clone(), &["level"]),
        field("msg", "string", 2, json!(["logfmt"]), &[]),
        field("took", "duration", 3, both, &["took"]),
        field("trace_id", "string", 1, Value::Null, &[]),
        field("user_id", "int", 1, json!(["json"]), &["user", "id"]),
    ], "limit": 1000});
    ensure!(fields == expected, "expected\n{expected:#}\nnot\n{fields:#}");
    let answer = drill(
        "/loki/api/v1/detected_field/msg/values",
        &[("query", r#"{service_name="shop"}"#), ("limit", "1000")],
    )?;
    let mut values = body(&answer)?;
    if let Some(list) = values["values"].as_array_mut() {
        list.sort_by_key(Value::to_string);
    }
    ensure!(
        values == json!({"values": ["no stock", "sold 3"], "limit": 1000}),
        "{values}"
    );

    // Its requirements: volumes, patterns, levels, and what it shows where a limit is reached.
    // Loki names no charset here (loki pkg/loki/config_handler.go).
    let answer = drill("/loki/api/v1/drilldown-limits", &[])?;
    ensure!(
        answer.header("content-type") == "application/json",
        "{:?}",
        answer.headers
    );
    let limits = answer.json()?;
    ensure!(
        limits["pattern_ingester_enabled"] == true && limits["version"].is_string(),
        "{limits}"
    );
    for (name, expected) in [("volume_enabled", json!(true)), ("discover_log_levels", json!(true))] {
        ensure!(limits["limits"][name] == expected, "{name}: {limits}");
    }
    for name in ["max_entries_limit_per_query", "max_query_series"] {
        ensure!(limits["limits"][name].is_number(), "{name}: {limits}");
    }
    patterns(&scene)
}

fn patterns(scene: &Scene) -> Result<()> {
    let values: Vec<Value> = (0..40)
        .map(|i| json!([scene.ns(i), format!("user {i} was refused by rule {}", i * 7)]))
        .collect();
    let push = json!({"streams": [{"stream": {"app": "door"}, "values": values}]});
    let headers = [("Content-Type", "application/json")];
    let answer = scene
        .client()
        .post("/loki/api/v1/push", &headers, push.to_string().as_bytes())?;
    ensure!(answer.status == 204, "{}", answer.text());
    let params = [("query", r#"{app="door"}"#), ("step", "10s")];
    let answer = scene.within("/loki/api/v1/patterns", &params, &[])?;
    let samples: Vec<Value> = (0..4).map(|i| json!([scene.base_s + i * 10, 10])).collect();
    let expected = json!({"status": "success", "data": [
        {"pattern": "user <_> was refused by rule <_>", "level": "unknown", "samples": samples},
    ]});
    expect("patterns", &answer, expected)?;
    let answer = scene.within(
        "/loki/api/v1/patterns",
        &[("query", r#"{app="none"}"#), ("step", "10s")],
        &[],
    )?;
    expect("no patterns", &answer, json!({"status": "success", "data": []}))
}

#[test]
fn mistakes_of_users_are_told_and_the_ruler_is_off() -> Result<()> {
    let scene = Scene::new()?;
    // Texts of 5xx are hidden from users, so their own mistakes must be 4xx.
    for (query, text) in [
        (
            "{app=",
            "parse error at line 1, col 6: syntax error: unexpected $end, expecting STRING",
        ),
        (
            r#"{app=~".*"}"#,
            "parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
        ),
        (
            r#"{app=~"("}"#,
            "parse error : error parsing regexp: missing closing ): `(`",
        ),
        (
            r#"sum(rate({app="shop"}))"#,
            "parse error at line 1, col 22: syntax error: unexpected )",
        ),
    ] {
        for path in ["/loki/api/v1/query_range", "/loki/api/v1/query"] {
            let answer = scene.within(path, &[("query", query), ("step", "1000ms")], &[])?;
            ensure!(
                answer.status == 400 && answer.text().trim_end() == text,
                "{path} {query}: {} {}",
                answer.status,
                answer.text()
            );
            ensure!(
                answer.header("content-type") == "text/plain; charset=utf-8",
                "{:?}",
                answer.headers
            );
        }
    }
    for (path, status, text) in [
        ("/loki/api/v1/rules", 404, "no rule groups found"),
        ("/api/prom/rules/folder", 404, "no rule groups found"),
        ("/loki/api/v1/nosuch", 404, "404 page not found"),
    ] {
        let answer = scene.get(path, &[], &[])?;
        ensure!(
            answer.status == status && answer.text().trim_end() == text,
            "{path}: {}",
            answer.text()
        );
    }
    for (path, data) in [
        ("/prometheus/api/v1/rules", json!({"groups": []})),
        ("/prometheus/api/v1/alerts", json!({"alerts": []})),
    ] {
        let answer = scene.get(path, &[], &[])?.json()?;
        ensure!(
            answer["status"] == "success" && answer["data"] == data,
            "{path}: {answer}"
        );
    }
    Ok(())
}

#[test]
fn live_tailing_in_explore() -> Result<()> {
    let scene = Scene::new()?;
    let params = [("query", r#"{app="shop"} |= "stock""#), ("limit", "1000")];
    let path = format!("/loki/api/v1/tail?{}", go::encode(&params));
    let mut tail = Tail::open(scene.garner.port, &path, &[CATEGORIZE])?;
    let frame = |tail: &mut Tail| -> Result<Value> {
        loop {
            match tail.next(Duration::from_secs(30))? {
                Event::Frame(frame) => return Ok(frame),
                other => ensure!(matches!(other, Event::Quiet), "{other:?}"),
            }
        }
    };
    let expected = |time: String, line: &str| {
        json!({"streams": [{
            "stream": {"app": "shop", "env": "test", "service_name": "shop"},
            "values": [[time, line, {"structuredMetadata": {"detected_level": "error"}}]],
        }], "encodingFlags": ["categorize-labels"]})
    };
    let got = frame(&mut tail)?;
    ensure!(
        got == expected(scene.ns(2), "level=error msg=\"no stock\" took=7ms"),
        "{got:#}"
    );
    let push = json!({"streams": [{"stream": {"app": "shop", "env": "test"}, "values": [
        [scene.ns(4), "level=error in stock again"], [scene.ns(5), "not asked for"],
    ]}]});
    let headers = [("Content-Type", "application/json")];
    scene
        .client()
        .post("/loki/api/v1/push", &headers, push.to_string().as_bytes())?;
    let got = frame(&mut tail)?;
    ensure!(got == expected(scene.ns(4), "level=error in stock again"), "{got:#}");
    tail.close()
}
