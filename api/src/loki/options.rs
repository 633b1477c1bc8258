//! What a query asks beside its text and times, by parameters and headers, and the limits on it.

use garner_query::logql::{ast::Expr, parser::parse, run::LogqlOptions};
use garner_storage::model::TimeRange;
use garner_storage::scan::LogOrder;
use http::{HeaderMap, HeaderName};

use super::params::{Direction, direction, interval, limit, metadata_range};
use crate::config::duration::{format_duration, format_go_duration};
use crate::error::{Failure, FailureKind};
use crate::params::Params;
use crate::server::{App, ReadAsk, header_text};

const FLAGS_HEADER: HeaderName = HeaderName::from_static("x-loki-response-encoding-flags");
const TAGS_HEADER: HeaderName = HeaderName::from_static("x-query-tags");
/// Logs Drilldown takes a part of the series and a warning where others get an error (loki `pkg/util/httpreq/tags.go`).
const DRILLDOWN_TAG: &str = "source=grafana-lokiexplore-app";
const CATEGORIZE: &str = "categorize-labels";

/// `X-Loki-Response-Encoding-Flags`
pub struct Flags {
    /// As given; they are sent back, known or not.
    pub given: Vec<String>,
    /// Whether labels are told apart by where they come from.
    pub categorize: bool,
}

impl Flags {
    /// Those of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let flags = header_text(headers, FLAGS_HEADER)
            .split(',')
            .map(str::trim)
            .filter(|flag| !flag.is_empty());
        let given: Vec<String> = flags.map(str::to_string).collect();
        Flags {
            categorize: given.iter().any(|flag| flag == CATEGORIZE),
            given,
        }
    }
}

/// The engine's options for a query over a range.
pub fn options(app: &App, ask: &ReadAsk, flags: &Flags) -> Result<LogqlOptions, Failure> {
    Ok(LogqlOptions {
        interval_ns: interval(&ask.params)?,
        ..instant_options(app, ask, flags)?
    })
}

/// The engine's options for a query at one time, which has no `interval`.
pub fn instant_options(app: &App, ask: &ReadAsk, flags: &Flags) -> Result<LogqlOptions, Failure> {
    let limit = limit(&ask.params)?;
    Ok(LogqlOptions {
        limit: limit as usize,
        order: match direction(&ask.params)? {
            Direction::Forward => LogOrder::Forward,
            Direction::Backward => LogOrder::Backward,
        },
        categorize_labels: flags.categorize,
        max_series: app.settings.logs.max_query_series,
        partial_series: header_text(&ask.headers, TAGS_HEADER)
            .to_ascii_lowercase()
            .contains(DRILLDOWN_TAG),
        ..LogqlOptions::default()
    })
}

/// Refuses a query over `limits.max_query_length`, and a log query over `limits.max_entries_limit_per_query`. A query that
/// does not parse passes: its own error is the better answer.
pub fn check_query_limits(app: &App, query: &str, limit: usize, length_ns: i64) -> Result<(), Failure> {
    let limits = &app.settings.logs;
    let too_long = length_error(app, length_ns);
    let too_many = limits.max_entries_per_query > 0 && limit > limits.max_entries_per_query;
    if too_long.is_none() && !too_many {
        return Ok(());
    }
    let Ok(parsed) = parse(query) else {
        return Ok(());
    };
    if let Some(error) = too_long {
        return Err(error);
    }
    if !matches!(parsed, Expr::Log(_)) {
        return Ok(());
    }
    // Text of loki `pkg/querier/limits/validation.go`.
    let text = format!(
        "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {})",
        limits.max_entries_per_query
    );
    Err(Failure::new(FailureKind::QueryLimit, text))
}

/// The range of a metadata request, refused over `limits.max_query_length`.
pub fn limited_range(app: &App, params: &Params) -> Result<TimeRange, Failure> {
    let range = metadata_range(params, app.clock.now())?;
    // Both ends belong to it.
    length_error(app, range.end.saturating_sub(range.start).saturating_sub(1)).map_or(Ok(range), Err)
}

/// Refuses a length over `limits.max_query_length`, with the text of loki `pkg/util/validation/limits.go`.
fn length_error(app: &App, length_ns: i64) -> Option<Failure> {
    let limit = app.settings.logs.max_query_length;
    let length = u128::try_from(length_ns).unwrap_or(0);
    (!limit.is_zero() && length > limit.as_nanos()).then(|| {
        let text = format!(
            "the query time range exceeds the limit (query length: {}, limit: {})",
            format_go_duration(length_ns),
            format_duration(limit)
        );
        Failure::new(FailureKind::QueryLimit, text)
    })
}
