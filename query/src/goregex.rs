//! Regular expressions in Go's syntax (RE2): checks them with Go's error texts and translates them for the regex crate.
//!
//! The two syntaxes differ in details that queries use: `\d`, `\w`, `\s`, `\b` are ASCII in Go, `\Q…\E` quotes, `{` that
//! starts no repetition is a literal, any ASCII sign may be escaped, group names may start with a digit, and classes
//! know no set operators. Behaviour after Go's `regexp/syntax` parser.

use regex::bytes::{Regex, RegexBuilder};

/// Largest compiled program in bytes; a pattern that needs more is refused instead of using memory without bound.
const MAX_COMPILED_BYTES: usize = 10 << 20;
/// Largest repetition count, as in Go.
const MAX_REPEAT: u32 = 1_000;
/// Deepest nesting of groups, as in Go.
const MAX_GROUP_DEPTH: usize = 1_000;

/// Why a pattern is refused; prints as Go does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoRegexError {
    reason: &'static str,
    part: String,
}

impl std::fmt::Display for GoRegexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.reason, self.part)
    }
}

impl std::error::Error for GoRegexError {}

fn error(reason: &'static str, part: &str) -> GoRegexError {
    GoRegexError {
        reason,
        part: part.to_string(),
    }
}

/// A pattern in the regex crate's syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// The pattern; its groups are unnamed.
    pub pattern: String,
    /// Name of each group, from group 1 on.
    pub group_names: Vec<Option<String>>,
}

impl Translated {
    /// The pattern for searching text instead of bytes: there the negated ASCII word boundary does not exist, since it
    /// matches inside of characters.
    pub fn for_text(&self) -> String {
        text_only(&self.pattern)
    }

    /// The pattern of [`Translated::for_text`] with its groups named again.
    pub fn for_text_with_names(&self) -> String {
        text_only(&self.with_names())
    }

    /// The pattern with its groups named again, for replacements that refer to them; a name that the regex crate does not
    /// take stays out.
    pub fn with_names(&self) -> String {
        let mut out = String::with_capacity(self.pattern.len() + 16);
        let mut names = self.group_names.iter();
        let mut in_class = false;
        let mut chars = self.pattern.char_indices();
        while let Some((at, c)) = chars.next() {
            out.push(c);
            match c {
                '\\' => out.extend(chars.next().map(|(_, c)| c)),
                '[' => in_class = true,
                ']' => in_class = false,
                '(' if !in_class && !self.pattern[at + 1..].starts_with('?') => {
                    if let Some(Some(name)) = names.next()
                        && !name.starts_with(|c: char| c.is_ascii_digit())
                    {
                        out.push_str(&format!("?P<{name}>"));
                    }
                }
                _ => {}
            }
        }
        out
    }
}

fn text_only(pattern: &str) -> String {
    pattern.replace("(?-u:\\B)", "\\B")
}

/// Whether the pattern is one.
pub fn check(pattern: &str) -> Result<(), GoRegexError> {
    let translated = translate(pattern)?;
    regex_syntax::ParserBuilder::new()
        .utf8(false)
        .build()
        .parse(&translated.pattern)
        .map(|_| ())
        .map_err(|_| error("expression is not supported", pattern))
}

/// Compiles a pattern to search bytes.
pub fn compile(pattern: &str) -> Result<Regex, GoRegexError> {
    build(&translate(pattern)?.pattern, pattern)
}

/// Compiles a pattern that must match whole values.
pub fn compile_anchored(pattern: &str) -> Result<Regex, GoRegexError> {
    build(&format!("^(?:{})$", translate(pattern)?.pattern), pattern)
}

fn build(translated: &str, pattern: &str) -> Result<Regex, GoRegexError> {
    RegexBuilder::new(translated)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|_| error("expression too large", pattern))
}

/// Checks a pattern of the regexp parser: it needs named groups, each name once.
pub fn check_captures(pattern: &str) -> Result<(), String> {
    let names = translate(pattern).map_err(|e| e.to_string())?.group_names;
    let mut seen: Vec<&str> = Vec::new();
    for name in names.iter().flatten() {
        if seen.contains(&name.as_str()) {
            return Err(format!("duplicate extracted label name '{name}'"));
        }
        seen.push(name);
    }
    if seen.is_empty() {
        return Err("at least one named capture must be supplied".to_string());
    }
    check(pattern).map_err(|e| e.to_string())
}

