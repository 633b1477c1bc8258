//! Label matchers and the conditions of label filter stages.

use super::cursor::Cursor;
use crate::goregex;
use crate::logql::ast::{CompareOp, LabelFilter, MatchOp, Matcher};
use crate::logql::error::ParseError;
use crate::logql::token::Token;
use crate::logql::units;

/// Operators of a matcher, in the order messages name them.
const MATCH_OPS: [(&str, MatchOp); 4] = [
    ("=", MatchOp::Equal),
    ("=~", MatchOp::Regex),
    ("!~", MatchOp::NotRegex),
    ("!=", MatchOp::NotEqual),
];

/// A matcher whose pattern, if it is one, compiles.
pub(super) fn checked_matcher(name: String, op: MatchOp, value: String) -> Result<Matcher, ParseError> {
    if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
        goregex::check(&value).map_err(|e| ParseError::new(e.to_string()))?;
    }
    Ok(Matcher { name, op, value })
}

/// `op "value"` after a name that is known to be a matcher's.
pub(super) fn matcher_after_name(cursor: &mut Cursor, name: String) -> Result<Matcher, ParseError> {
    let Some((_, op)) = match_op(cursor)? else {
        return Err(cursor.unexpected(&["=", "=~", "!~", "!="]));
    };
    cursor.advance();
    let value = cursor.string(&["STRING"])?;
    checked_matcher(name, op, value)
}

/// The matcher operator at the cursor, if one is there.
pub(super) fn match_op(cursor: &Cursor) -> Result<Option<(&'static str, MatchOp)>, ParseError> {
    let token = cursor.peek()?;
    Ok(MATCH_OPS.into_iter().find(|(text, _)| *token == Token::Fixed(text)))
}

/// A label filter. `and` binds stronger than `or`; a comma or plain juxtaposition swallows everything to its right.
pub(super) fn label_filter(cursor: &mut Cursor, binding: u8) -> Result<LabelFilter, ParseError> {
    cursor.nested(|cursor| {
        let mut left = primary(cursor)?;
        loop {
            let (own, is_or) = match cursor.peek()? {
                Token::Fixed("or") => (1, true),
                Token::Fixed("and") => (2, false),
                Token::Fixed(",") => (3, false),
                Token::Identifier(_) | Token::Fixed("(") => (4, false),
                _ => return Ok(left),
            };
            if own < binding && own < 3 {
                return Ok(left);
            }
            cursor.count_operator()?;
            if own < 4 {
                cursor.advance();
            }
            let right = label_filter(cursor, if own < 3 { own + 1 } else { 0 })?;
            left = if is_or {
                LabelFilter::Or(Box::new(left), Box::new(right))
            } else {
                LabelFilter::And(Box::new(left), Box::new(right))
            };
        }
    })
}

fn primary(cursor: &mut Cursor) -> Result<LabelFilter, ParseError> {
    if cursor.accept("(")? {
        let inner = label_filter(cursor, 0)?;
        cursor.expect_of(")", &[])?;
        return Ok(inner);
    }
    let name = cursor.identifier(&["IDENTIFIER", "("])?;
    if let Some((_, op @ (MatchOp::Regex | MatchOp::NotRegex))) = match_op(cursor)? {
        cursor.advance();
        let value = cursor.string(&["STRING"])?;
        return Ok(LabelFilter::Matcher(checked_matcher(name, op, value)?));
    }
    let op = match cursor.peek()? {
        Token::Fixed("=" | "==") => CompareOp::Equal,
        Token::Fixed("!=") => CompareOp::NotEqual,
        Token::Fixed(">") => CompareOp::Greater,
        Token::Fixed(">=") => CompareOp::GreaterOrEqual,
        Token::Fixed("<") => CompareOp::Less,
        Token::Fixed("<=") => CompareOp::LessOrEqual,
        _ => return Err(cursor.unexpected(&[])),
    };
    let text_op = match cursor.peek()? {
        Token::Fixed("=") => Some(MatchOp::Equal),
        Token::Fixed("!=") => Some(MatchOp::NotEqual),
        _ => None,
    };
    cursor.advance();
    let filter = match (cursor.peek()?, text_op) {
        (Token::String(value), Some(op)) => LabelFilter::Matcher(checked_matcher(name, op, value.clone())?),
        (Token::Function("ip"), Some(_)) => {
            cursor.advance();
            cursor.expect("(")?;
            let pattern = cursor.string(&["STRING"])?;
            cursor.expect(")")?;
            return Ok(LabelFilter::Ip {
                label: name,
                negative: op == CompareOp::NotEqual,
                pattern,
            });
        }
        (Token::Duration(nanos), _) => LabelFilter::Duration(name, op, *nanos),
        (Token::Bytes(bytes), _) => LabelFilter::Bytes(name, op, *bytes),
        _ => return Ok(LabelFilter::Number(name, op, literal(cursor, &[])??)),
    };
    cursor.advance();
    Ok(filter)
}

/// `5`, `+5`, `-5`. The outer error is of syntax, the inner of a number that is none.
pub(super) fn literal(cursor: &mut Cursor, expected: &[&str]) -> Result<Result<f64, ParseError>, ParseError> {
    let (sign, expected) = match cursor.peek()? {
        Token::Fixed("+") => (Some(1.0), ["NUMBER"].as_slice()),
        Token::Fixed("-") => (Some(-1.0), ["NUMBER"].as_slice()),
        _ => (None, expected),
    };
    if sign.is_some() {
        cursor.advance();
    }
    let text = cursor.number(expected)?;
    Ok(units::parse_float(&text)
        .map(|value| value * sign.unwrap_or(1.0))
        .map_err(|e| ParseError::new(format!("unable to parse literal as a float: {e}"))))
}
