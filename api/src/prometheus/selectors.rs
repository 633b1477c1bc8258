//! `match[]`: selectors of series.

use garner_query::promql::parse_match_params;
use garner_storage::model::LabelMatcher;

use crate::error::Failure;
use crate::params::Params;

/// One set of matchers for each `match[]`. A selector that every series would pass is refused, as in Prometheus.
pub fn matcher_sets(params: &Params) -> Result<Vec<Vec<LabelMatcher>>, Failure> {
    parse_match_params(params.all("match[]")).map_err(|error| Failure::bad_data(error.to_string()))
}
