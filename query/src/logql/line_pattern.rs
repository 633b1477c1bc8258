//! Patterns such as `<ip> - <_> "<method>`: the pattern parser and the pattern line filters.

use memchr::memmem::Finder;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct LinePattern {
    parts: Vec<Part>,
    names: Vec<String>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(Box<Finder<'static>>),
    /// Index into `names`; `None` for `<_>`.
    Capture(Option<usize>),
}

impl LinePattern {
    /// A pattern of `| pattern`: captures are named, each once, and never adjacent.
    pub fn parser(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL".into(),
            );
        }
        let pattern = Self::split(text)?;
        if pattern.names.is_empty() {
            return Err("at least one capture is required".into());
        }
        if let Some(adjacent) = adjacent_captures(text) {
            return Err(adjacent);
        }
        for (i, name) in pattern.names.iter().enumerate() {
            if pattern.names[..i].contains(name) {
                return Err(format!("duplicate capture name ({name}): invalid expression"));
            }
        }
        Ok(pattern)
    }

    /// A pattern of `|>` and `!>`: captures have no names.
    pub fn filter(text: &str) -> Result<Self, String> {
        let pattern = Self::split(text)?;
        if let Some(adjacent) = adjacent_captures(text) {
            return Err(adjacent);
        }
        if let Some(name) = pattern.names.first() {
            return Err(format!("named captures are not allowed: found '<{name}>'"));
        }
        Ok(pattern)
    }

    fn split(text: &str) -> Result<Self, String> {
        let mut pattern = LinePattern {
            parts: Vec::new(),
            names: Vec::new(),
        };
        for piece in pieces(text) {
            pattern.parts.push(match piece {
                Piece::Literal(literal) => Part::Literal(Box::new(Finder::new(literal).into_owned())),
                Piece::Capture("_") => Part::Capture(None),
                Piece::Capture(name) => {
                    pattern.names.push(name.to_string());
                    Part::Capture(Some(pattern.names.len() - 1))
                }
            });
        }
        Ok(pattern)
    }

    /// Names of captures in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Calls `found` with the index of each capture and its text, until one is missing.
    pub fn captures<'a>(&self, line: &'a [u8], mut found: impl FnMut(usize, &'a [u8])) {
        if line.is_empty() {
            return;
        }
        let mut rest = line;
        let mut parts = self.parts.as_slice();
        if let Some(Part::Literal(literal)) = parts.first() {
            match rest.strip_prefix(literal.needle()) {
                Some(after) => rest = after,
                None => return,
            }
            parts = &parts[1..];
        }
        while let [Part::Capture(name), tail @ ..] = parts {
            let end = match tail.first() {
                Some(Part::Literal(literal)) => literal.find(rest),
                _ => None,
            };
            if let Some(index) = name {
                // A capture whose end is missing takes everything that is left.
                found(*index, &rest[..end.unwrap_or(rest.len())]);
            }
            let (Some(end), Some(Part::Literal(literal))) = (end, tail.first()) else {
                return;
            };
            rest = &rest[end + literal.needle().len()..];
            parts = &tail[1..];
        }
    }

    /// Whether a whole line has this shape; captures must not be empty.
    pub fn is_match(&self, line: &[u8]) -> bool {
        if line.is_empty() || self.parts.is_empty() {
            return line.is_empty() && self.parts.is_empty();
        }
        let mut offset = 0;
        for (i, part) in self.parts.iter().enumerate() {
            let Part::Literal(literal) = part else { continue };
            match literal.find(&line[offset..]) {
                None => return false,
                Some(0) if i != 0 => return false,
                Some(at) => offset += at + literal.needle().len(),
            }
        }
        let ends_on_capture = matches!(self.parts.last(), Some(Part::Capture(_)));
        ends_on_capture == (offset != line.len())
    }
}

enum Piece<'a> {
    Literal(&'a str),
    Capture(&'a str),
}

fn capture_at(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let name = &inner[..end];
    let starts = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    (starts && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())).then_some(name)
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let (mut literal, mut at) = (0, 0);
    while at < text.len() {
        match capture_at(&text[at..]) {
            Some(name) => {
                if literal < at {
                    out.push(Piece::Literal(&text[literal..at]));
                }
                out.push(Piece::Capture(name));
                at += name.len() + 2;
                literal = at;
            }
            None => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    if literal < text.len() {
        out.push(Piece::Literal(&text[literal..]));
    }
    out
}

fn adjacent_captures(text: &str) -> Option<String> {
    pieces(text).windows(2).find_map(|pair| match pair {
        [Piece::Capture(a), Piece::Capture(b)] => {
            Some(format!("found consecutive capture '<{a}><{b}>': invalid expression"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_stop_at_the_first_missing_literal() {
        for (pattern, line, expected) in [
            ("<ip> - <_> [<time>", "1.2.3.4 - x [now", vec!["1.2.3.4", "now"]),
            ("<a> = <b>", "x", vec!["x"]),
            ("pre <a>", "no", vec![]),
            ("<op> <_>", "fetch it", vec!["fetch"]),
        ] {
            let mut got = Vec::new();
            let compiled = LinePattern::parser(pattern);
            assert!(compiled.is_ok(), "{pattern}");
            if let Ok(compiled) = compiled {
                compiled.captures(line.as_bytes(), |_, value| {
                    got.push(String::from_utf8_lossy(value).into_owned())
                });
            }
            assert_eq!(got, expected, "{pattern}");
        }
    }

    #[test]
    fn filters_match_whole_lines() {
        for (pattern, line, expected) in [
            ("<_> bar", "foo bar baz", false),
            ("<_> baz", "foo bar baz", true),
            ("foo <_>", "foo bar baz", true),
            ("user", "user", true),
            ("user", "xuser", true),
            ("", "", true),
            ("<_>bar<_>", " bar ", true),
        ] {
            let got = LinePattern::filter(pattern).map(|p| p.is_match(line.as_bytes()));
            assert_eq!(got, Ok(expected), "{pattern} on {line}");
        }
        assert!(LinePattern::filter("<a>").is_err());
    }
}
