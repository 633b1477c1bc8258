//! `/loki/api/v1/index/shards`: how a selector's streams may be cut into parts of some size (loki
//! `pkg/loghttp/query.go`, `ParseIndexShardsQuery`). garner cuts queries by itself, so that the answer is one part with all
//! streams.

use axum::extract::State;
use axum::response::Response;
use garner_query::logql::units::parse_bytes;
use garner_query::output::QueryStats;

use super::index::{total_volume, volumes};
use super::params::{bounds, direction, interval, limit, metadata_range, step};
use super::selectors::matchers;
use super::stats::push_stats;
use crate::error::{Failure, TextFailure};
use crate::server::{ReadAsk, SharedApp, Written, answer, loki_json};

/// Answers one request.
pub async fn shards(State(app): State<SharedApp>, ask: ReadAsk) -> Result<Response, TextFailure> {
    // Read as a range query first, for its complaints.
    let (start, end) = bounds(&ask.params, app.clock.now())?;
    let range = metadata_range(&ask.params, app.clock.now())?;
    limit(&ask.params)?;
    direction(&ask.params)?;
    step(&ask.params, start, end)?;
    interval(&ask.params)?;
    let target = ask.params.get("targetBytesPerShard");
    if target.is_empty() || parse_bytes(target).unwrap_or(0) == 0 {
        return Err(Failure::bad_data("targetBytesPerShard must be a positive value").into());
    }
    let matchers = matchers(ask.params.get("query"))?;
    let work = volumes(app.clone(), ask.tenants, matchers, range, 0);
    let encode = |(streams, stats): (Vec<_>, QueryStats)| {
        let mut out = br#"{"shards":[{"bounds":{"min":0,"max":18446744073709551615},"stats":"#.to_vec();
        out.extend(total_volume(&streams));
        out.extend_from_slice(br#"}],"statistics":"#);
        push_stats(&mut out, &stats, 0);
        out.extend_from_slice(br#","chunkGroups":null}"#);
        out.push(b'\n');
        Written(out)
    };
    Ok(answer(&app, work, encode, loki_json).await?)
}
