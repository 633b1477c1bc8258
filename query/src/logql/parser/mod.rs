//! Parses LogQL text into [`super::ast`], with the syntax errors and positions of Loki 3.
//!
//! Loki's parser is generated from a grammar (grafana/loki `pkg/logql/syntax/syntax.y`); its messages list what could
//! have followed where that is at most four tokens. This one is written by hand, so each place where a token is
//! demanded names the tokens that the generated tables would have named there.
//!
//! [`cursor`] walks the tokens, [`log`] reads selectors, pipelines and ranges, [`stage`] one pipeline stage,
//! [`label_filter`] conditions, [`metric`] everything that yields numbers, [`validate`] what only the whole tree shows.

mod cursor;
mod entry;
mod label_filter;
mod log;
mod metric;
mod stage;
#[cfg(test)]
mod tests;
mod validate;

pub use entry::{
    MAX_QUERY_BYTES, parse, parse_for_printing, parse_log_selector, parse_matchers, parse_unvalidated_log_selector,
};
pub use validate::NO_SELECTIVE_MATCHER;
