//! `/api/v1/features`: what of Prometheus' features is here (prometheus `util/features/features.go`, `web/web.go`,
//! `promql/parser/features.go`).
//!
//! What the language can do is not listed but tried: each function, operator and modifier is lowered in a small query, so
//! that the answer cannot fall behind the engine. There is no category `rules`, since there is no ruler.

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::Response;
use garner_query::promql::ast::ValueType;
use garner_query::promql::{FUNCTIONS, Function, LowerRequest, ParseOptions, lower, parse_expr};
use garner_storage::model::NANOS_PER_SECOND;
use serde_json::{Map, Value, json};

use super::query_ast::success;
use crate::server::{Ask, SharedApp};

/// Those of two vectors; the others stand in [`OTHER_OPERATORS`].
const OPERATORS: [&str; 18] = [
    "!=", "%", "*", "+", "-", "/", "<", "</", "<=", "==", ">", ">/", ">=", "^", "and", "atan2", "or", "unless",
];

/// What Prometheus counts as operators too, and a query that uses it.
const OTHER_OPERATORS: [(&str, &str); 3] = [("!~", "x{a!~\"b\"}"), ("=~", "x{a=~\"b\"}"), ("@", "x @ 1")];

/// An aggregation with its arguments.
const AGGREGATIONS: [(&str, &str); 14] = [
    ("avg", "x"),
    ("bottomk", "1, x"),
    ("count", "x"),
    ("count_values", "\"a\", x"),
    ("group", "x"),
    ("limit_ratio", "0.5, x"),
    ("limitk", "1, x"),
    ("max", "x"),
    ("min", "x"),
    ("quantile", "0.5, x"),
    ("stddev", "x"),
    ("stdvar", "x"),
    ("sum", "x"),
    ("topk", "1, x"),
];

/// A modifier and a query that uses it.
const SYNTAX: [(&str, &str); 20] = [
    ("anchored", "rate(x[1m] anchored)"),
    ("at_modifier", "x @ 1"),
    ("bool", "x > bool 1"),
    ("by", "sum by (a) (x)"),
    ("delayed_name_removal", ""),
    ("duration_expr", "rate(x[1m + 1m])"),
    ("fill", "x + fill(0) x"),
    ("fill_left", "x + fill_left(0) x"),
    ("fill_right", "x + fill_right(0) x"),
    ("group_left", "x * on (a) group_left () x"),
    ("group_right", "x * on (a) group_right () x"),
    ("ignoring", "x * ignoring (a) x"),
    ("negative_offset", "x offset -1m"),
    ("offset", "x offset 1m"),
    ("on", "x * on (a) x"),
    ("per_step_stats", ""),
    ("smoothed", "rate(x[1m] smoothed)"),
    ("subqueries", "rate(x[1m:1s])"),
    ("type_and_unit_labels", ""),
    ("without", "sum without (a) (x)"),
];

/// Answers one request.
pub async fn features(State(app): State<SharedApp>, _ask: Ask) -> Response {
    static FEATURES: OnceLock<Value> = OnceLock::new();
    let mut features = FEATURES.get_or_init(all).clone();
    features["api"]["admin"] = app.settings.deletes.enabled.into();
    features["promql"]["type_and_unit_labels"] = app.settings.promql.type_and_unit_labels.into();
    let otlp = &app.settings.metrics.write.otlp;
    features["otlp_receiver"]["native_delta_ingestion"] = otlp.native_delta_ingestion.into();
    features["promql"]["delayed_name_removal"] = app.settings.promql.delayed_name_removal.into();
    success(features)
}

fn all() -> Value {
    let mut operators: Map<String, Value> = OPERATORS
        .iter()
        .map(|op| (op.to_string(), works(&binary(op)).into()))
        .collect();
    operators.extend(OTHER_OPERATORS.map(|(name, query)| (name.to_string(), works(query).into())));
    operators.extend(AGGREGATIONS.map(|(name, args)| (name.to_string(), works(&format!("{name}({args})")).into())));
    let functions: Map<String, Value> = FUNCTIONS
        .iter()
        .map(|function| (function.name.to_string(), works(&call(function)).into()))
        .collect();
    let mut syntax: Map<String, Value> = SYNTAX
        .iter()
        .map(|(name, query)| (name.to_string(), works(query).into()))
        .collect();
    syntax.insert("per_query_lookback_delta".to_string(), true.into());
    json!({
        "api": {
            "admin": false,
            "label_values_match": true,
            "lifecycle": false,
            "otlp_write_receiver": true,
            "query_stats": true,
            "query_warnings": true,
            "remote_write_receiver": true,
            "search": false,
            "time_range_labels": true,
            "time_range_series": true,
        },
        "otlp_receiver": {"delta_conversion": false, "native_delta_ingestion": false},
        "prometheus": {"agent_mode": false, "server_mode": true},
        "promql": syntax,
        "promql_functions": functions,
        "promql_operators": operators,
        "tsdb": {"exemplar_storage": true, "metadata_wal_records": true, "native_histograms": true, "st_storage": true},
    })
}

fn binary(op: &str) -> String {
    format!("x {op} x")
}

/// A call with the fewest arguments.
fn call(function: &Function) -> String {
    let optional = usize::from(function.variadic != 0);
    let args = &function.args[..function.args.len().saturating_sub(optional)];
    let written: Vec<&str> = args
        .iter()
        .map(|arg| match arg {
            ValueType::Scalar => "0.5",
            ValueType::Vector => "x",
            ValueType::Matrix => "x[1m]",
            ValueType::String => "\"a\"",
        })
        .collect();
    format!("{}({})", function.name, written.join(", "))
}

fn works(query: &str) -> bool {
    let request = LowerRequest::range(0, 60 * NANOS_PER_SECOND, NANOS_PER_SECOND, NANOS_PER_SECOND);
    parse_expr(query, &ParseOptions::default()).is_ok_and(|expr| lower(&expr, &request).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_that_is_tried_is_one() {
        let queries = FUNCTIONS.iter().map(call);
        let aggregations = AGGREGATIONS.iter().map(|(name, args)| format!("{name}({args})"));
        let syntax = SYNTAX
            .iter()
            .map(|(_, query)| query.to_string())
            .filter(|q| !q.is_empty());
        for query in queries
            .chain(aggregations)
            .chain(syntax)
            .chain(OPERATORS.iter().map(|op| binary(op)))
            .chain(OTHER_OPERATORS.iter().map(|(_, query)| query.to_string()))
        {
            assert!(parse_expr(&query, &ParseOptions::default()).is_ok(), "{query}");
        }
        assert!(works("rate(x[1m])") && !works("nosuch(x)"));
    }
}
