//! What can be parsed, and by which rules.

use garner_storage::model::LabelMatcher;

use super::state::{Fail, Parsed, Parser, mistake};
use crate::promql::ast::Expr;
use crate::promql::check;
use crate::promql::error::{Mistake, ParseError, PosRange};
use crate::promql::token::TokenKind;

/// Longest query in bytes. Positions, error texts and the tree grow with it; dashboards stay below a hundred kilobytes.
pub const MAX_QUERY_BYTES: usize = 1 << 20;

/// Which parts of the language that Prometheus hides behind feature flags are understood. By default all: none of them
/// changes what a query without them means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// `promql-experimental-functions`: functions and aggregations marked so.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic in ranges, steps and offsets.
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        ParseOptions {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
        }
    }
}

impl ParseOptions {
    /// What Prometheus understands without any feature flag.
    pub const STABLE: ParseOptions = ParseOptions {
        experimental_functions: false,
        duration_expressions: false,
        extended_range_selectors: false,
        fill_modifiers: false,
    };
}

/// Parses a query and checks its types.
pub fn parse_expr(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    run(query, options, |parser| {
        if parser.peek()? == TokenKind::Eof {
            return mistake(PosRange::default(), "no expression found in input");
        }
        let mut expr = parser.expression(0)?.expr;
        parser.expect(TokenKind::Eof)?;
        check::check(&mut expr, query).map_err(Fail::Mistake)?;
        Ok(expr)
    })
}

/// Parses one selector such as `up{job="x"}`, as `match[]` has it. It may match everything: whether that is allowed is the
/// caller's to say.
pub fn parse_metric_selector(text: &str) -> Result<Vec<LabelMatcher>, ParseError> {
    run(text, &ParseOptions::default(), |parser| {
        let selector = parser.selector_alone()?;
        parser.expect(TokenKind::Eof)?;
        Ok(selector.matchers)
    })
}

fn run<T>(
    query: &str,
    options: &ParseOptions,
    rule: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Result<T, ParseError> {
    if query.len() > MAX_QUERY_BYTES {
        let message = format!("query has {} bytes, at most {MAX_QUERY_BYTES} are allowed", query.len());
        return Err(Mistake::new(PosRange::default(), message).in_query(query));
    }
    let mut parser = Parser::new(query, *options);
    rule(&mut parser).map_err(|fail| {
        match fail {
            Fail::Mistake(mistake) => mistake,
            Fail::Unexpected => parser.unexpected("", ""),
        }
        .in_query(query)
    })
}
