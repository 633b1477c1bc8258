//! Label filters, compiled.
//!
//! A number that cannot be read is an error on the line, and the line goes on: only text filters can drop lines by
//! `__error__`.

use regex::bytes::Regex;

use super::ip::IpSet;
use super::row::{ERROR, Row};
use crate::goregex::{self, GoRegexError, Plain};
use crate::logql::ast::{CompareOp, LabelFilter, MatchOp, Matcher};
use crate::logql::units;

/// The error of a number, duration or size that is none.
const LABEL_FILTER_ERROR: &str = "LabelFilterErr";

/// A condition on the labels of a line.
#[derive(Debug, Clone)]
pub enum Filter {
    /// Everything passes.
    Always,
    /// The label's text matches.
    Text(String, TextMatch),
    /// The label holds an address of the set (or none, negated).
    Ip(String, IpSet, bool),
    /// The label's duration compares.
    Duration(String, CompareOp, i64),
    /// The label's size compares.
    Bytes(String, CompareOp, u64),
    /// The label's number compares.
    Number(String, CompareOp, f64),
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// One.
    Or(Box<Filter>, Box<Filter>),
}

/// A comparison of a whole text.
#[derive(Debug, Clone)]
pub enum TextMatch {
    /// Equal to one of these.
    Equal(String),
    /// Holds this.
    Contains(String),
    /// Not empty.
    Exists,
    /// One of the alternatives.
    Any(Vec<TextMatch>),
    /// Matches as a whole.
    Regex(Regex),
    /// Everything.
    Always,
    /// Not.
    Not(Box<TextMatch>),
}

impl TextMatch {
    /// The comparison of a matcher in a pipeline.
    pub fn new(op: MatchOp, value: &str) -> Result<Self, GoRegexError> {
        Ok(match op {
            MatchOp::Equal => TextMatch::Equal(value.to_string()),
            MatchOp::NotEqual => TextMatch::Not(Box::new(TextMatch::Equal(value.to_string()))),
            MatchOp::Regex => Self::regex(value)?,
            MatchOp::NotRegex => TextMatch::Not(Box::new(Self::regex(value)?)),
        })
    }

    /// Where Loki compares plain texts instead of the pattern, so does this.
    fn regex(pattern: &str) -> Result<Self, GoRegexError> {
        match goregex::plain(pattern, true)? {
            Some(plain) => Self::plain(plain),
            None => Ok(TextMatch::Regex(goregex::compile_anchored(pattern)?)),
        }
    }

    fn plain(plain: Plain) -> Result<Self, GoRegexError> {
        let fold = |text: &str, ends: (&str, &str)| {
            let pattern = format!("(?i){}{}{}", ends.0, regex_syntax::escape(text), ends.1);
            Ok(TextMatch::Regex(goregex::compile(&pattern)?))
        };
        match plain {
            Plain::Always => Ok(TextMatch::Always),
            Plain::Exists => Ok(TextMatch::Exists),
            Plain::Equal(text, false) => Ok(TextMatch::Equal(text)),
            Plain::Contains(text, false) => Ok(TextMatch::Contains(text)),
            Plain::Equal(text, true) => fold(&text, ("^(?:", ")$")),
            Plain::Contains(text, true) => fold(&text, ("", "")),
            Plain::Any(list) => {
                let list = list.into_iter().map(Self::plain).collect::<Result<_, _>>()?;
                Ok(TextMatch::Any(list))
            }
        }
    }

    /// Whether the text matches.
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            TextMatch::Equal(value) => text == value,
            TextMatch::Contains(value) => text.contains(value.as_str()),
            TextMatch::Exists => !text.is_empty(),
            TextMatch::Any(list) => list.iter().any(|m| m.is_match(text)),
            TextMatch::Regex(regex) => regex.is_match(text.as_bytes()),
            TextMatch::Always => true,
            TextMatch::Not(inner) => !inner.is_match(text),
        }
    }
}

