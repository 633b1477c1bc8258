//! Finds the values of several paths in one walk over JSON text, with the tolerance of the walk that Loki uses
//! (buger/jsonparser, `EachKey`): what follows the last value wanted is never looked at, brackets only count levels, and
//! several documents in a row are searched alike.

use super::json::PathStep;
use super::json_scan::{self, Kind};

/// Steps of a path that are looked at; what lies deeper is not found.
const MAX_STEPS: usize = 64;

const MALFORMED: &str = "Malformed JSON error";

/// What is known of a path during a walk.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Progress {
    /// Bit `i`: the name last seen at level `i + 1` is that of step `i`.
    same: u64,
    found: bool,
}

impl Progress {
    /// Whether the names that lead to `level` are those of the path.
    fn is_on_the_way(self, level: usize) -> bool {
        let mask = (1u64 << level.min(MAX_STEPS - 1)) - 1;
        level < MAX_STEPS && self.same & mask == mask
    }
}

/// Calls `found` with the index of each path and its value, in the order of the text, or with the error that its value
/// is. An error without a path concerns the text.
pub(super) fn each_path<'p>(
    data: &[u8],
    paths: impl Iterator<Item = &'p [PathStep]> + Clone,
    progress: &mut Vec<Progress>,
    key_buffer: &mut String,
    mut found: impl FnMut(Option<usize>, Result<(Kind, &[u8]), &'static str>),
) {
    progress.clear();
    progress.extend(paths.clone().map(|_| Progress::default()));
    let longest = paths.clone().map(<[PathStep]>::len).max().unwrap_or(0).min(MAX_STEPS);
    let mut missing = progress.len();
    let mut level = 0i64;
    let mut at = 0;
    while let Some(byte) = data.get(at) {
        match byte {
            b'"' => {
                let start = at + 1;
                let Some((len, escaped)) = json_scan::string_end(&data[start..]) else {
                    return;
                };
                let end = start + len;
                let Some(blank) = json_scan::next_token(&data[end..]) else {
                    return;
                };
                at = end + blank;
                if data[at] != b':' {
                    // No key: what stands here is looked at next.
                    continue;
                }
                let raw = &data[start..end - 1];
                if escaped && !json_scan::unescape(raw, key_buffer) {
                    return;
                }
                let key = if escaped { key_buffer.as_bytes() } else { raw };
                if level <= longest as i64 {
                    let Ok(depth @ 1..) = usize::try_from(level) else {
                        return found(None, Err(MALFORMED));
                    };
                    for (index, path) in paths.clone().enumerate() {
                        let Some(PathStep::Field(name)) = path.get(depth - 1) else {
                            continue;
                        };
                        let state = &mut progress[index];
                        let bit = 1u64 << (depth - 1).min(MAX_STEPS - 1);
                        state.same = if name.as_bytes() == key {
                            state.same | bit
                        } else {
                            state.same & !bit
                        };
                        if path.len() != depth || state.found || !state.is_on_the_way(depth) {
                            continue;
                        }
                        state.found = true;
                        missing -= 1;
                        found(
                            Some(index),
                            json_scan::value(&data[at + 1..]).map(|(kind, text, _)| (kind, text)),
                        );
                    }
                    if missing == 0 {
                        return;
                    }
                }
            }
            b'{' => level += 1,
            b'}' | b']' => level -= 1,
            b'[' => {
                let Ok(depth) = usize::try_from(level) else {
                    return found(None, Err(MALFORMED));
                };
                let is_wanted = |path: &[PathStep], state: &Progress| match path.get(depth) {
                    Some(PathStep::Index(index)) if !state.found && state.is_on_the_way(depth) => Some(*index),
                    _ => None,
                };
                let mut any = false;
                for (index, path) in paths.clone().enumerate() {
                    let Some(element) = is_wanted(path, &progress[index]) else {
                        continue;
                    };
                    any = true;
                    let Some((kind, text)) = json_scan::element(&data[at..], element) else {
                        continue;
                    };
                    progress[index].found = true;
                    missing -= 1;
                    let rest = &path[depth + 1..];
                    let value = if rest.is_empty() {
                        Some((kind, text))
                    } else {
                        super::json::find(text, rest)
                    };
                    if let Some(value) = value {
                        found(Some(index), Ok(value));
                    }
                }
                if any && missing == 0 {
                    return;
                }
                // Nothing else inside is searched.
                match json_scan::block_end(&data[at..], b'[', b']') {
                    Some(len) => at += len - 1,
                    None => return,
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::pipeline::json::parse_path;

    fn walk(line: &str, paths: &[&str]) -> String {
        let paths: Vec<Vec<PathStep>> = paths.iter().map(|p| parse_path(p).unwrap_or_default()).collect();
        let mut out = Vec::new();
        each_path(
            line.as_bytes(),
            paths.iter().map(Vec::as_slice),
            &mut Vec::new(),
            &mut String::new(),
            |path, value| {
                let path = path.map_or("-".to_string(), |p| p.to_string());
                out.push(match value {
                    Ok((_, text)) => format!("{path}={}", String::from_utf8_lossy(text)),
                    Err(error) => format!("{path}!{error}"),
                });
            },
        );
        out.join(" ")
    }

    #[test]
    fn values_and_errors_are_those_of_the_original() {
        for (line, paths, expected) in [
            (
                r#"{"a":1,"b":{"c":"x"}}"#,
                &["b.c", "a", "b"][..],
                r#"1=1 2={"c":"x"} 0=x"#,
            ),
            // What lies behind the last value does not matter, nor does a document before.
            (r#"{"a":1,"b":"cut"#, &["a"], "0=1"),
            (r#"{"a":1}{"b":2}"#, &["b"], "0=2"),
            // The value itself is cut off.
            (
                r#"{"a":"cut}"#,
                &["a"],
                "0!Value is string, but can't find closing '\"' symbol",
            ),
            (
                r#"{"b":1,"a":[1,2"#,
                &["a"],
                "0!Value is array, but can't find closing ']' symbol",
            ),
            // The first of several fields counts.
            (r#"{"a":1,"a":2}"#, &["a"], "0=1"),
            (r#"{"x":{"a":1},"a":2}"#, &["a"], "0=2"),
            (
                r#"{"a":[{"b":[1,{"c":2}]},5]}"#,
                &["a[0].b[1].c", "a[1]", "a[7]"],
                "0=2 1=5",
            ),
            (r#"[1,"two"]"#, &["[1]"], "0=two"),
            (r#"{"\u0061":1}"#, &["a"], "0=1"),
            (r#""a":1"#, &["a"], "-!Malformed JSON error"),
            (r#"{"a":1}}["#, &["b"], "-!Malformed JSON error"),
        ] {
            assert_eq!(walk(line, paths), expected, "{line} {paths:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(proptest::sample::select(b"{}[]\":,\\ ua1".to_vec()), 0..40)) {
            walk(&String::from_utf8_lossy(&data), &["a.a", "a[1].a", "[0]", "u"]);
        }
    }
}
