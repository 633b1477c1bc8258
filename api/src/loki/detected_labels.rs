//! `/loki/api/v1/detected_labels`: labels worth choosing by, with how many values each has (loki `pkg/querier/querier.go`).

use std::collections::{BTreeMap, HashSet};

use axum::extract::State;
use axum::response::Response;
use garner_storage::model::Labels;

use super::options::limited_range;
use super::selectors::query_selector;
use crate::error::{Failure, TextFailure};
use crate::json::{push_int, push_string};
use crate::server::{MetadataQuery, ReadAsk, SharedApp, Written, answer, loki_json};

/// Labels that are shown whatever their values look like.
const STATIC_LABELS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// Answers one request.
pub async fn detected_labels(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    let range = limited_range(&app, &ask.params)?;
    let selectors = query_selector(&ask.params)?;
    let query = MetadataQuery::logs(&app, &ask.tenants, range, selectors)?;
    let work = async move { Ok::<_, Failure>(detect(&query.series().await?)) };
    Ok(answer(&app, work, |found| Written(encode(&found)), loki_json).await?)
}

/// Cardinalities of the labels shown, by name.
fn detect(series: &[Labels]) -> Vec<(String, usize)> {
    let mut values: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for labels in series {
        for (name, value) in labels.iter() {
            values.entry(name).or_default().insert(value);
        }
    }
    let shown = values
        .into_iter()
        .filter(|(name, values)| STATIC_LABELS.contains(name) || !all_are_ids(values));
    shown.map(|(name, values)| (name.to_string(), values.len())).collect()
}

/// Whether every value is an identifier: a number or a UUID.
fn all_are_ids(values: &HashSet<&str>) -> bool {
    values
        .iter()
        .all(|value| value.parse::<f64>().is_ok() || is_uuid(value))
}

fn is_uuid(value: &str) -> bool {
    let value = value.strip_prefix("urn:uuid:").unwrap_or(value);
    let value = value
        .strip_prefix('{')
        .and_then(|v| v.strip_suffix('}'))
        .unwrap_or(value);
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    match value.len() {
        32 => hex(value),
        36 => value.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && value.split('-').all(hex),
        _ => false,
    }
}

fn encode(found: &[(String, usize)]) -> Vec<u8> {
    if found.is_empty() {
        return b"{}".to_vec();
    }
    let mut out = br#"{"detectedLabels":["#.to_vec();
    for (index, (name, cardinality)) in found.iter().enumerate() {
        out.extend_from_slice(if index > 0 { br#",{"label":"# } else { br#"{"label":"# });
        push_string(&mut out, name);
        out.extend_from_slice(br#","cardinality":"#);
        push_int(&mut out, i64::try_from(*cardinality).unwrap_or(i64::MAX));
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_identifiers_only_are_left_out() {
        let series = [
            Labels::from_pairs([("app", "a"), ("id", "1"), ("pod", "7"), ("run", "x")]),
            Labels::from_pairs([
                ("app", "b"),
                ("id", "2.5"),
                ("pod", "8"),
                ("run", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
                ("uid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            ]),
        ];
        let found = detect(&series);
        let expected = [("app", 2), ("pod", 2), ("run", 2)];
        assert_eq!(found, expected.map(|(name, count)| (name.to_string(), count)));
        assert_eq!(encode(&[]), b"{}");
        assert_eq!(
            String::from_utf8_lossy(&encode(&found[..1])),
            r#"{"detectedLabels":[{"label":"app","cardinality":2}]}"#
        );
    }
}
