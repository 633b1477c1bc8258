//! Tokens: their kinds, and how an error message describes one.
//!
//! The vocabulary and the descriptions are those of prometheus `promql/parser/lex.go` (`Item`, `key`, `ItemTypeStr`).

use garner_storage::model::go_text::go_quote;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the word or sign it is named after")]
pub enum TokenKind {
    Eof,
    Identifier,
    /// An identifier with a colon in it: a metric name, never a function or label name.
    MetricIdentifier,
    String,
    Number,
    Duration,
    Equal,
    Colon,
    Comma,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    EqualRegex,
    NotEqualRegex,
    At,
    Operator(Operator),
    Aggregator(Aggregator),
    Keyword(Keyword),
    /// `start`, `end`, `step`, `range`, `max_of`, `min_of`: functions, arguments of `@`, or metric names.
    Preprocessor(Preprocessor),
}

/// Binary operators (`+` and `-` are unary ones too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the operator it is named after")]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
    /// `</`, which cuts the upper part off a native histogram.
    TrimUpper,
    /// `>/`, which cuts the lower part off a native histogram.
    TrimLower,
}

impl Operator {
    /// The operator as the printer writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Sub => "-",
            Operator::Mul => "*",
            Operator::Div => "/",
            Operator::Mod => "%",
            Operator::Pow => "^",
            Operator::Atan2 => "atan2",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterEqual => ">=",
            Operator::And => "and",
            Operator::Or => "or",
            Operator::Unless => "unless",
            Operator::TrimUpper => "</",
            Operator::TrimLower => ">/",
        }
    }

    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    pub fn is_comparison(self) -> bool {
        use Operator::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
    }

    /// `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, Operator::And | Operator::Or | Operator::Unless)
    }

    /// How tightly it binds; `^` is the only one that associates to the right (generated_parser.y, `%left`/`%right`).
    pub fn precedence(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And | Operator::Unless => 2,
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessEqual
            | Operator::Greater
            | Operator::GreaterEqual
            | Operator::TrimUpper
            | Operator::TrimLower => 3,
            Operator::Add | Operator::Sub => 4,
            Operator::Mul | Operator::Div | Operator::Mod | Operator::Atan2 => 5,
            Operator::Pow => 6,
        }
    }
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the aggregation it is named after")]
pub enum Aggregator {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
    Limitk,
    LimitRatio,
}

impl Aggregator {
    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Aggregator::Avg => "avg",
            Aggregator::Bottomk => "bottomk",
            Aggregator::Count => "count",
            Aggregator::CountValues => "count_values",
            Aggregator::Group => "group",
            Aggregator::Max => "max",
            Aggregator::Min => "min",
            Aggregator::Quantile => "quantile",
            Aggregator::Stddev => "stddev",
            Aggregator::Stdvar => "stdvar",
            Aggregator::Sum => "sum",
            Aggregator::Topk => "topk",
            Aggregator::Limitk => "limitk",
            Aggregator::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before the vector.
    pub fn takes_parameter(self) -> bool {
        use Aggregator::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }

    /// Whether it stands behind the switch for experimental functions.
    pub fn is_experimental(self) -> bool {
        matches!(self, Aggregator::Limitk | Aggregator::LimitRatio)
    }
}

/// Words that modify the expression they stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the word it is named after")]
pub enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
}

