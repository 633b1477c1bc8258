//! Selectors of the metadata endpoints: `query` and `match[]`.

use garner_query::logql::{matchers::compile_all, parser::parse_matchers};
use garner_storage::model::LabelMatcher;

use crate::error::Failure;
use crate::params::Params;

/// The selector in `query`; none where it is absent.
pub fn query_selector(params: &Params) -> Result<Vec<Vec<LabelMatcher>>, Failure> {
    match params.get("query") {
        "" => Ok(Vec::new()),
        text => Ok(vec![matchers(text)?]),
    }
}

/// The selectors in `match[]` and `match`. `{}` alone means every stream, as in Loki (`pkg/logql/syntax`, `Match`).
pub fn match_selectors(params: &Params) -> Result<Vec<Vec<LabelMatcher>>, Failure> {
    let texts: Vec<&str> = params.all("match[]").chain(params.all("match")).collect();
    match texts.as_slice() {
        [text] if text.replace(' ', "") == "{}" => Ok(Vec::new()),
        _ => texts.into_iter().map(matchers).collect(),
    }
}

/// One selector that must match something.
pub fn matchers(text: &str) -> Result<Vec<LabelMatcher>, Failure> {
    // Loki's own error, not its parser's: it has no place in front (`pkg/logql/syntax/parser.go`, `ParseMatchers`).
    const NO_SELECTOR: &str = "only label matchers are supported";
    let parsed = parse_matchers(text, true).and_then(|matchers| compile_all(&matchers));
    parsed.map_err(|error| {
        let text = error.to_string();
        Failure::bad_data(if text.ends_with(NO_SELECTOR) {
            NO_SELECTOR.to_string()
        } else {
            text
        })
    })
}
