//! Regular expressions in Go's syntax (RE2): checks them with Go's error texts and translates them for the regex crate.
//!
//! The two syntaxes differ in details that queries use: `\d`, `\w`, `\s`, `\b` are ASCII in Go, `\Q…\E` quotes, `{` that
//! starts no repetition is a literal, any ASCII sign may be escaped, group names may start with a digit, and classes
//! know no set operators. Behaviour after Go's `regexp/syntax` parser.

mod plain;
mod tree;

use regex::bytes::{Regex, RegexBuilder};

pub use plain::Plain;
use tree::{Builder, Node, class_of};

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

/// What the pattern asks of a text where that can be told without a regex, as Loki tells it. Where `whole`, letters alone
/// must be the whole text.
pub fn plain(pattern: &str, whole: bool) -> Result<Option<Plain>, GoRegexError> {
    let tree = run(pattern)?.tree.finish();
    Ok(Plain::of(tree.simplified(), whole))
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
    let translator = run(pattern)?;
    Ok(Translated {
        pattern: translator.out,
        group_names: translator.names,
    })
}

fn run(pattern: &str) -> Result<Translator<'_>, GoRegexError> {
    let mut translator = Translator {
        whole: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        names: Vec::new(),
        outer_flags: Vec::new(),
        flags: Flags::default(),
        repeatable: false,
        last_repeat: None,
        tree: Builder::default(),
    };
    translator.run()?;
    Ok(translator)
}

/// What `(?…)` can turn on, as far as it matters for the tree.
#[derive(Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    dot_newline: bool,
    lazy: bool,
}

