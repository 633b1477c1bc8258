//! Matchers of the syntax tree as the store's matchers.

use garner_storage::model::LabelMatcher;

use super::ast::{MatchOp, Matcher};
use super::error::ParseError;
use crate::goregex;

/// The store's form of a matcher.
pub fn compile(matcher: &Matcher) -> Result<LabelMatcher, ParseError> {
    let value = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => matcher.value.clone(),
        MatchOp::Regex | MatchOp::NotRegex => {
            let translated = goregex::translate(&matcher.value).map_err(|e| ParseError::new(e.to_string()))?;
            translated.for_text()
        }
    };
    LabelMatcher::new(&matcher.name, matcher.op, &value).map_err(|e| ParseError::new(e.to_string()))
}

/// The store's form of a selector.
pub fn compile_all(matchers: &[Matcher]) -> Result<Vec<LabelMatcher>, ParseError> {
    matchers.iter().map(compile).collect()
}
