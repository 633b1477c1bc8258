//! The list of what PromQL has, in docs/compatibility.md, against the tables that the parser reads by.

use std::collections::BTreeSet;

use crate::promql::FUNCTIONS;
use crate::promql::token::{TokenKind, keyword};
use crate::testing::names_in_docs;

#[test]
fn every_word_is_listed_and_no_other() {
    let signs = [
        "+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "</", ">/", "=", "=~", "!~", "@",
    ];
    let listed = names_in_docs("### PromQL");
    let functions: BTreeSet<String> = FUNCTIONS.iter().map(|function| function.name.to_string()).collect();
    assert_eq!(functions.difference(&listed).collect::<Vec<_>>(), [""; 0], "not listed");
    let unknown: Vec<&String> = listed
        .iter()
        .filter(|name| !functions.contains(*name) && !signs.contains(&name.as_str()) && keyword(name).is_none())
        .collect();
    assert_eq!(unknown, [""; 0], "listed, but unknown");
    let aggregations = listed
        .iter()
        .filter(|name| matches!(keyword(name), Some(TokenKind::Aggregator(_))));
    assert_eq!(aggregations.count(), 14);
}