/// Translates a pattern.
pub fn translate(pattern: &str) -> Result<Translated, GoRegexError> {
    let mut translator = Translator {
        whole: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        names: Vec::new(),
        depth: 0,
        repeatable: false,
        last_repeat: None,
    };
    translator.run()?;
    Ok(Translated {
        pattern: translator.out,
        group_names: translator.names,
    })
}

struct Translator<'a> {
    whole: &'a str,
    rest: &'a str,
    out: String,
    names: Vec<Option<String>>,
    depth: usize,
    /// Whether a repetition has something to repeat.
    repeatable: bool,
    /// Where the repetition that was just read starts.
    last_repeat: Option<&'a str>,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), GoRegexError> {
        while let Some(c) = self.rest.chars().next() {
            let start = self.rest;
            let after_repeat = self.last_repeat.take();
            match c {
                '(' => self.open_group()?,
                ')' => {
                    if self.depth == 0 {
                        return Err(error("unexpected )", self.whole));
                    }
                    self.depth -= 1;
                    self.emit(1, ")", true);
                }
                '|' => self.emit(1, "|", false),
                '^' | '$' | '.' => self.emit(1, &start[..1], true),
                '[' => self.class()?,
                '*' | '+' | '?' => self.repetition(1, after_repeat)?,
                '{' => match repeat_len(start) {
                    None => self.emit(1, "\\{", true),
                    Some(len) => {
                        if !repeat_fits(&start[1..len - 1]) {
                            return Err(error("invalid repeat count", &start[..len]));
                        }
                        self.repetition(len, after_repeat)?;
                    }
                },
                '\\' => self.escape()?,
                c => {
                    let literal = literal(c);
                    self.emit(c.len_utf8(), &literal, true);
                }
            }
        }
        if self.depth > 0 {
            return Err(error("missing closing )", self.whole));
        }
        Ok(())
    }

    fn emit(&mut self, consumed: usize, text: &str, repeatable: bool) {
        self.out.push_str(text);
        self.rest = &self.rest[consumed..];
        self.repeatable = repeatable;
    }

    fn repetition(&mut self, len: usize, after: Option<&'a str>) -> Result<(), GoRegexError> {
        let start = self.rest;
        let lazy = usize::from(start[len..].starts_with('?'));
        if !self.repeatable {
            return Err(error("missing argument to repetition operator", &start[..len]));
        }
        if let Some(before) = after {
            let end = before.len() - start.len() + len + lazy;
            return Err(error("invalid nested repetition operator", &before[..end]));
        }
        self.emit(len + lazy, &start[..len + lazy], true);
        self.last_repeat = Some(start);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), GoRegexError> {
        let start = self.rest;
        self.depth += 1;
        if self.depth > MAX_GROUP_DEPTH {
            return Err(error("expression nests too deeply", self.whole));
        }
        if !start.starts_with("(?") {
            self.names.push(None);
            self.emit(1, "(", false);
            return Ok(());
        }
        let named = if start.starts_with("(?P<") {
            Some(4)
        } else {
            start.starts_with("(?<").then_some(3)
        };
        if let Some(prefix) = named {
            let Some(end) = start.find('>') else {
                return Err(error("invalid named capture", start));
            };
            let name = &start[prefix.min(end)..end];
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(error("invalid named capture", &start[..end + 1]));
            }
            self.names.push(Some(name.to_string()));
            self.emit(end + 1, "(", false);
            return Ok(());
        }
        let (mut negative, mut any) = (false, false);
        for (at, c) in start.char_indices().skip(2) {
            match c {
                'i' | 'm' | 's' | 'U' => any = true,
                '-' if !negative => (negative, any) = (true, false),
                ':' | ')' if !negative || any => {
                    if c == ')' {
                        self.depth -= 1;
                    }
                    self.emit(at + 1, &start[..at + 1], false);
                    return Ok(());
                }
                _ => return Err(error("invalid or unsupported Perl syntax", &start[..at + c.len_utf8()])),
            }
        }
        Err(error("missing closing )", self.whole))
    }

    fn escape(&mut self) -> Result<(), GoRegexError> {
        let start = self.rest;
        match start[1..].chars().next() {
            Some('Q') => {
                let body = &start[2..];
                let end = body.find("\\E").unwrap_or(body.len());
                let quoted: String = body[..end].chars().map(literal).collect();
                let consumed = (2 + end + 2).min(start.len());
                let repeatable = self.repeatable || end > 0;
                self.emit(consumed, &quoted, repeatable);
                return Ok(());
            }
            Some('E') => {
                self.rest = &start[2..];
                return Ok(());
            }
            Some('A') => self.emit(2, "\\A", true),
            Some('z') => self.emit(2, "\\z", true),
            Some('b') => self.emit(2, "(?-u:\\b)", true),
            Some('B') => self.emit(2, "(?-u:\\B)", true),
            Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => self.emit(2, &format!("[{}]", perl_class(c)), true),
            Some('p' | 'P') => {
                let len = unicode_class_len(start)?;
                self.emit(len, &start[..len], true);
            }
            _ => {
                let (c, len) = escaped_char(start)?;
                let text = literal(c);
                self.emit(len, &text, true);
            }
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), GoRegexError> {
        let class = self.rest;
        let mut rest = &class[1..];
        let mut out = String::from("[");
        if let Some(inner) = rest.strip_prefix('^') {
            out.push('^');
            rest = inner;
        }
        let mut first = true;
        loop {
            if rest.is_empty() {
                return Err(error("missing closing ]", class));
            }
            if rest.starts_with(']') && !first {
                break;
            }
            first = false;
            if rest.starts_with("[:")
                && let Some(end) = rest.find(":]")
            {
                let name = &rest[2..end];
                let plain = name.strip_prefix('^').unwrap_or(name);
                if !POSIX_CLASSES.contains(&plain) {
                    return Err(error("invalid character class range", &rest[..end + 2]));
                }
                out.push_str(&rest[..end + 2]);
                rest = &rest[end + 2..];
                continue;
            }
            if rest.starts_with("\\p") || rest.starts_with("\\P") {
                let len = unicode_class_len(rest)?;
                out.push_str(&rest[..len]);
                rest = &rest[len..];
                continue;
            }
            if let Some(c) = rest.strip_prefix('\\').and_then(|r| r.chars().next())
                && "dDsSwW".contains(c)
            {
                out.push_str(&format!("[{}]", perl_class(c)));
                rest = &rest[2..];
                continue;
            }
            let range = rest;
            let (low, len) = class_char(rest, class)?;
            rest = &rest[len..];
            let mut high = low;
            if rest.len() >= 2 && rest.starts_with('-') && !rest[1..].starts_with(']') {
                let (c, len) = class_char(&rest[1..], class)?;
                high = c;
                rest = &rest[1 + len..];
                if high < low {
                    return Err(error(
                        "invalid character class range",
                        &range[..range.len() - rest.len()],
                    ));
                }
            }
            out.push_str(&format!("\\x{{{:X}}}-\\x{{{:X}}}", low as u32, high as u32));
        }
        out.push(']');
        let consumed = class.len() - rest.len() + 1;
        self.emit(consumed, &out, true);
        Ok(())
    }
}

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// The ASCII class of an escape; negative ones carry their own sign.
fn perl_class(c: char) -> &'static str {
    match c {
        'd' => "0-9",
        'D' => "^0-9",
        's' => "\\t\\n\\x0C\\r ",
        'S' => "^\\t\\n\\x0C\\r ",
        'w' => "0-9A-Za-z_",
        _ => "^0-9A-Za-z_",
    }
}

