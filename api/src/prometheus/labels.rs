//! `/api/v1/labels` and `/api/v1/label/<name>/values`.

use axum::extract::{Path, State};
use axum::response::Response;

use garner_storage::model::Signal;

use super::list::ListAnswer;
use super::params::{limit, metadata_range};
use super::selectors::matcher_sets;
use crate::error::{Failure, JsonFailure};
use crate::params::go_quote;
use crate::server::{Ask, MetadataQuery, SharedApp, answer, prometheus_json};

/// Names of labels.
pub async fn names(State(app): State<SharedApp>, ask: Ask) -> Result<Response, JsonFailure> {
    let limit = limit(&ask.params)?;
    let range = metadata_range(&ask.params)?;
    let selectors = matcher_sets(&ask.params)?;
    let query = MetadataQuery::new(&app, &ask.tenant, Signal::Metrics, range, selectors);
    let stats = query.stats();
    Ok(answer(
        &app,
        query.label_names(),
        move |names| ListAnswer::new(names, limit).with_stats(stats),
        prometheus_json,
    )
    .await?)
}

/// Values of one label.
pub async fn values(State(app): State<SharedApp>, Path(name): Path<String>, ask: Ask) -> Result<Response, JsonFailure> {
    let name = unescape_name(&name);
    if name.is_empty() {
        return Err(Failure::bad_data(format!("invalid label name: {}", go_quote(&name))).into());
    }
    let limit = limit(&ask.params)?;
    let range = metadata_range(&ask.params)?;
    let selectors = matcher_sets(&ask.params)?;
    let query = MetadataQuery::new(&app, &ask.tenant, Signal::Metrics, range, selectors);
    let stats = query.stats();
    let work = async move { query.label_values(&name).await };
    Ok(answer(
        &app,
        work,
        move |values| ListAnswer::new(values, limit).with_stats(stats),
        prometheus_json,
    )
    .await?)
}

/// Reads a name that a client escaped because it is no classic one: `U__` and then `__` for `_` and `_<hex>_` for any
/// other character (prometheus common `model/metric.go`, `UnescapeName`). A name that does not fit is taken as it is.
fn unescape_name(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else {
        return name.to_string();
    };
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let code = rest.find('_').filter(|end| (1..=6).contains(end)).and_then(|end| {
            let character = char::from_u32(u32::from_str_radix(&rest[..end], 16).ok()?)?;
            Some((character, end))
        });
        let Some((character, end)) = code else {
            return name.to_string();
        };
        out.push(character);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__my_2e_name", "my.name"),
            ("U__a__b", "a_b"),
            ("U___e9_t_e9_", "été"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U__", ""),
        ] {
            assert_eq!(unescape_name(escaped), name);
        }
    }
}
