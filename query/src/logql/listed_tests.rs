//! The list of what LogQL has, in docs/compatibility.md, against the tables that the parser reads by.

use std::collections::BTreeSet;

use super::template;
use super::token::{FIXED, FUNCTIONS};
use crate::testing::names_in_docs;

#[test]
fn every_word_is_listed_and_no_other() {
    let signs = [",", ".", "{", "}", "|", "(", ")", "[", "]"];
    let words = FIXED.into_iter().filter(|word| !signs.contains(word));
    let known: BTreeSet<String> = words
        .chain(FUNCTIONS.map(|(name, _)| name))
        .chain(template::names())
        .map(str::to_string)
        .collect();
    let explained = [
        "|",
        "--strict",
        "--keep-empty",
        "__error__",
        "__error_details__",
        "variants",
        "text/template",
    ];
    let mut listed = names_in_docs("### LogQL");
    listed.retain(|name| !explained.contains(&name.as_str()));
    assert_eq!(listed, known);
}
