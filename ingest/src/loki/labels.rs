//! Label sets of streams, as text: `{app="shop", pod='a', path=`b`}`.
//!
//! Loki reads them with Prometheus' metric parser (prometheus `promql/parser`, `ParseMetric`), whose texts its answers
//! hold; so this is that grammar: an optional name before the braces, quoted names, comments, a trailing comma.

use std::borrow::Cow;

use garner_storage::model::METRIC_NAME;
use garner_storage::model::go_text::{go_labels, is_legacy_label_name, push_quoted};

use super::entry::RawPair;
use super::lexer::{Lexer, Token, TokenKind};
use crate::error::{IngestError, IngestErrorKind};

/// Longest label set taken as text (Loki `pkg/loghttp/push/push.go`, `maxStreamLabelsSize`).
const MAX_STREAM_LABELS_BYTES: usize = 1 << 24;

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Labels of one stream: sorted by name, without empty values. A name may stand twice; validation refuses that.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct StreamLabels<'a> {
    pairs: Pairs<'a>,
}

/// Where and why a label set is not one. Prints as Loki's answer does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse labels: {line}:{column}: parse error: {message}")]
pub struct LabelParseError {
    /// Line of the offending token, from 1.
    pub line: usize,
    /// Byte in that line, from 1.
    pub column: usize,
    /// What is wrong with it.
    pub message: String,
}

impl From<LabelParseError> for IngestError {
    fn from(error: LabelParseError) -> Self {
        IngestError::bad_request(error.to_string())
    }
}

impl LabelParseError {
    pub(super) fn at(text: &str, position: usize, message: impl Into<String>) -> Self {
        let before = &text.as_bytes()[..position.min(text.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        LabelParseError {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: before.len() - line_start + 1,
            message: message.into(),
        }
    }

    /// Prometheus' text for a token that does not fit (`promql/parser/parse.go`, `unexpected`).
    fn unexpected(text: &str, token: &Token<'_>, context: &str, expected: &str) -> Self {
        let mut message = format!("unexpected {}", token.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        LabelParseError::at(text, token.start, message)
    }
}

impl<'a> StreamLabels<'a> {
    /// Parses the text of a label set. Empty text is the empty set.
    pub(crate) fn parse(labels: &'a [u8]) -> Result<Self, IngestError> {
        if labels.len() > MAX_STREAM_LABELS_BYTES {
            return Err(IngestError::new(
                IngestErrorKind::TooLarge,
                format!(
                    "request body too large: stream labels size {} bytes exceeds limit of {MAX_STREAM_LABELS_BYTES} bytes",
                    labels.len()
                ),
            ));
        }
        match std::str::from_utf8(labels) {
            Ok(labels) => Ok(StreamLabels::sorted(parse_metric(labels)?)),
            Err(error) => {
                let valid = String::from_utf8_lossy(&labels[..error.valid_up_to()]);
                Err(LabelParseError::at(&valid, valid.len(), "invalid UTF-8 rune").into())
            }
        }
    }

    /// A set from the members of a JSON object; of equal names the last counts. Loki prints the object as text and parses
    /// that, so a name that is no identifier gets the parser's answer.
    pub(crate) fn from_pairs(members: Vec<RawPair<'a>>) -> Result<Self, IngestError> {
        let mut pairs: Pairs<'a> = Vec::with_capacity(members.len());
        for (name, value) in members {
            let (name, value) = (utf8(name)?, utf8(value)?);
            pairs.retain(|(n, _)| *n != name);
            pairs.push((name, value));
        }
        if pairs.iter().all(|(name, _)| is_legacy_label_name(name)) {
            return Ok(StreamLabels::sorted(pairs));
        }
        pairs.sort_unstable();
        let text = render_raw_names(&pairs);
        let parsed = parse_metric(&text)?;
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Ok(StreamLabels::sorted(
            parsed.into_iter().map(|(n, v)| (owned(n), owned(v))).collect(),
        ))
    }

    /// The same labels with texts of their own.
    pub(super) fn into_owned(self) -> StreamLabels<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        StreamLabels {
            pairs: self.pairs.into_iter().map(|(n, v)| (owned(n), owned(v))).collect(),
        }
    }

    fn sorted(mut pairs: Pairs<'a>) -> Self {
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        StreamLabels { pairs }
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }

    /// Adds a label that is not there yet.
    pub(crate) fn insert(&mut self, name: &'a str, value: String) {
        let at = self.pairs.partition_point(|(n, _)| &**n < name);
        self.pairs.insert(at, (Cow::Borrowed(name), Cow::Owned(value)));
    }

    /// Pairs in name order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (&**n, &**v))
    }

    /// As Loki prints the stream in its messages.
    pub(crate) fn format(&self) -> String {
        go_labels(self.iter())
    }
}

fn utf8(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, IngestError> {
    let refuse = |_| IngestError::bad_request("couldn't parse labels: a label name or value is not valid UTF-8");
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(refuse),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => Err(refuse(error.utf8_error())),
        },
    }
}

