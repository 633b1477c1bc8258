//! `/config` and `/config/tenant/v1/limits`: the settings in force as YAML, in the shape of Loki's (loki
//! `pkg/loki/config_handler.go`) with garner's names; secrets are left out.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use garner_storage::model::Signal;
use garner_storage::retention::StreamRule;
use http::header;

use crate::config::duration::format_duration;
use crate::config::raw::RawValue;
use crate::config::reader::Effective;
use crate::error::TextFailure;
use crate::loki::drilldown::selector;
use crate::params::Params;
use crate::server::{Ask, SharedApp};

/// The settings; with `mode=diff` those that are no defaults.
pub async fn config(State(app): State<SharedApp>, request: axum::extract::Request) -> Response {
    let only_changed = Params::new(request.uri().query(), &[]).get("mode") == "diff";
    let shown = app.settings.effective.iter().filter(|s| s.is_changed || !only_changed);
    let mut text = String::new();
    if !only_changed {
        // What operators' scripts look at in Loki's page.
        let required = app.settings.server.tenancy_required;
        let _ = writeln!(text, "target: all\nauth_enabled: {required}\nno_auth_tenant: fake");
    }
    push_yaml(&mut text, shown.map(|setting| (setting.key, &setting.value)));
    page(text)
}

/// The limits of the asking tenant, by Loki's names. All but retention are the same for all tenants.
pub async fn tenant_limits(State(app): State<SharedApp>, ask: Ask) -> Result<Response, TextFailure> {
    let retention = app.settings.storage.store.retention.rules(&ask.tenant, Signal::Logs);
    let period = RawValue::Scalar(format_duration(retention.period));
    let streams = RawValue::Tables(retention.streams.iter().map(rule_table).collect());
    let limits = app.settings.effective.iter().filter_map(|setting: &Effective| {
        let name = setting.key.strip_prefix("limits.")?;
        let value = match name {
            "retention_period" => &period,
            "retention_stream" => &streams,
            _ => &setting.value,
        };
        (!name.starts_with("metrics.")).then_some((name, value))
    });
    let mut text = String::new();
    push_yaml(&mut text, limits);
    Ok(page(text))
}

fn rule_table(rule: &StreamRule) -> BTreeMap<String, String> {
    let row = [
        ("period", format_duration(rule.period)),
        ("priority", rule.priority.to_string()),
        ("selector", selector(&rule.matchers)),
    ];
    row.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

fn page(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Settings as nested maps; each stands where the first setting of its group stands.
fn push_yaml<'a>(out: &mut String, settings: impl Iterator<Item = (&'a str, &'a RawValue)>) {
    push_map(out, 0, &settings.collect::<Vec<_>>());
}

fn push_map(out: &mut String, depth: usize, settings: &[(&str, &RawValue)]) {
    let mut written: Vec<&str> = Vec::new();
    for (key, value) in settings {
        let Some((group, _)) = key.split_once('.') else {
            push_indented(out, depth, key);
            push_value(out, depth, value);
            continue;
        };
        if written.contains(&group) {
            continue;
        }
        written.push(group);
        push_indented(out, depth, group);
        out.push_str(":\n");
        let of_group: Vec<(&str, &RawValue)> = settings
            .iter()
            .filter_map(|(key, value)| {
                let (first, rest) = key.split_once('.')?;
                (first == group).then_some((rest, *value))
            })
            .collect();
        push_map(out, depth + 1, &of_group);
    }
}

fn push_indented(out: &mut String, depth: usize, text: &str) {
    out.extend(std::iter::repeat_n("    ", depth));
    out.push_str(text);
}

fn push_value(out: &mut String, depth: usize, value: &RawValue) {
    match value {
        RawValue::Scalar(text) => {
            out.push_str(": ");
            push_scalar(out, text);
            out.push('\n');
        }
        RawValue::List(items) if items.is_empty() => out.push_str(": []\n"),
        RawValue::Tables(tables) if tables.is_empty() => out.push_str(": []\n"),
        RawValue::Tables(tables) => {
            out.push_str(":\n");
            for table in tables {
                for (at, (key, text)) in table.iter().enumerate() {
                    push_indented(out, depth + 1, if at == 0 { "- " } else { "  " });
                    out.push_str(key);
                    out.push_str(": ");
                    push_scalar(out, text);
                    out.push('\n');
                }
            }
        }
        RawValue::List(items) => {
            out.push_str(":\n");
            for item in items {
                push_indented(out, depth + 1, "- ");
                push_scalar(out, item);
                out.push('\n');
            }
        }
    }
}

/// Plain where YAML reads it back as it stands, else in double quotes, whose escapes are those of Rust for what settings
/// hold.
fn push_scalar(out: &mut String, text: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./%@+-".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c)) && text.chars().all(plain) {
        out.push_str(text);
    } else {
        let _ = write!(out, "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_nested_maps() {
        let scalar = |text: &str| RawValue::Scalar(text.to_string());
        let list = |items: &[&str]| RawValue::List(items.iter().map(|i| i.to_string()).collect());
        let settings = [
            ("server.listen", scalar("127.0.0.1:3100")),
            ("limits.max_line_size", scalar("256KB")),
            ("limits.log_level_fields", list(&["level", "log.level", "a b"])),
            ("limits.otlp_config.drop", list(&[])),
            ("limits.metrics.max", scalar("0")),
            ("log.level", scalar("")),
            ("server.threads", scalar("4")),
        ];
        let mut text = String::new();
        push_yaml(&mut text, settings.iter().map(|(key, value)| (*key, value)));
        assert_eq!(
            text,
            "server:\n    listen: \"127.0.0.1:3100\"\n    threads: 4\nlimits:\n    max_line_size: 256KB\n    log_level_fields:\n        - level\n        \
             - log.level\n        - \"a b\"\n    otlp_config:\n        drop: []\n    metrics:\n        max: 0\nlog:\n    level: \"\"\n"
        );
    }
}