/// A character that stands for itself.
fn literal(c: char) -> String {
    if c.is_ascii_alphanumeric() || c == ' ' || c == '_' || !c.is_ascii() {
        return c.to_string();
    }
    if c.is_ascii_graphic() {
        regex_syntax::escape(&c.to_string())
    } else {
        format!("\\x{{{:X}}}", c as u32)
    }
}

fn class_char(text: &str, class: &str) -> Result<(char, usize), GoRegexError> {
    match text.chars().next() {
        None => Err(error("missing closing ]", class)),
        Some('\\') => escaped_char(text),
        Some(c) => Ok((c, c.len_utf8())),
    }
}

/// The character of an escape and the escape's length.
fn escaped_char(text: &str) -> Result<(char, usize), GoRegexError> {
    let body = &text[1..];
    let Some(c) = body.chars().next() else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let invalid = |len: usize| {
        let end = (1 + len..=text.len())
            .find(|i| text.is_char_boundary(*i))
            .unwrap_or(text.len());
        error("invalid escape sequence", &text[..end])
    };
    let is_octal = |b: Option<&u8>| b.is_some_and(|b| (b'0'..=b'7').contains(b));
    match c {
        '0'..='7' => {
            if c != '0' && !is_octal(body.as_bytes().get(1)) {
                return Err(invalid(1));
            }
            let len = body.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            let code = u32::from_str_radix(&body[..len], 8).ok().and_then(char::from_u32);
            Ok((code.ok_or_else(|| invalid(len))?, 1 + len))
        }
        'x' => {
            let (digits, len) = match body[1..].strip_prefix('{') {
                Some(inner) => {
                    let end = inner.find('}').ok_or_else(|| invalid(body.len()))?;
                    (&inner[..end], 1 + 2 + end + 1)
                }
                None => (body.get(1..3).ok_or_else(|| invalid(body.len()))?, 4),
            };
            let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
            Ok((code.ok_or_else(|| invalid(len - 1))?, len))
        }
        'a' => Ok(('\x07', 2)),
        'f' => Ok(('\x0c', 2)),
        'n' => Ok(('\n', 2)),
        'r' => Ok(('\r', 2)),
        't' => Ok(('\t', 2)),
        'v' => Ok(('\x0b', 2)),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok((c, 2)),
        c => Err(invalid(c.len_utf8())),
    }
}

