//! Tokens to syntax tree, by recursive descent along the rules of prometheus `promql/parser/generated_parser.y`.
//!
//! Upstream's parser is generated, and which words it uses for an unexpected token depends on the rules that are open when
//! it comes. Here an unexpected token travels outwards as [`state::Fail::Unexpected`] until a construct that has words for
//! it adds them; those are exactly the constructs with an `error` alternative upstream. Tokens are read only when needed,
//! so that of two mistakes the one upstream finds first is told.

mod binary;
mod duration;
mod entry;
mod expr;
mod modifier;
mod selector;
mod state;
#[cfg(test)]
mod tests;

pub use entry::{MAX_QUERY_BYTES, ParseOptions, parse_expr, parse_metric_selector};
