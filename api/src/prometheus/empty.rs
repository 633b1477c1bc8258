//! Lists that garner has nothing for, in the shapes that clients read: targets, rules, alerts.

use std::collections::BTreeMap;

use axum::response::Response;
use garner_query::promql::parse_metric_selector;

use super::params::invalid;
use super::selectors::matcher_sets;
use crate::error::{Failure, JsonFailure};
use crate::params::{Params, go_quote, parse_int};
use crate::server::{Ask, prometheus_json};

/// `/api/v1/targets`: garner scrapes nothing.
pub async fn targets(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}}"#)
}

/// `/api/v1/targets/metadata`
pub async fn targets_metadata(ask: Ask) -> Result<Response, JsonFailure> {
    check_number(&ask.params, "limit")?;
    match ask.params.get("match_target") {
        "" => {}
        text => {
            parse_metric_selector(text).map_err(|error| invalid("match_target", error))?;
        }
    }
    Ok(prometheus_json(r#"{"status":"success","data":[]}"#))
}

/// `/api/v1/scrape_pools`
pub async fn scrape_pools(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{"scrapePools":[]}}"#)
}

/// `/api/v1/scrape_pools/config`: there is none of any name.
pub async fn scrape_pool_config(ask: Ask) -> JsonFailure {
    match ask.params.get("scrapePool") {
        "" => Failure::bad_data("no scrapePool parameter provided").into(),
        pool => unknown_pool(pool),
    }
}

/// `/api/v1/targets/relabel_steps`
pub async fn relabel_steps(ask: Ask) -> JsonFailure {
    let labels = ask.params.get("labels");
    match ask.params.get("scrapePool") {
        "" => Failure::bad_data("no scrapePool parameter provided").into(),
        _ if labels.is_empty() => Failure::bad_data("no labels parameter provided").into(),
        pool => match serde_json::from_str::<BTreeMap<String, String>>(labels) {
            Ok(_) => unknown_pool(pool),
            Err(error) => Failure::bad_data(format!("error parsing labels: {error}")).into(),
        },
    }
}

/// Text of prometheus `scrape/manager.go`, `ScrapePoolConfig`.
fn unknown_pool(pool: &str) -> JsonFailure {
    let text = format!(
        "error retrieving scrape config: scrape pool {} not found",
        go_quote(pool)
    );
    Failure::bad_data(text).into()
}

/// `/api/v1/alertmanagers`
pub async fn alertmanagers(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{"activeAlertmanagers":[],"droppedAlertmanagers":[]}}"#)
}

/// `/api/v1/rules`: there is no ruler. Loki's form of the empty answer, which Prometheus' clients read as well.
pub async fn rules(ask: Ask) -> Result<Response, JsonFailure> {
    check_rules(&ask.params)?;
    Ok(prometheus_json(
        r#"{"status":"success","data":{"groups":[]},"errorType":"","error":""}"#,
    ))
}

/// `/api/v1/alerts`
pub async fn alerts(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":{"alerts":[]},"errorType":"","error":""}"#)
}

/// `/api/v1/notifications`
pub async fn notifications(_ask: Ask) -> Response {
    prometheus_json(r#"{"status":"success","data":[]}"#)
}

fn check_number(params: &Params, name: &str) -> Result<(), Failure> {
    match params.get(name) {
        "" => Ok(()),
        text => match parse_int("Atoi", text) {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::bad_data(format!("{name} must be a number"))),
        },
    }
}

/// What Prometheus refuses of a request for rules (`web/api/v1/api.go`, `rules`).
fn check_rules(params: &Params) -> Result<(), Failure> {
    matcher_sets(params)?;
    let kind = params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(invalid("type", format!("not supported value {}", go_quote(&kind))));
    }
    // The words of Go's `strconv.ParseBool`.
    let exclude = params.get("exclude_alerts").to_lowercase();
    if !matches!(exclude.as_str(), "" | "1" | "t" | "true" | "0" | "f" | "false") {
        let reason = format!("strconv.ParseBool: parsing {}: invalid syntax", go_quote(&exclude));
        return Err(invalid(
            "exclude_alerts",
            format!("error converting exclude_alerts: {reason}"),
        ));
    }
    let limit = params.get("group_limit");
    if limit.is_empty() && !params.get("group_next_token").is_empty() {
        let reason = "group_limit needs to be present in order to paginate over the groups";
        return Err(invalid("group_next_token", reason));
    }
    if !limit.is_empty() {
        let number = parse_int("ParseInt", limit).map_err(|reason| {
            invalid(
                "group_limit",
                format!("group_limit needs to be a valid number: {reason}"),
            )
        })?;
        if i32::try_from(number).is_err() {
            let limit = go_quote(limit);
            let reason = format!("strconv.ParseInt: parsing {limit}: value out of range");
            return Err(invalid(
                "group_limit",
                format!("group_limit needs to be a valid number: {reason}"),
            ));
        }
        if number <= 0 {
            return Err(invalid("group_limit", "group_limit needs to be greater than 0"));
        }
        // No group means that none has this token.
        let token = params.get("group_next_token");
        if !token.is_empty() {
            let reason = format!("invalid group_next_token '{token}'. were rule groups changed?");
            return Err(invalid("group_next_token", reason));
        }
    }
    Ok(())
}