struct Translator<'a> {
    whole: &'a str,
    rest: &'a str,
    out: String,
    names: Vec<Option<String>>,
    /// The flags outside of each open group.
    outer_flags: Vec<Flags>,
    flags: Flags,
    /// Whether a repetition has something to repeat.
    repeatable: bool,
    /// Where the repetition that was just read starts.
    last_repeat: Option<&'a str>,
    tree: Builder,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), GoRegexError> {
        while let Some(c) = self.rest.chars().next() {
            let start = self.rest;
            let after_repeat = self.last_repeat.take();
            match c {
                '(' => self.open_group()?,
                ')' => {
                    let Some(outer) = self.outer_flags.pop() else {
                        return Err(error("unexpected )", self.whole));
                    };
                    self.flags = outer;
                    self.tree.right_paren();
                    self.emit(1, ")", true);
                }
                '|' => {
                    self.tree.bar();
                    self.emit(1, "|", false);
                }
                '.' if !self.flags.dot_newline => {
                    self.tree.push(Node::AnyButNewline);
                    self.emit(1, ".", true);
                }
                '^' | '$' | '.' => self.other(1, &start[..1]),
                '[' => self.class()?,
                '*' | '+' | '?' => self.repetition(1, after_repeat)?,
                '{' => match repeat_len(start) {
                    None => {
                        self.tree.literal('{', self.flags.fold_case);
                        self.emit(1, "\\{", true);
                    }
                    Some(len) => {
                        if !repeat_fits(&start[1..len - 1]) {
                            return Err(error("invalid repeat count", &start[..len]));
                        }
                        self.repetition(len, after_repeat)?;
                    }
                },
                '\\' => self.escape()?,
                c => {
                    self.tree.literal(c, self.flags.fold_case);
                    let literal = literal(c);
                    self.emit(c.len_utf8(), &literal, true);
                }
            }
        }
        if !self.outer_flags.is_empty() {
            return Err(error("missing closing )", self.whole));
        }
        Ok(())
    }

    fn emit(&mut self, consumed: usize, text: &str, repeatable: bool) {
        self.out.push_str(text);
        self.rest = &self.rest[consumed..];
        self.repeatable = repeatable;
    }

    /// Something that the tree only knows by how it is written.
    fn other(&mut self, consumed: usize, text: &str) {
        self.tree.push(Node::Other(text.to_string()));
        self.emit(consumed, text, true);
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
        let is_lazy = self.flags.lazy != (lazy > 0);
        let fits = self.tree.repeat(|sub| match start.as_bytes().first() {
            Some(b'*') => Node::Star(sub, is_lazy),
            Some(b'+') => Node::Plus(sub, is_lazy),
            Some(b'?') => Node::Quest(sub),
            _ => {
                let (min, max) = repeat_bounds(&start[1..len - 1]);
                Node::Repeat(min, max, sub)
            }
        });
        if !fits {
            return Err(error("invalid repeat count", &start[..len + lazy]));
        }
        self.emit(len + lazy, &start[..len + lazy], true);
        self.last_repeat = Some(start);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), GoRegexError> {
        let start = self.rest;
        if self.outer_flags.len() >= MAX_GROUP_DEPTH {
            return Err(error("expression nests too deeply", self.whole));
        }
        if !start.starts_with("(?") {
            self.names.push(None);
            self.open(true);
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
            self.open(true);
            self.emit(end + 1, "(", false);
            return Ok(());
        }
        let (mut negative, mut any) = (false, false);
        let mut flags = self.flags;
        for (at, c) in start.char_indices().skip(2) {
            match c {
                'i' | 'm' | 's' | 'U' => {
                    any = true;
                    match c {
                        'i' => flags.fold_case = !negative,
                        's' => flags.dot_newline = !negative,
                        'U' => flags.lazy = !negative,
                        _ => {}
                    }
                }
                '-' if !negative => (negative, any) = (true, false),
                ':' | ')' if !negative || any => {
                    if c == ':' {
                        self.open(false);
                    }
                    self.flags = flags;
                    self.emit(at + 1, &start[..at + 1], false);
                    return Ok(());
                }
                _ => return Err(error("invalid or unsupported Perl syntax", &start[..at + c.len_utf8()])),
            }
        }
        Err(error("invalid or unsupported Perl syntax", start))
    }

    fn open(&mut self, captures: bool) {
        self.outer_flags.push(self.flags);
        self.tree.push(Node::LeftParen(captures));
    }

    fn escape(&mut self) -> Result<(), GoRegexError> {
        let start = self.rest;
        match start[1..].chars().next() {
            Some('Q') => {
                let body = &start[2..];
                let end = body.find("\\E").unwrap_or(body.len());
                let quoted: String = body[..end].chars().map(literal).collect();
                body[..end]
                    .chars()
                    .for_each(|c| self.tree.literal(c, self.flags.fold_case));
                let consumed = (2 + end + 2).min(start.len());
                let repeatable = self.repeatable || end > 0;
                self.emit(consumed, &quoted, repeatable);
                return Ok(());
            }
            Some('E') => {
                self.rest = &start[2..];
                return Ok(());
            }
            Some('A') => self.other(2, "\\A"),
            Some('z') => self.other(2, "\\z"),
            Some('b') => self.other(2, "(?-u:\\b)"),
            Some('B') => self.other(2, "(?-u:\\B)"),
            Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                let class = format!("[{}]", perl_class(c));
                self.tree.push(Node::Class(class.clone()));
                self.emit(2, &class, true);
            }
            Some('p' | 'P') => {
                let len = unicode_class_len(start)?;
                self.tree.push(Node::Class(start[..len].to_string()));
                self.emit(len, &start[..len], true);
            }
            _ => {
                let (c, len) = escaped_char(start)?;
                self.tree.literal(c, self.flags.fold_case);
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
        // The characters, as long as they are written one by one.
        let mut ranges: Option<Vec<(char, char)>> = Some(Vec::new());
        if let Some(inner) = rest.strip_prefix('^') {
            out.push('^');
            ranges = None;
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
            // `[:]` opens no class: its colon cannot end it too (Go's regexp/syntax, `parseNamedClass`).
            if let Some(inner) = rest.strip_prefix("[:")
                && let Some(len) = inner.find(":]")
            {
                let (name, end) = (&inner[..len], len + 2);
                let plain = name.strip_prefix('^').unwrap_or(name);
                if !POSIX_CLASSES.contains(&plain) {
                    return Err(error("invalid character class range", &rest[..end + 2]));
                }
                out.push_str(&rest[..end + 2]);
                ranges = None;
                rest = &rest[end + 2..];
                continue;
            }
            if rest.starts_with("\\p") || rest.starts_with("\\P") {
                let len = unicode_class_len(rest)?;
                out.push_str(&rest[..len]);
                ranges = None;
                rest = &rest[len..];
                continue;
            }
            if let Some(c) = rest.strip_prefix('\\').and_then(|r| r.chars().next())
                && "dDsSwW".contains(c)
            {
                out.push_str(&format!("[{}]", perl_class(c)));
                ranges = None;
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
            if let Some(ranges) = &mut ranges {
                ranges.push((low, high));
            }
            out.push_str(&format!("\\x{{{:X}}}-\\x{{{:X}}}", low as u32, high as u32));
        }
        out.push(']');
        let consumed = class.len() - rest.len() + 1;
        self.tree.push(match ranges {
            Some(ranges) => class_of(&ranges, self.flags.fold_case, &out),
            None => Node::Class(out.clone()),
        });
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

/// The bounds of `{n}`, `{n,}`, `{n,m}`, whose numbers were checked.
fn repeat_bounds(inner: &str) -> (u32, Option<u32>) {
    let number = |text: &str| text.parse().unwrap_or(0);
    match inner.split_once(',') {
        None => (number(inner), Some(number(inner))),
        Some((low, "")) => (number(low), None),
        Some((low, high)) => (number(low), Some(number(high))),
    }
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
            ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
            ("((a{100}){100}){100}", "invalid repeat count: `{100}`"),
            ("(a{1000}){2}", "invalid repeat count: `{2}`"),
        ] {
            let got = check(pattern).map_err(|e| e.to_string());
            assert_eq!(got, Err(format!("error parsing regexp: {expected}")), "{pattern}");
        }
    }

    #[test]
    fn a_bracket_and_a_colon_open_no_named_class_by_themselves() {
        for (pattern, text) in [("^[[:]$", "["), ("^[[:]$", ":"), ("^[[:]a$", ":a")] {
            let compiled = compile(pattern);
            assert!(
                compiled.is_ok_and(|regex| regex.is_match(text.as_bytes())),
                "{pattern} {text}"
            );
        }
        assert!(check("[[::]]").is_err());
    }

    #[test]
    fn plain_patterns_are_told_as_loki_tells_them() {
        let contains = |t: &str| Plain::Contains(t.to_string(), false);
        let any = |list: &[&str]| Plain::Any(list.iter().map(|t| contains(t)).collect());
        for (pattern, expected) in [
            ("foo", Some(contains("foo"))),
            ("(foo)", Some(contains("foo"))),
            (".*", Some(Plain::Always)),
            ("", Some(Plain::Always)),
            (".+", Some(Plain::Exists)),
            (".*foo.*", Some(contains("foo"))),
            ("foo.*", Some(contains("foo"))),
            ("foo.*bar", None),
            ("foo|bar", Some(any(&["foo", "bar"]))),
            ("foo|bar|", Some(any(&["foo", "bar"]))),
            ("bar|buzz", Some(any(&["bar", "buzz"]))),
            ("time(out|)", Some(any(&["timeout", "time"]))),
            ("a|b", None),
            ("aa|ab", None),
            ("x(a|b)y", None),
            ("(?i)foo", Some(Plain::Contains("foo".to_string(), true))),
            ("[Ff]oo", None),
            ("[f]oo", Some(contains("foo"))),
            ("f|f(?i)oo", None),
            ("fo{1}", None),
            ("x{0}", Some(Plain::Always)),
            ("foo?", None),
            ("^foo", None),
            ("\\.go", Some(contains(".go"))),
            ("(?s).*", None),
            ("a|a", Some(contains("a"))),
        ] {
            assert_eq!(plain(pattern, false), Ok(expected), "{pattern}");
        }
        let equal = |t: &str| Plain::Equal(t.to_string(), false);
        for (pattern, expected) in [
            ("foo", equal("foo")),
            ("foo|bar", Plain::Any(vec![equal("foo"), equal("bar")])),
            // A common beginning makes alternatives hold anywhere.
            ("error|err", any(&["error", "err"])),
            ("foo.*", contains("foo")),
            (
                "abc|abd.*|x",
                Plain::Any(vec![contains("abc"), contains("abd"), equal("x")]),
            ),
        ] {
            assert_eq!(plain(pattern, true), Ok(Some(expected)), "{pattern}");
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