impl Filter {
    /// Compiles a filter. The error is that of a bad address set, which the stage reports.
    pub fn compile(filter: &LabelFilter) -> Result<Self, String> {
        Ok(match filter {
            LabelFilter::Matcher(Matcher { name, op, value }) => {
                match TextMatch::new(*op, value).map_err(|e| e.to_string())? {
                    TextMatch::Always => Filter::Always,
                    text => Filter::Text(name.clone(), text),
                }
            }
            LabelFilter::Ip {
                label,
                negative,
                pattern,
            } => Filter::Ip(label.clone(), IpSet::parse(pattern)?, *negative),
            LabelFilter::Duration(label, op, value) => Filter::Duration(label.clone(), *op, *value),
            LabelFilter::Bytes(label, op, value) => {
                // Loki prints the query on the way to its queriers, with sizes rounded to two digits of decimal units,
                // and compares with what is read back: `1KiB` is 1.0 kB there.
                let printed = units::parse_bytes(&units::format_bytes(*value)).unwrap_or(*value);
                Filter::Bytes(label.clone(), *op, printed)
            }
            LabelFilter::Number(label, op, value) => Filter::Number(label.clone(), *op, *value),
            LabelFilter::And(a, b) => Filter::And(Box::new(Self::compile(a)?), Box::new(Self::compile(b)?)),
            LabelFilter::Or(a, b) => Filter::Or(Box::new(Self::compile(a)?), Box::new(Self::compile(b)?)),
        })
    }

    /// The labels it reads, each once.
    pub fn labels(&self, into: &mut Vec<String>) {
        match self {
            Filter::Always => {}
            Filter::Text(name, _)
            | Filter::Ip(name, _, _)
            | Filter::Duration(name, _, _)
            | Filter::Bytes(name, _, _)
            | Filter::Number(name, _, _) => {
                if !into.contains(name) {
                    into.push(name.clone());
                }
            }
            Filter::And(a, b) | Filter::Or(a, b) => {
                a.labels(into);
                b.labels(into);
            }
        }
    }

    /// Whether some part compares addresses.
    pub fn asks_for_address(&self) -> bool {
        match self {
            Filter::Ip(..) => true,
            Filter::And(a, b) | Filter::Or(a, b) => a.asks_for_address() || b.asks_for_address(),
            _ => false,
        }
    }

    /// Whether the line passes; may set its error.
    pub fn passes(&self, row: &mut Row) -> bool {
        match self {
            Filter::Always => true,
            Filter::Text(name, text) if name == ERROR => text.is_match(row.error()),
            Filter::Text(name, text) => text.is_match(row.get(name).unwrap_or_default()),
            Filter::Ip(name, set, negative) => {
                // After an error only text filters decide.
                row.has_error() || row.get(name).is_some_and(|v| set.is_in(v.as_bytes()) != *negative)
            }
            Filter::Duration(name, op, value) => compare(row, name, *op, *value, units::parse_go_duration),
            Filter::Bytes(name, op, value) => compare(row, name, *op, *value, units::parse_bytes),
            Filter::Number(name, op, value) => compare(row, name, *op, *value, units::parse_float),
            Filter::And(a, b) => {
                // The right side runs in any case: it may set an error.
                let left = a.passes(row);
                let right = b.passes(row);
                left && right
            }
            Filter::Or(a, b) => a.passes(row) || b.passes(row),
        }
    }
}

fn compare<T: PartialOrd>(
    row: &mut Row,
    name: &str,
    op: CompareOp,
    value: T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> bool {
    let Some(text) = row.get(name) else { return false };
    match parse(text) {
        Ok(number) => op.holds(number, value),
        Err(details) => {
            // An earlier error says more.
            if !row.has_error() {
                row.set_error(LABEL_FILTER_ERROR);
                row.set_error_details(&details);
            }
            true
        }
    }
}
