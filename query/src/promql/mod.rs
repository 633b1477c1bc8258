//! PromQL as Prometheus 3 has it: text to tokens ([`lexer`]), tokens to a syntax tree ([`parser`], [`ast`]), types checked
//! ([`check`]), the tree to a plan ([`mod@lower`]), and the tree back to text ([`printer`], [`prettier`]).

pub mod ast;
mod check;
mod error;
mod functions;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod histogram_tests;
mod lexer;
mod literals;
mod lower;
mod parser;
mod prettier;
mod printer;
mod quote;
mod selectors;
#[cfg(test)]
mod tests;
mod token;

pub use error::{ParseError, PosRange};
pub use functions::{FUNCTIONS, Function, function};
pub use garner_storage::model::go_text::go_quote;
pub use literals::{format_duration, format_float, parse_duration};
pub use lower::{LowerRequest, lower};
pub use parser::{MAX_QUERY_BYTES, ParseOptions, parse_expr, parse_metric_selector};
pub use prettier::prettify;
pub use printer::format_matcher;
pub use selectors::{SelectorError, parse_match_params};
pub use token::{Aggregator, Operator};
