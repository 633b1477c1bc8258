//! Precedence, spellings and refusals of settings, and that the documentation lists every one.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use garner_storage::engine::WalSync;

use super::{RawSettings, Settings};

fn from_file(text: &str) -> Result<Settings, String> {
    let raw = RawSettings::default()
        .with_file("garner.toml", text)
        .map_err(|e| e.to_string())?;
    Settings::resolve(&raw).map_err(|e| e.to_string())
}

fn from_env(name: &str, value: &str) -> Result<Settings, String> {
    let raw = RawSettings::default().with_env([(name.to_string(), value.to_string())]);
    Settings::resolve(&raw).map_err(|e| e.to_string())
}

#[test]
fn defaults_stand_alone() {
    let settings = Settings::resolve(&RawSettings::default()).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:3100");
    assert_eq!(settings.storage.store.data_dir, PathBuf::from("./garner-data"));
    assert_eq!(settings.storage.store.wal_sync, WalSync::Always);
    assert_eq!(settings.logs.push, garner_ingest::LogLimits::default());
    assert_eq!(settings.metrics.write, garner_ingest::MetricLimits::default());
    assert!(!settings.server.tenancy_required);
}

#[test]
fn the_disk_cache_is_for_objects_elsewhere() {
    let disk = |text: &str| from_file(text).unwrap().storage.store.piece_cache.disk;
    assert_eq!(disk(""), None);
    assert_eq!(
        disk("[object_store]\nurl = \"file:///o\"\n[cache]\ndisk_size = \"1GB\""),
        None
    );
    let s3 = "[object_store]\nurl = \"s3://b\"\n[storage]\ndata_dir = \"/d\"\n[cache]\n";
    let auto = disk(s3).unwrap();
    assert_eq!((auto.path, auto.max_bytes), (PathBuf::from("/d/cache"), 4 << 30));
    let given = disk(&format!("{s3}disk_size = \"64MB\"\ndisk_path = \"/fast\"")).unwrap();
    assert_eq!((given.path, given.max_bytes), (PathBuf::from("/fast"), 64 << 20));
    assert_eq!(disk(&format!("{s3}disk_size = 0")), None);
    assert!(from_file("[cache]\ndisk_size = \"lots\"").is_err());
    assert_eq!(from_file("").unwrap().storage.store.piece_cache.memory_bytes, 64 << 20);
}

#[test]
fn a_flag_beats_a_variable_beats_the_file() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n";
    let env = [("GARNER_SERVER_LISTEN".to_string(), "127.0.0.1:2".to_string())];
    let raw = RawSettings::default().with_file("f", file).unwrap();
    assert_eq!(Settings::resolve(&raw).unwrap().server.listen.port(), 1);
    let raw = raw.with_env(env);
    assert_eq!(Settings::resolve(&raw).unwrap().server.listen.port(), 2);
    let raw = raw.with_flag("server.listen", "--listen", Some("127.0.0.1:3".to_string()));
    assert_eq!(Settings::resolve(&raw).unwrap().server.listen.port(), 3);
}

#[test]
fn values_read_in_the_spelling_of_the_originals() {
    let settings = from_file(
        "[tenancy]\nrequired = true\n[limits]\nmax_line_size = \"256KB\"\nmax_query_length = \"30d1h\"\n\
         reject_old_samples = true\nreject_old_samples_max_age = \"87600h\"\ndiscover_service_name = []\n\
         [limits.metrics]\nmax_label_names_per_series = 31\n[wal]\nsync = \"interval\"\nsync_interval = \"1s\"\n",
    )
    .unwrap();
    assert!(settings.server.tenancy_required);
    assert_eq!(settings.logs.push.max_line_size, 262_144);
    assert_eq!(settings.logs.max_query_length, Duration::from_secs(30 * 86_400 + 3_600));
    assert_eq!(
        settings.logs.push.reject_old_samples_max_age,
        Duration::from_secs(87_600 * 3_600)
    );
    assert!(settings.logs.push.discover_service_name.is_empty());
    assert_eq!(settings.metrics.write.max_label_names_per_series, 31);
    assert_eq!(
        settings.storage.store.wal_sync,
        WalSync::Interval(Duration::from_secs(1))
    );
    let settings = from_env("GARNER_LIMITS_DISCOVER_SERVICE_NAME", "a, b").unwrap();
    assert_eq!(settings.logs.push.discover_service_name, ["a", "b"]);
}

