//! Where in a line of JSON a label comes from: `request_headers_User_Agent` is `["request", "headers", "User-Agent"]`.

use std::collections::HashMap;

use garner_query::logql::pipeline::each_label_path;

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
            each_label_path(line.as_bytes(), |name, path| {
                if !self.paths.contains_key(name) {
                    self.paths.insert(name.to_string(), path.to_vec());
                }
            });
        }
        self.paths.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_know_their_path() {
        // A number that is too large for a float and half a character do not matter.
        let line = r#"{"9digit":1e400,"request":{"headers":{"User-Agent":"x"}},"weird key-1.x":"\ud800"}"#;
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
