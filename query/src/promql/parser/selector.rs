//! Vector selectors, their matchers, and lists of labels.

use garner_storage::model::go_text::go_quote;
use garner_storage::model::{LabelMatcher, METRIC_NAME, MatchOp};

use super::state::{Built, Fail, Parsed, Parser, mistake, range_of};
use crate::goregex;
use crate::promql::ast::{Expr, Span, VectorSelector};
use crate::promql::error::PosRange;
use crate::promql::token::{Operator, Token, TokenKind};

impl<'a> Parser<'a> {
    /// A selector whose name, if it has one, has been taken.
    pub fn selector(&mut self, name: Option<Token<'a>>) -> Parsed<Built> {
        let selector = self.vector_selector(name)?;
        Ok(Built::leaf(Expr::Vector(Box::new(selector))))
    }

    /// A selector and nothing else, any word being a name.
    pub fn selector_alone(&mut self) -> Parsed<VectorSelector> {
        match self.peek()? {
            TokenKind::LeftBrace => self.vector_selector(None),
            kind if is_metric_name(kind) => {
                let name = self.advance()?;
                self.vector_selector(Some(name))
            }
            _ => Err(Fail::Unexpected),
        }
    }

    fn vector_selector(&mut self, name: Option<Token<'a>>) -> Parsed<VectorSelector> {
        let (mut matchers, range) = match name {
            None => self.matchers()?,
            Some(name) if self.peek()? == TokenKind::LeftBrace => {
                let (matchers, range) = self.matchers()?;
                (matchers, range_of(name).to(range))
            }
            Some(name) => (Vec::new(), range_of(name)),
        };
        let name = name.map_or("", |n| n.text);
        if !name.is_empty() {
            matchers.push(self.matcher(METRIC_NAME, MatchOp::Equal, name, range)?);
        }
        Ok(VectorSelector {
            name: name.to_string(),
            matchers,
            offset: Span::ZERO,
            at: None,
            anchored: false,
            smoothed: false,
            range,
        })
    }

    /// `{…}`, a comma after the last matcher allowed.
    fn matchers(&mut self) -> Parsed<(Vec<LabelMatcher>, PosRange)> {
        let start = self.expect(TokenKind::LeftBrace)?.position;
        let mut matchers = Vec::new();
        while self.peek()? != TokenKind::RightBrace {
            matchers.push(self.label_matcher()?);
            match self.peek()? {
                TokenKind::Comma => {
                    self.advance()?;
                }
                TokenKind::RightBrace => {}
                _ => return self.told(Err(Fail::Unexpected), "label matching", "\",\" or \"}\""),
            }
        }
        let end = self.advance()?.end();
        Ok((matchers, PosRange::new(start, end)))
    }

    fn label_matcher(&mut self) -> Parsed<LabelMatcher> {
        let token = match self.peek()? {
            TokenKind::Identifier | TokenKind::String => self.advance()?,
            _ => return self.told(Err(Fail::Unexpected), "label matching", "identifier or \"}\""),
        };
        let quoted = token.kind == TokenKind::String;
        let name = if quoted {
            String::from_utf8_lossy(&self.unquoted(token)?).into_owned()
        } else {
            token.text.to_string()
        };
        let op = match self.peek()? {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(Operator::NotEqual) => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotEqualRegex => MatchOp::NotRegex,
            // A string alone is the metric's name.
            _ if quoted => return self.matcher(METRIC_NAME, MatchOp::Equal, &name, range_of(token)),
            _ => return self.told(Err(Fail::Unexpected), "label matching", "label matching operator"),
        };
        self.advance()?;
        let value = self.expect(TokenKind::String);
        let value = self.told(value, "label matching", "string")?;
        let text = self.unquoted(value)?;
        let range = PosRange::new(token.position, value.end());
        self.matcher(&name, op, &String::from_utf8_lossy(&text), range)
    }

    fn matcher(&self, name: &str, op: MatchOp, value: &str, range: PosRange) -> Parsed<LabelMatcher> {
        let made = match op {
            MatchOp::Equal | MatchOp::NotEqual => LabelMatcher::new(name, op, value),
            MatchOp::Regex | MatchOp::NotRegex => match goregex::translate(value) {
                Ok(translated) => LabelMatcher::with_pattern(name, op, value, &translated.for_text()),
                Err(e) => return mistake(range, e.to_string()),
            },
        };
        made.or_else(|e| mistake(range, format!("error parsing regexp: {}", e.reason)))
    }

    /// `(a, "b")`: any word is a label here.
    pub fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        let open = self.expect(TokenKind::LeftParen);
        self.told(open, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while self.peek()? != TokenKind::RightParen {
            labels.push(self.grouping_label()?);
            match self.peek()? {
                TokenKind::Comma => {
                    self.advance()?;
                }
                TokenKind::RightParen => {}
                _ => return self.told(Err(Fail::Unexpected), "grouping opts", "\",\" or \")\""),
            }
        }
        self.advance()?;
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let kind = self.peek()?;
        let plain = match kind {
            TokenKind::Operator(op) => op.is_set() || op == Operator::Atan2,
            TokenKind::Keyword(_) => true,
            _ => is_metric_name(kind),
        };
        if !plain && kind != TokenKind::String {
            return self.told(Err(Fail::Unexpected), "grouping opts", "label");
        }
        let token = self.advance()?;
        let bytes = if plain {
            token.text.as_bytes().to_vec()
        } else {
            self.unquoted(token)?
        };
        match String::from_utf8(bytes) {
            Ok(label) if !label.is_empty() => Ok(label),
            Ok(label) => invalid_label(token, label.as_bytes()),
            Err(e) => invalid_label(token, e.as_bytes()),
        }
    }
}

fn invalid_label<T>(token: Token<'_>, label: &[u8]) -> Parsed<T> {
    let message = format!("invalid label name for grouping: {}", go_quote(label));
    mistake(range_of(token), message)
}

/// Whether a word of this kind can be the name of a metric.
fn is_metric_name(kind: TokenKind) -> bool {
    use crate::promql::token::Keyword::{Bool, GroupLeft, GroupRight, Ignoring, On};
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregator(_) | TokenKind::Preprocessor(_) => {
            true
        }
        TokenKind::Operator(op) => op.is_set(),
        TokenKind::Keyword(word) => !matches!(word, Bool | On | Ignoring | GroupLeft | GroupRight),
        _ => false,
    }
}