#[test]
fn the_usual_aws_variables_are_read_and_own_ones_are_stronger() {
    let pairs = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:8333"),
        ("AWS_REGION", "eu-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_PROFILE", "ignored"),
        ("GARNER_OBJECT_STORE_REGION", "eu-2"),
    ];
    let raw = RawSettings::default().with_env(pairs.map(|(n, v)| (n.to_string(), v.to_string())));
    let store = Settings::resolve(&raw).unwrap().storage.object_store;
    assert_eq!(store.endpoint.as_deref(), Some("http://127.0.0.1:8333"));
    assert_eq!(store.region.as_deref(), Some("eu-2"));
    assert!(store.allow_http);
    assert!(!format!("{store:?}").contains("hush"), "secrets are not shown");
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let check = |result: Result<Settings, String>, expected: &str| {
        assert_eq!(result.map(|_| ()), Err(expected.to_string()));
        assert_eq!(expected.lines().count(), 1);
    };
    check(
        from_file("[limits]\nmax_lin_size = 1\n"),
        "unknown setting limits.max_lin_size in garner.toml; did you mean limits.max_line_size?",
    );
    check(
        from_file("listen = 5\n"),
        "unknown setting listen in garner.toml; did you mean server.listen?",
    );
    check(
        from_file("[frobnicator]\n"),
        "unknown setting frobnicator in garner.toml; docs/configuration.md lists all settings",
    );
    check(
        from_file("[limits]\nmax_line_size = \"12 apples\"\n"),
        "bad value \"12 apples\" for limits.max_line_size (garner.toml): expected a size such as \"256KB\", \"4MB\" or a \
         number of bytes",
    );
    check(
        from_file("[flush]\nlogs_max_age = 0\n"),
        "bad value \"0\" for flush.logs_max_age (garner.toml): expected a duration above zero such as \"5m\"",
    );
    check(
        from_file("[server]\nlisten = { port = 1 }\n"),
        "unknown setting server.listen.port in garner.toml; server.listen takes a value, not a section",
    );
    check(
        from_file("[limits]\nmax_line_size = [[1]]\n"),
        "limits.max_line_size in garner.toml: expected a string, number, boolean or a list of those",
    );
    check(
        from_env("GARNER_LIMITS_QUERY_TIMEOUT", "soon"),
        "bad value \"soon\" for limits.query_timeout (variable GARNER_LIMITS_QUERY_TIMEOUT): expected a duration such as \
         \"10m\", \"1w\" or \"30d1h\"",
    );
    check(
        from_env("GARNER_SERVER_LISTN", "x"),
        "unknown environment variable GARNER_SERVER_LISTN; did you mean GARNER_SERVER_LISTEN?",
    );
    let syntax = from_file("[server\nlisten = 5\n").map(|_| ()).unwrap_err();
    assert!(syntax.starts_with("garner.toml:1:"), "{syntax}");
    assert_eq!(syntax.lines().count(), 1);
}

