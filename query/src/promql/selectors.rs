//! `match[]` of the series and label endpoints.

use garner_storage::model::LabelMatcher;

use super::error::ParseError;
use super::parser::parse_metric_selector;

/// Why selectors were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// One of them is no selector.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// One of them selects everything (prometheus `web/api/v1/api.go`, `parseMatchersParam`).
    #[error("match[] must contain at least one non-empty matcher")]
    Empty,
}

/// The matchers of each `match[]` parameter; each must hold something that an absent label does not match.
pub fn parse_match_params<S: AsRef<str>>(
    selectors: impl IntoIterator<Item = S>,
) -> Result<Vec<Vec<LabelMatcher>>, SelectorError> {
    let parse = |text: S| Ok::<_, SelectorError>(parse_metric_selector(text.as_ref())?);
    let sets = selectors.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if sets.iter().any(|set| set.iter().all(LabelMatcher::matches_absent)) {
        return Err(SelectorError::Empty);
    }
    Ok(sets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_one_by_one_and_must_select_something() {
        let sets = parse_match_params(["up", "{job=~\"a.+\", x!=\"\"}"]).unwrap();
        assert_eq!(sets.len(), 2);
        assert_eq!(sets[1].len(), 2);
        let check = |selector: &str, expected: &str| {
            assert_eq!(parse_match_params(["up", selector]).unwrap_err().to_string(), expected);
        };
        check("{}", "match[] must contain at least one non-empty matcher");
        check("{a=~\".*\"}", "match[] must contain at least one non-empty matcher");
        check("up[5m]", "1:3: parse error: unexpected \"[\"");
        check("up{", "1:4: parse error: unexpected end of input inside braces");
        check("", "unknown position: parse error: unexpected end of input");
    }
}
