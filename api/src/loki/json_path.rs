//! Where in a line of JSON a label comes from: `request_headers_User_Agent` is `["request", "headers", "User-Agent"]`.

use std::collections::HashMap;

use serde_json::Value;

/// Deepest nesting that is looked into.
const MAX_DEPTH: usize = 128;

/// Paths by label, remembered for the line asked about last.
#[derive(Debug, Default)]
pub struct PathNames {
    line: String,
    paths: HashMap<String, Vec<String>>,
}

impl PathNames {
    /// The path of the value that label `name` has in `line`.
    pub fn find(&mut self, line: &str, name: &str) -> Option<Vec<String>> {
        if self.line != line {
            self.line = line.to_string();
            self.paths.clear();
            if let Ok(value) = serde_json::from_str(line) {
                self.walk(&value, "", &mut Vec::new());
            }
        }
        self.paths.get(name).cloned()
    }

    fn walk(&mut self, value: &Value, prefix: &str, path: &mut Vec<String>) {
        let Value::Object(fields) = value else { return };
        for (key, value) in fields {
            let name = joined(prefix, key);
            path.push(key.clone());
            match value {
                Value::Object(_) if path.len() < MAX_DEPTH => self.walk(value, &name, path),
                _ => {
                    self.paths.entry(name).or_insert_with(|| path.clone());
                }
            }
            path.pop();
        }
    }
}

/// The label of a key inside `prefix`: what no label can have becomes `_`.
fn joined(prefix: &str, key: &str) -> String {
    let mut name = prefix.to_string();
    if !prefix.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
        name.push('_');
    }
    name.extend(key.chars().map(|c| match c.is_ascii_alphanumeric() || c == '_' {
        true => c,
        false => '_',
    }));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_know_their_path() {
        let line = r#"{"9digit":1,"request":{"headers":{"User-Agent":"x"}},"weird key-1.x":"y"}"#;
        let mut paths = PathNames::default();
        for (name, expected) in [
            ("_9digit", Some(vec!["9digit"])),
            (
                "request_headers_User_Agent",
                Some(vec!["request", "headers", "User-Agent"]),
            ),
            ("weird_key_1_x", Some(vec!["weird key-1.x"])),
            ("request", None),
        ] {
            let expected = expected.map(|path| path.into_iter().map(str::to_string).collect::<Vec<_>>());
            assert_eq!(paths.find(line, name), expected, "{name}");
        }
        assert_eq!(paths.find("no json", "_9digit"), None);
    }
}
