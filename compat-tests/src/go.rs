//! Query strings as Go's `net/url` writes them, which is how Grafana, logcli and loki-canary send their parameters.

/// Escapes as `url.QueryEscape`: a space is `+`, and only letters, digits and `-_.~` stand for themselves.
pub fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `url.Values.Encode`: sorted by name, values of one name in the order given.
pub fn encode(params: &[(&str, &str)]) -> String {
    let mut params = params.to_vec();
    params.sort_by_key(|(name, _)| *name);
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}={}", query_escape(name), query_escape(value)))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_sorted_and_escaped() {
        assert_eq!(
            encode(&[("query", "{a=\"b c\"} |= `\u{e9}+`"), ("b[]", "~.-_/"), ("b[]", "")]),
            "b%5B%5D=~.-_%2F&b%5B%5D=&query=%7Ba%3D%22b+c%22%7D+%7C%3D+%60%C3%A9%2B%60"
        );
    }
}
