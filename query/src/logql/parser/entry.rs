//! Text in, checked tree out.

use super::cursor::Cursor;
use super::metric::{Parsed, parse_expr};
use super::validate::validate;
use crate::logql::ast::{Expr, LogExpr, Matcher};
use crate::logql::error::ParseError;
use crate::logql::printer;
use crate::logql::token::Token;

/// Longest query text, as in Loki (`maxInputSize`): longer ones are refused before they are read.
pub const MAX_QUERY_BYTES: usize = 131_072;

/// Parses and checks a query.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let (expr, odd_names) = read(text)?;
    validate(&expr)?;
    if odd_names {
        reject_unreadable(&expr)?;
    }
    Ok(expr)
}

/// Parses a query that is only printed: its names may be any that parse.
pub fn parse_for_printing(text: &str) -> Result<Expr, ParseError> {
    let expr = parse_unchecked(text)?;
    validate(&expr)?;
    Ok(expr)
}

/// Parses a query that must yield lines.
pub fn parse_log_selector(text: &str) -> Result<LogExpr, ParseError> {
    match parse(text)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(ParseError::bare("only log selector is supported")),
    }
}

/// As [`parse_log_selector`], but every stream may pass the matchers.
pub fn parse_unvalidated_log_selector(text: &str) -> Result<LogExpr, ParseError> {
    let (expr, odd_names) = read(text)?;
    if odd_names {
        reject_unreadable(&expr)?;
    }
    match expr {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(ParseError::bare("only log selector is supported")),
    }
}

/// Parses a stream selector without a pipeline. With `validate` it must have a matcher that not every stream passes.
pub fn parse_matchers(text: &str, validate_matchers: bool) -> Result<Vec<Matcher>, ParseError> {
    let expr = if validate_matchers {
        parse(text)?
    } else {
        parse_unchecked(text)?
    };
    match expr {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(ParseError::bare("only label matchers are supported")),
    }
}

fn parse_unchecked(text: &str) -> Result<Expr, ParseError> {
    Ok(read(text)?.0)
}

/// The tree, and whether some name in it is odd.
fn read(text: &str) -> Result<(Expr, bool), ParseError> {
    if text.len() >= MAX_QUERY_BYTES {
        return Err(ParseError::new(format!(
            "input size too long ({} > {MAX_QUERY_BYTES})",
            text.len()
        )));
    }
    let mut cursor = Cursor::new(text);
    let parsed = parse_tokens(&mut cursor);
    // A value that cannot be read ends Loki's parser at once; else the first wrong token is told, whatever follows.
    match (&parsed, cursor.fault()) {
        (Err(error), _) if (error.line, error.column) == (0, 0) => {}
        (_, Some(fault)) => return Err(fault.clone()),
        (_, None) => {}
    }
    Ok((parsed?, cursor.has_odd_names()))
}

fn parse_tokens(cursor: &mut Cursor) -> Result<Expr, ParseError> {
    let parsed = parse_expr(cursor, 0)?;
    if *cursor.peek()? != Token::End {
        return Err(cursor.unexpected(&[]));
    }
    Ok(match parsed {
        Parsed::Log(log) => Expr::Log(log),
        Parsed::Metric(metric) => Expr::Metric(metric),
    })
}

/// Odd label names parse, but Loki prints them quoted, or as signs that mean something else, on the way to its queriers and
/// refuses to read that back. The same error is given here, so that such a query fails alike; and plans and deletes are kept
/// as text, which must mean the same.
fn reject_unreadable(expr: &Expr) -> Result<(), ParseError> {
    parse_unchecked(&printer::to_string(expr)).map(drop)
}