/// Words that stand for something known once the query's time range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the word it is named after")]
pub enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// The kind of a word outside of braces, in any case; `None` for plain identifiers.
pub(super) fn keyword(word: &str) -> Option<TokenKind> {
    // The longest keyword is `count_values`.
    if word.len() > 12 {
        return None;
    }
    let mut lower = [0u8; 12];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => TokenKind::Operator(Operator::And),
        b"or" => TokenKind::Operator(Operator::Or),
        b"unless" => TokenKind::Operator(Operator::Unless),
        b"atan2" => TokenKind::Operator(Operator::Atan2),
        b"sum" => TokenKind::Aggregator(Aggregator::Sum),
        b"avg" => TokenKind::Aggregator(Aggregator::Avg),
        b"count" => TokenKind::Aggregator(Aggregator::Count),
        b"min" => TokenKind::Aggregator(Aggregator::Min),
        b"max" => TokenKind::Aggregator(Aggregator::Max),
        b"group" => TokenKind::Aggregator(Aggregator::Group),
        b"stddev" => TokenKind::Aggregator(Aggregator::Stddev),
        b"stdvar" => TokenKind::Aggregator(Aggregator::Stdvar),
        b"topk" => TokenKind::Aggregator(Aggregator::Topk),
        b"bottomk" => TokenKind::Aggregator(Aggregator::Bottomk),
        b"count_values" => TokenKind::Aggregator(Aggregator::CountValues),
        b"quantile" => TokenKind::Aggregator(Aggregator::Quantile),
        b"limitk" => TokenKind::Aggregator(Aggregator::Limitk),
        b"limit_ratio" => TokenKind::Aggregator(Aggregator::LimitRatio),
        b"offset" => TokenKind::Keyword(Keyword::Offset),
        b"smoothed" => TokenKind::Keyword(Keyword::Smoothed),
        b"anchored" => TokenKind::Keyword(Keyword::Anchored),
        b"by" => TokenKind::Keyword(Keyword::By),
        b"without" => TokenKind::Keyword(Keyword::Without),
        b"on" => TokenKind::Keyword(Keyword::On),
        b"ignoring" => TokenKind::Keyword(Keyword::Ignoring),
        b"group_left" => TokenKind::Keyword(Keyword::GroupLeft),
        b"group_right" => TokenKind::Keyword(Keyword::GroupRight),
        b"fill" => TokenKind::Keyword(Keyword::Fill),
        b"fill_left" => TokenKind::Keyword(Keyword::FillLeft),
        b"fill_right" => TokenKind::Keyword(Keyword::FillRight),
        b"bool" => TokenKind::Keyword(Keyword::Bool),
        b"start" => TokenKind::Preprocessor(Preprocessor::Start),
        b"end" => TokenKind::Preprocessor(Preprocessor::End),
        b"inf" | b"nan" => TokenKind::Number,
        other => return duration_keyword(std::str::from_utf8(other).ok()?),
    })
}

/// The kind of a word that may stand in a duration expression; `word` in lower case.
pub(super) fn duration_keyword(word: &str) -> Option<TokenKind> {
    Some(TokenKind::Preprocessor(match word {
        "step" => Preprocessor::Step,
        "range" => Preprocessor::Range,
        "max_of" => Preprocessor::MaxOf,
        "min_of" => Preprocessor::MinOf,
        _ => return None,
    }))
}

/// A piece of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Where it starts, in bytes.
    pub position: usize,
    /// The text itself.
    pub text: &'a str,
}

impl Token<'_> {
    /// One past its last byte.
    pub fn end(&self) -> usize {
        self.position + self.text.len()
    }

    /// As `unexpected …` names it.
    pub(super) fn describe(&self) -> String {
        let class = match self.kind {
            TokenKind::Eof => return "end of input".to_string(),
            TokenKind::Identifier => "identifier ",
            TokenKind::MetricIdentifier => "metric identifier ",
            TokenKind::String => "string ",
            TokenKind::Number => "number ",
            TokenKind::Duration => "duration ",
            TokenKind::Keyword(_) => return format!("<{}>", self.text),
            TokenKind::Operator(_) | TokenKind::At | TokenKind::EqualRegex | TokenKind::NotEqualRegex => {
                return format!("<op:{}>", self.text);
            }
            TokenKind::Aggregator(_) => return format!("<aggr:{}>", self.text),
            _ => "",
        };
        // Identifiers are shown whole, other texts up to ten characters.
        let whole = matches!(self.kind, TokenKind::Identifier | TokenKind::MetricIdentifier) || self.text.len() <= 10;
        if whole {
            return format!("{class}{}", go_quote(self.text.as_bytes()));
        }
        let head: String = self.text.chars().take(10).collect();
        format!("{class}{}...", go_quote(head.as_bytes()))
    }
}
