//! `match[]`: selectors of series.

use garner_storage::model::LabelMatcher;

use crate::error::Failure;
use crate::params::Params;

/// One set of matchers for each `match[]`. A selector that every series would pass is refused, as in Prometheus.
pub fn matcher_sets(params: &Params) -> Result<Vec<Vec<LabelMatcher>>, Failure> {
    params.all("match[]").map(matchers).collect()
}

fn matchers(text: &str) -> Result<Vec<LabelMatcher>, Failure> {
    let _ = text;
    Err(Failure::bad_data("selectors are not wired yet"))
}
