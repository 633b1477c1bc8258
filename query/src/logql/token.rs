//! Tokens of LogQL and the names that error texts give them.

/// Every kind of token. [`Token::name`] is what a syntax error calls it.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// End of input.
    End,
    /// A size such as `10KB`.
    Bytes(u64),
    /// A name.
    Identifier(String),
    /// A quoted string, unquoted.
    String(String),
    /// A number as written.
    Number(String),
    /// `--strict`, `--keep-empty`.
    FunctionFlag(String),
    /// A duration such as `5m`, in nanoseconds.
    Duration(i64),
    /// A duration in brackets.
    Range(i64),
    /// A fixed word or sign, by its text in lower case.
    Fixed(&'static str),
    /// A function name: only where a parenthesis or grouping follows it.
    Function(&'static str),
}

/// Signs and words that are always tokens.
pub const FIXED: [&str; 50] = [
    ",",
    ".",
    "{",
    "}",
    "=",
    "!=",
    "=~",
    "!~",
    "!>",
    "|=",
    "|~",
    "|>",
    "|",
    "unwrap",
    "(",
    ")",
    "by",
    "without",
    "bool",
    "[",
    "]",
    "offset",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "or",
    "and",
    "unless",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    ">",
    ">=",
    "<",
    "<=",
    "json",
    "regexp",
    "logfmt",
    "unpack",
    "pattern",
    "label_format",
    "line_format",
    "decolorize",
    "drop",
    "keep",
];

/// Names that are functions where `(`, `by (` or `without (` follows, with the name errors use.
pub const FUNCTIONS: [(&str, &str); 33] = [
    ("rate", "RATE"),
    ("rate_counter", "RATE_COUNTER"),
    ("count_over_time", "COUNT_OVER_TIME"),
    ("bytes_rate", "BYTES_RATE"),
    ("bytes_over_time", "BYTES_OVER_TIME"),
    ("avg_over_time", "AVG_OVER_TIME"),
    ("sum_over_time", "SUM_OVER_TIME"),
    ("min_over_time", "MIN_OVER_TIME"),
    ("max_over_time", "MAX_OVER_TIME"),
    ("stdvar_over_time", "STDVAR_OVER_TIME"),
    ("stddev_over_time", "STDDEV_OVER_TIME"),
    ("quantile_over_time", "QUANTILE_OVER_TIME"),
    ("first_over_time", "FIRST_OVER_TIME"),
    ("last_over_time", "LAST_OVER_TIME"),
    ("absent_over_time", "ABSENT_OVER_TIME"),
    ("vector", "VECTOR"),
    ("sum", "SUM"),
    ("avg", "AVG"),
    ("max", "MAX"),
    ("min", "MIN"),
    ("count", "COUNT"),
    ("stddev", "STDDEV"),
    ("stdvar", "STDVAR"),
    ("bottomk", "BOTTOMK"),
    ("topk", "TOPK"),
    ("sort", "SORT"),
    ("sort_desc", "SORT_DESC"),
    ("label_replace", "label_replace"),
    ("approx_topk", "APPROX_TOPK"),
    ("bytes", "BYTES_CONV"),
    ("duration", "DURATION_CONV"),
    ("duration_seconds", "DURATION_SECONDS_CONV"),
    ("ip", "ip"),
];

impl Token {
    /// The name in "unexpected …" and "expecting …".
    pub fn name(&self) -> &'static str {
        match self {
            Token::End => "$end",
            Token::Bytes(_) => "BYTES",
            Token::Identifier(_) => "IDENTIFIER",
            Token::String(_) => "STRING",
            Token::Number(_) => "NUMBER",
            Token::FunctionFlag(_) => "FUNCTION_FLAG",
            Token::Duration(_) => "DURATION",
            Token::Range(_) => "RANGE",
            Token::Fixed(text) => text,
            Token::Function(text) => FUNCTIONS
                .iter()
                .find(|(f, _)| f == text)
                .map_or("IDENTIFIER", |(_, name)| name),
        }
    }
}

/// A token and where it starts. `line` is 0 where the lexer looked past the token, as in Loki.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned {
    /// What it is.
    pub token: Token,
    /// 1-based line, or 0.
    pub line: usize,
    /// 1-based column in characters.
    pub column: usize,
}