#[test]
fn retention_is_read_for_all_and_for_single_tenants() {
    let text = r#"
        [limits]
        retention_period = "31d"
        [[limits.retention_stream]]
        selector = '{namespace="dev"}'
        priority = 2
        period = "24h"
        [[limits.retention_stream]]
        selector = '{app=~"a|b"}'
        period = "1w"
        [limits.metrics]
        compactor_blocks_retention_period = "1y"
        retention_stream = [{selector = 'up{job="x"}', priority = -1, period = "2d"}]
        [overrides."team.a"]
        retention_period = "2d"
        [overrides.b]
        retention_stream = []
        metrics.compactor_blocks_retention_period = "0"
    "#;
    let day = |n: u64| Duration::from_secs(n * 86_400);
    let retention = from_file(text).unwrap().storage.store.retention;
    let [logs, metrics] = &retention.defaults;
    let periods: Vec<_> = logs
        .streams
        .iter()
        .map(|r| (r.priority, r.period, r.matchers.len()))
        .collect();
    assert_eq!((logs.period, periods), (day(31), vec![(2, day(1), 1), (0, day(7), 1)]));
    assert_eq!(logs.streams[1].matchers[0].to_string(), r#"app=~"a|b""#);
    assert_eq!((metrics.period, metrics.streams[0].matchers.len()), (day(365), 2));
    let of = |name: &str| &retention.tenants[&garner_storage::model::TenantId::new(name).unwrap()];
    assert_eq!((of("team.a")[0].period, of("team.a")[0].streams.len()), (day(2), 2));
    assert_eq!((of("b")[0].period, of("b")[0].streams.len()), (day(31), 0));
    assert_eq!((of("b")[1].period, of("b")[1].streams.len()), (day(0), 1));
    let json = r#"[{"selector": "{app=\"x\"}", "priority": 1, "period": "24h"}]"#;
    let retention = from_env("GARNER_LIMITS_RETENTION_STREAM", json)
        .unwrap()
        .storage
        .store
        .retention;
    assert_eq!(retention.defaults[0].streams[0].period, day(1));

    let refused = |text: &str, part: &str| {
        let error = from_file(text).map(|_| ()).unwrap_err();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    };
    let rule = |rule: &str| format!("[limits]\nretention_stream = [{rule}]\n");
    refused(
        &rule(r#"{selector = "{app=", period = "24h"}"#),
        "limits.retention_stream",
    );
    refused(
        &rule(r#"{selector = '{a="b"}', period = "soon"}"#),
        "limits.retention_stream",
    );
    refused(
        &rule(r#"{selector = '{a="b"}', periods = "24h"}"#),
        "limits.retention_stream",
    );
    refused(&rule("5"), "limits.retention_stream");
    refused(
        "[overrides.b]\nretention_periods = 5\n",
        "did you mean retention_period?",
    );
    refused("[overrides.b]\nretention_period = \"x\"\n", "tenant b");
    refused("[overrides]\nb = 5\n", "overrides.b in garner.toml: expected a section");
    refused("[overrides.\"a/b\"]\nretention_period = \"1d\"\n", "a/b");
}

#[test]
fn objects_stay_longer_than_the_longest_query() {
    let grace = |text: &str| from_file(text).unwrap().storage.store.deletion_grace;
    assert_eq!(grace(""), Duration::from_secs(3600));
    let text = "[limits]\nquery_timeout = \"1h\"\n[compaction]\ndeletion_grace = \"1m\"\n";
    assert_eq!(grace(text), Duration::from_secs(2 * 3600 + 300));
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_no_settings() {
    for name in [
        "GARNER_SERVICE_HOST",
        "GARNER_SERVICE_PORT",
        "GARNER_SERVICE_PORT_HTTP",
        "GARNER_PORT",
        "GARNER_PORT_3100_TCP",
        "GARNER_PORT_3100_TCP_ADDR",
        "GARNER_HEADLESS_PORT_3100_TCP_PROTO",
        "GARNER_CONFIG",
    ] {
        assert!(from_env(name, "tcp://10.0.0.1:3100").is_ok(), "{name}");
    }
    assert!(from_env("GARNER_PORT_X", "1").is_err());
}

#[test]
fn every_setting_is_documented_with_its_default_and_variable() {
    let page = include_str!("../../../docs/configuration.md");
    for setting in Settings::declared().unwrap() {
        let start = format!("| `{}` |", setting.key);
        let row = page.lines().find(|line| line.starts_with(&start));
        let expected = setting.markdown_row();
        assert_eq!(
            row,
            Some(expected.as_str()),
            "docs/configuration.md, the row of {}",
            setting.key
        );
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        rows,
        Settings::declared().unwrap().len(),
        "docs/configuration.md lists a setting that does not exist"
    );
}
