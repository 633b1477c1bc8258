//! Stream selectors, pipelines and log ranges.

use super::cursor::Cursor;
use super::label_filter::{label_filter, matcher_after_name};
use super::stage::{line_filters, line_op, stage};
use crate::logql::ast::{Conversion, LogExpr, LogRange, Matcher, Stage, Unwrap};
use crate::logql::error::ParseError;
use crate::logql::token::Token;

/// `{…}`; the cursor stands on the brace.
pub(super) fn selector(cursor: &mut Cursor) -> Result<Vec<Matcher>, ParseError> {
    cursor.expect_of("{", &["{", "("])?;
    if cursor.accept("}")? {
        return Ok(Vec::new());
    }
    let mut matchers = Vec::new();
    let mut expected = ["IDENTIFIER", "}"].as_slice();
    loop {
        let name = cursor.identifier(expected)?;
        matchers.push(matcher_after_name(cursor, name)?);
        if cursor.accept("}")? {
            return Ok(matchers);
        }
        cursor.expect_of(",", &["}", ","])?;
        expected = &["IDENTIFIER"];
    }
}

/// A selector with its stages.
pub(super) fn log_expr(cursor: &mut Cursor) -> Result<LogExpr, ParseError> {
    let matchers = selector(cursor)?;
    let stages = pipeline(cursor, false)?;
    Ok(LogExpr { matchers, stages })
}

/// Stages up to the first token that starts none; in a range also up to an unwrap.
fn pipeline(cursor: &mut Cursor, in_range: bool) -> Result<Vec<Stage>, ParseError> {
    let mut stages = Vec::new();
    loop {
        if line_op(cursor)?.is_some() {
            stages.push(line_filters(cursor)?);
        } else if cursor.is("|")? {
            if in_range && cursor.peek_second() == Some(&Token::Fixed("unwrap")) {
                return Ok(stages);
            }
            cursor.advance();
            stages.push(stage(cursor)?);
        } else {
            return Ok(stages);
        }
    }
}

/// `| unwrap …` with its filters, if one is there.
fn unwrap(cursor: &mut Cursor) -> Result<Option<Unwrap>, ParseError> {
    if !(cursor.is("|")? && cursor.peek_second() == Some(&Token::Fixed("unwrap"))) {
        return Ok(None);
    }
    cursor.advance();
    cursor.advance();
    let conversion = match cursor.peek()? {
        Token::Function("bytes") => Conversion::Bytes,
        Token::Function("duration") => Conversion::Duration,
        Token::Function("duration_seconds") => Conversion::DurationSeconds,
        _ => Conversion::Float,
    };
    let label = if conversion == Conversion::Float {
        cursor.identifier(&["IDENTIFIER", "BYTES_CONV", "DURATION_CONV", "DURATION_SECONDS_CONV"])?
    } else {
        cursor.advance();
        cursor.expect("(")?;
        let label = cursor.identifier(&["IDENTIFIER"])?;
        cursor.expect(")")?;
        label
    };
    let mut filters = Vec::new();
    while cursor.accept("|")? {
        filters.push(label_filter(cursor, 0)?);
    }
    Ok(Some(Unwrap {
        label,
        conversion,
        filters,
    }))
}

/// The argument of a range function: the range may stand after the selector, the pipeline or the unwrap, and
/// parentheses around the selector or the whole are allowed.
pub(super) fn log_range(cursor: &mut Cursor) -> Result<LogRange, ParseError> {
    cursor.nested(|cursor| {
        if !cursor.accept("(")? {
            return range_from_selector(cursor, false);
        }
        if cursor.is("(")? {
            let inner = log_range(cursor)?;
            cursor.expect(")")?;
            return Ok(inner);
        }
        range_from_selector(cursor, true)
    })
}

fn range_from_selector(cursor: &mut Cursor, parenthesized: bool) -> Result<LogRange, ParseError> {
    let matchers = selector(cursor)?;
    let mut stages = pipeline(cursor, true)?;
    let mut unwrapped = unwrap(cursor)?;
    let bare = stages.is_empty() && unwrapped.is_none();
    let expected: &[&str] = match (&unwrapped, parenthesized) {
        (None, _) => &[],
        (Some(_), false) => &["RANGE", "|"],
        (Some(_), true) => &["RANGE", ")", "|"],
    };
    let closed = parenthesized && cursor.accept(")")?;
    let range_ns = range(cursor, if closed { &["RANGE"] } else { expected })?;
    let offset_ns = offset(cursor)?;
    if bare {
        if !closed {
            stages = pipeline(cursor, true)?;
        }
        unwrapped = unwrap(cursor)?;
    }
    if parenthesized && !closed {
        cursor.expect(")")?;
    }
    Ok(LogRange {
        log: LogExpr { matchers, stages },
        unwrap: unwrapped,
        range_ns,
        offset_ns,
    })
}

fn range(cursor: &mut Cursor, expected: &[&str]) -> Result<i64, ParseError> {
    match *cursor.peek()? {
        Token::Range(nanos) => {
            cursor.advance();
            Ok(nanos)
        }
        _ => Err(cursor.unexpected(expected)),
    }
}

fn offset(cursor: &mut Cursor) -> Result<i64, ParseError> {
    if !cursor.accept("offset")? {
        return Ok(0);
    }
    match *cursor.peek()? {
        Token::Duration(nanos) => {
            cursor.advance();
            Ok(nanos)
        }
        _ => Err(cursor.unexpected(&["DURATION"])),
    }
}