/// Loki's `LabelSet.String` (`pkg/loghttp/labels.go`): names as they are, values quoted.
fn render_raw_names(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        push_quoted(&mut out, value.as_bytes());
    }
    out.push('}');
    out
}

/// The whole text: `[name] [{ pairs }]` and nothing behind it.
fn parse_metric(text: &str) -> Result<Pairs<'_>, LabelParseError> {
    let mut lexer = Lexer::new(text);
    let mut pairs = Vec::new();
    let mut token = lexer.next()?;
    if token.kind == TokenKind::Identifier {
        pairs.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(token.text)));
        token = lexer.next()?;
    }
    if token.kind == TokenKind::LeftBrace {
        label_set(text, &mut lexer, &mut pairs)?;
        token = lexer.next()?;
    }
    match token.kind {
        TokenKind::End => Ok(pairs),
        _ => Err(LabelParseError::unexpected(text, &token, "", "")),
    }
}

/// From behind `{` to behind `}`.
fn label_set<'a>(text: &'a str, lexer: &mut Lexer<'a>, pairs: &mut Pairs<'a>) -> Result<(), LabelParseError> {
    const CONTEXT: &str = "label set";
    loop {
        let name = lexer.next()?;
        if name.kind == TokenKind::RightBrace {
            return Ok(());
        }
        if !matches!(name.kind, TokenKind::Identifier | TokenKind::String) {
            return Err(LabelParseError::unexpected(text, &name, CONTEXT, "identifier or \"}\""));
        }
        let mut token = lexer.next()?;
        if token.kind == TokenKind::Equal {
            let value = lexer.next()?;
            if value.kind != TokenKind::String {
                return Err(LabelParseError::unexpected(text, &value, CONTEXT, "string"));
            }
            pairs.push((name.value(text)?, value.value(text)?));
            token = lexer.next()?;
        } else if name.kind == TokenKind::Identifier {
            return Err(LabelParseError::unexpected(text, &token, CONTEXT, "\"=\""));
        } else {
            pairs.push((Cow::Borrowed(METRIC_NAME), name.value(text)?));
        }
        match token.kind {
            TokenKind::Comma => {}
            TokenKind::RightBrace => return Ok(()),
            _ => return Err(LabelParseError::unexpected(text, &token, CONTEXT, "\",\" or \"}\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn check(labels: &str, expected: Result<&str, &str>) {
        let found = StreamLabels::parse(labels.as_bytes())
            .map(|l| l.format())
            .map_err(|e| e.message().to_string());
        let expected = expected
            .map(str::to_string)
            .map_err(|message| format!("couldn't parse labels: {message}"));
        assert_eq!(found, expected, "{labels}");
    }

    #[test]
    fn label_sets_are_read() {
        check("", Ok("{}"));
        check("{}", Ok("{}"));
        check(r#"{b="2", a="1"}"#, Ok(r#"{a="1", b="2"}"#));
        check(
            " {\n a = 'x' , # comment }\n b=`c:\\d`, } ",
            Ok(r#"{a="x", b="c:\\d"}"#),
        );
        check(
            r#"{a="q\"\\\t\x41\101\u65e5\U0001F600"}"#,
            Ok("{a=\"q\\\"\\\\\\tAA日😀\"}"),
        );
        check(r#"{a="", b="1"}"#, Ok(r#"{b="1"}"#));
        check(r#"{"my.app"="x", "up"}"#, Ok(r#"{__name__="up", "my.app"="x"}"#));
        check(r#"up{a="b"}"#, Ok(r#"{__name__="up", a="b"}"#));
        check("up", Ok(r#"{__name__="up"}"#));
        check(r#"{a="1", a="2"}"#, Ok(r#"{a="1", a="2"}"#));
        check(
            "{日本='x'}",
            Err("1:2: parse error: unexpected character inside braces: '日'"),
        );
    }

    #[test]
    fn errors_are_prometheus_own() {
        for (labels, expected) in [
            (
                r#"{my.app="x"}"#,
                "1:4: parse error: unexpected character inside braces: '.'",
            ),
            (
                r#"{1app="x"}"#,
                "1:2: parse error: unexpected character inside braces: '1'",
            ),
            (
                r#"{my app="x"}"#,
                r#"1:5: parse error: unexpected identifier "app" in label set, expected "=""#,
            ),
            (
                r#"{="x"}"#,
                r#"1:2: parse error: unexpected "=" in label set, expected identifier or "}""#,
            ),
            (
                r#"{a:b="x"}"#,
                "1:3: parse error: unexpected character inside braces: ':'",
            ),
            (
                r#"{bad-name="x"}"#,
                "1:5: parse error: unexpected character inside braces: '-'",
            ),
            (r#"app="x""#, r#"1:4: parse error: unexpected "=""#),
            (
                r#"{app=~"x"}"#,
                r#"1:5: parse error: unexpected <op:=~> in label set, expected "=""#,
            ),
            (
                r#"{app!="x"}"#,
                r#"1:5: parse error: unexpected <op:!=> in label set, expected "=""#,
            ),
            (
                r#"{a=b}"#,
                r#"1:4: parse error: unexpected identifier "b" in label set, expected string"#,
            ),
            (
                r#"{a="b" c="d"}"#,
                r#"1:8: parse error: unexpected identifier "c" in label set, expected "," or "}""#,
            ),
            (r#"{a="b""#, "1:7: parse error: unexpected end of input inside braces"),
            (r#"{a="b"#, "1:4: parse error: unterminated quoted string"),
            ("{a=`b", "1:4: parse error: unterminated raw string"),
            ("{a=\"b\nc\"}", "1:4: parse error: unterminated quoted string"),
            (r#"{a="\q"}"#, "1:4: parse error: unknown escape sequence U+0071 'q'"),
            (
                r#"{a="\x4"}"#,
                "1:4: parse error: illegal character U+0022 '\"' in escape sequence",
            ),
            (r#"{a="b"} x"#, r#"1:9: parse error: unexpected identifier "x""#),
            (r#"{{"#, "1:2: parse error: unexpected left brace '{'"),
            ("{\na=\n1}", "3:1: parse error: unexpected character inside braces: '1'"),
            (
                r#"{a="b",,}"#,
                r#"1:8: parse error: unexpected "," in label set, expected identifier or "}""#,
            ),
            (
                r#""a long string""#,
                r#"1:1: parse error: unexpected string "\"a long st"..."#,
            ),
        ] {
            check(labels, Err(expected));
        }
        assert_eq!(
            StreamLabels::parse(b"{a=\"\xff\"}").unwrap_err().message(),
            "couldn't parse labels: 1:5: parse error: invalid UTF-8 rune"
        );
    }

    fn members<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<RawPair<'a>> {
        pairs
            .iter()
            .map(|(n, v)| (Cow::Borrowed(n.as_bytes()), Cow::Borrowed(v.as_bytes())))
            .collect()
    }

    #[test]
    fn json_members_mean_the_same_as_their_text() {
        let labels = StreamLabels::from_pairs(members(&[("b", "x\ny"), ("a", "1"), ("a", "2"), ("e", "")])).unwrap();
        assert_eq!(labels.format(), r#"{a="2", b="x\ny"}"#);
        let error = StreamLabels::from_pairs(members(&[("日本", "x")])).unwrap_err();
        assert_eq!(
            error.message(),
            "couldn't parse labels: 1:2: parse error: unexpected character inside braces: '日'"
        );
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "[{}=~!,\"'`\\\\a-cxuU0-9 \n#日.-]{0,40}") {
            let _ = StreamLabels::parse(text.as_bytes());
        }

        #[test]
        fn printed_sets_are_read_back(pairs in proptest::collection::btree_map("[a-z_]{1,8}", ".{1,20}", 0..5)) {
            let text = go_labels(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let labels = StreamLabels::parse(text.as_bytes()).unwrap();
            let found: Vec<_> = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            prop_assert_eq!(found, pairs.into_iter().collect::<Vec<_>>());
        }
    }
}
