//! Arguments that are strings, and the errors of those that are labels or patterns.

use std::sync::Arc;

use garner_storage::model::go_text::go_quote;
use garner_storage::model::{LabelMatcher, MatchOp};

use crate::error::QueryError;
use crate::goregex;
use crate::promql::ast::Expr;

/// The bytes of a string argument; types were checked, so it is a literal.
pub(super) fn bytes(expr: &Expr) -> Result<&[u8], QueryError> {
    match expr.unwrap_parens() {
        Expr::String(literal) => Ok(&literal.value),
        other => Err(QueryError::internal(format!(
            "a string was expected at byte {} of the query",
            other.range().start
        ))),
    }
}

/// The text of a string argument; bytes that are not UTF-8 become replacement characters.
pub(super) fn text(expr: &Expr) -> Result<Arc<str>, QueryError> {
    Ok(String::from_utf8_lossy(bytes(expr)?).into())
}

/// A string argument that names a label; `what` says which one in the words of prometheus `promql/functions.go`.
pub(super) fn label(expr: &Expr, what: &str) -> Result<Arc<str>, QueryError> {
    let bytes = bytes(expr)?;
    match std::str::from_utf8(bytes) {
        Ok(label) if !label.is_empty() => Ok(label.into()),
        _ => Err(QueryError::execution(format!(
            "invalid {what}: {}",
            String::from_utf8_lossy(bytes)
        ))),
    }
}

/// The label of `count_values`.
pub(super) fn value_label(expr: &Expr) -> Result<Arc<str>, QueryError> {
    let bytes = bytes(expr)?;
    match std::str::from_utf8(bytes) {
        Ok(label) if !label.is_empty() => Ok(label.into()),
        _ => Err(QueryError::execution(format!("invalid label name {}", go_quote(bytes)))),
    }
}

/// The pattern of `label_replace`.
pub(super) fn pattern(expr: &Expr) -> Result<Arc<str>, QueryError> {
    let written = text(expr)?;
    let refused = || QueryError::execution(format!("invalid regular expression in label_replace(): {written}"));
    let translated = goregex::translate(&written).map_err(|_| refused())?;
    let pattern: Arc<str> = translated.for_text_with_names().into();
    // A matcher knows which patterns compile, and within which limits.
    match LabelMatcher::new("pattern", MatchOp::Regex, &pattern) {
        Ok(_) => Ok(pattern),
        Err(_) => Err(refused()),
    }
}