/// Length of `\pL` or `\p{Greek}`.
fn unicode_class_len(text: &str) -> Result<usize, GoRegexError> {
    let len = match text[2..].chars().next() {
        Some('{') => text.find('}').map(|end| end + 1),
        Some(c) => Some(2 + c.len_utf8()),
        None => None,
    };
    let len = len.ok_or_else(|| error("invalid character class range", text))?;
    match regex_syntax::parse(&text[..len]) {
        Ok(_) => Ok(len),
        Err(_) => Err(error("invalid character class range", &text[..len])),
    }
}

/// Length of `{n}`, `{n,}`, `{n,m}`, if that is what `text` starts with.
fn repeat_len(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let (low, high) = text[1..end].split_once(',').unwrap_or((&text[1..end], "0"));
    let number =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()) && (t.len() == 1 || !t.starts_with('0'));
    (number(low) && (high.is_empty() || number(high))).then_some(end + 1)
}

fn repeat_fits(inner: &str) -> bool {
    let bound = |t: &str| t.parse::<u32>().ok().filter(|n| *n <= MAX_REPEAT);
    match inner.split_once(',') {
        None => bound(inner).is_some(),
        Some((low, "")) => bound(low).is_some(),
        Some((low, high)) => matches!((bound(low), bound(high)), (Some(l), Some(h)) if l <= h),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_go() {
        for (pattern, expected) in [
            ("[", "missing closing ]: `[`"),
            ("a[b", "missing closing ]: `[b`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("(?P<a>", "missing closing ): `(?P<a>`"),
            ("a)(b", "unexpected ): `a)(b`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("\\q", "invalid escape sequence: `\\q`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P<a", "invalid named capture: `(?P<a`"),
        ] {
            let got = check(pattern).map_err(|e| e.to_string());
            assert_eq!(got, Err(format!("error parsing regexp: {expected}")), "{pattern}");
        }
    }

    #[test]
    fn translations_match_what_go_matches() {
        for (pattern, text, expected) in [
            ("^a{,2}$", "a{,2}", true),
            ("\\d", "٣", false),
            ("[a&&b]", "&", true),
            ("\\Q.*+\\E$", "x.*+", true),
            ("(?P<1a>x)", "x", true),
            ("(?i)привет", "ПРИВЕТ", true),
            ("\\p{Han}", "日", true),
            ("[[:alpha:]_-]+$", "a_-", true),
            ("\\[.*\\] - (WARN|Received)", "[x] - WARN", true),
            ("a|", "zzz", true),
            ("[^]a]", "b", true),
            ("\\<", "<", true),
        ] {
            let regex = compile(pattern).map_err(|e| e.to_string());
            assert_eq!(
                regex.map(|r| r.is_match(text.as_bytes())),
                Ok(expected),
                "{pattern} on {text}"
            );
        }
    }
}
