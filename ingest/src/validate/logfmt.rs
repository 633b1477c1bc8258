//! Key-value pairs of a logfmt line, with the errors at which Loki stops looking (`pkg/logql/log/logfmt/decode.go`).

use std::borrow::Cow;

use crate::json_scan;

/// Walks the pairs of a line; ends for good at the first thing that is not logfmt.
#[derive(Debug)]
pub(super) struct Pairs<'a> {
    line: &'a [u8],
    position: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Pairs { line, position: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.line[self.position.min(self.line.len())..]
    }

    /// The key from here: up to `=` or a blank. `None` where it is none.
    fn key(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|b| *b <= b' ' || matches!(b, b'=' | b'"'))
            .unwrap_or(rest.len());
        let key = &rest[..len];
        self.position += len;
        let quote = rest.get(len) == Some(&b'"');
        let broken = !key.is_ascii() && std::str::from_utf8(key).map_or(true, |k| k.contains('\u{fffd}'));
        (!quote && !broken && !key.is_empty()).then_some(key)
    }

    /// A quoted value; the position is behind its opening quote.
    fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        let start = self.position;
        let mut at = start;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.line.get(at..)?)?;
            if self.line[at] == b'"' {
                break;
            }
            at += 2;
        }
        self.position = at + 1;
        let raw = &self.line[start..at];
        match raw.contains(&b'\\') {
            true => json_scan::unescape(raw).ok().map(Cow::Owned),
            false => Some(Cow::Borrowed(raw)),
        }
    }

    /// A bare value, up to a blank. An `=` or a quote inside makes it no logfmt.
    fn bare(&mut self) -> Option<Cow<'a, [u8]>> {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|b| *b <= b' ' || matches!(b, b'=' | b'"'))
            .unwrap_or(rest.len());
        self.position += len;
        match rest.get(len) {
            Some(b'=' | b'"') => None,
            _ => Some(Cow::Borrowed(&rest[..len])),
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let blanks = self.rest().iter().position(|b| *b > b' ')?;
        self.position += blanks;
        let pair = (|| {
            let key = self.key()?;
            if self.rest().first() != Some(&b'=') {
                return Some((key, Cow::Borrowed(&b""[..])));
            }
            self.position += 1;
            let value = match self.rest().first() {
                None => Cow::Borrowed(&b""[..]),
                Some(b'"') => {
                    self.position += 1;
                    self.quoted()?
                }
                Some(byte) if *byte <= b' ' => Cow::Borrowed(&b""[..]),
                Some(_) => self.bare()?,
            };
            Some((key, value))
        })();
        if pair.is_none() {
            self.position = self.line.len();
        }
        pair
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, expected: &[(&str, &str)]) {
        let found: Vec<_> = Pairs::new(line.as_bytes())
            .map(|(k, v)| {
                (
                    String::from_utf8_lossy(k).into_owned(),
                    String::from_utf8_lossy(&v).into_owned(),
                )
            })
            .collect();
        let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn pairs_end_at_the_first_error() {
        check("level=info msg=x", &[("level", "info"), ("msg", "x")]);
        check(r#"a="x \"y\" z" b="#, &[("a", "x \"y\" z"), ("b", "")]);
        check("a b=c  d", &[("a", ""), ("b", "c"), ("d", "")]);
        check("a= b=c", &[("a", ""), ("b", "c")]);
        check("a=b=c d=e", &[]);
        check("x=1 =b d=e", &[("x", "1")]);
        check("x=1 \"q\" d=e", &[("x", "1")]);
        check("x=1 y=\"open d=e", &[("x", "1")]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn random_lines_never_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Pairs::new(&line).count();
        }

        #[test]
        fn random_pairs_never_panic(line in "[a-c=\"\\\\ u0]{0,30}") {
            let _ = Pairs::new(line.as_bytes()).count();
        }
    }
}
