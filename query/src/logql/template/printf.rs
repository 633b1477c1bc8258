//! `print`, `println` and `printf` as Go's `fmt` (`fmt/print.go`, `fmt/format.go`).

use super::exec::MAX_OUTPUT_BYTES;
use super::value::Value;
use crate::logql::units::{format_float, quote};

/// Widest field and finest precision, as in Go.
const MAX_WIDTH: usize = 1_000_000;

/// Operands one after the other, with a blank between two of which neither is a text.
pub fn print(arguments: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, value) in arguments.iter().enumerate() {
        let texts = |v: &Value| matches!(v, Value::Text(_));
        if i > 0 && !texts(value) && !texts(&arguments[i - 1]) {
            out.push(b' ');
        }
        value.print(&mut out);
    }
    out
}

/// Operands with blanks between them and a line break at the end.
pub fn print_line(arguments: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, value) in arguments.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        value.print(&mut out);
    }
    out.push(b'\n');
    out
}

/// A value as `%v` shows it.
pub fn shown(value: &Value) -> String {
    let mut out = Vec::new();
    value.print(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A value as `%s` shows it.
pub fn as_text(value: &Value) -> String {
    String::from_utf8_lossy(&one('s', value, &Spec::default())).into_owned()
}

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The format and where it takes its operands from.
struct Printer<'a> {
    format: &'a [u8],
    at: usize,
    arguments: &'a [Value],
    next: usize,
    /// Whether operands were named by number, so that some may be left over.
    reordered: bool,
    /// Whether a number names an operand that there is.
    good_number: bool,
    out: Vec<u8>,
}

/// A formatted text.
pub fn printf(format: &str, arguments: &[Value]) -> Result<Vec<u8>, String> {
    let mut printer = Printer {
        format: format.as_bytes(),
        at: 0,
        arguments,
        next: 0,
        reordered: false,
        good_number: true,
        out: Vec::new(),
    };
    while printer.at < printer.format.len() {
        printer.step();
        if printer.out.len() > MAX_OUTPUT_BYTES {
            return Err(format!("result exceeds {MAX_OUTPUT_BYTES} bytes"));
        }
    }
    printer.tell_left_over();
    Ok(printer.out)
}

impl Printer<'_> {
    fn peek(&self) -> u8 {
        self.format.get(self.at).copied().unwrap_or(0)
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Text up to a verb, or the verb.
    fn step(&mut self) {
        let rest = &self.format[self.at..];
        let text = rest.iter().position(|b| *b == b'%').unwrap_or(rest.len());
        self.out.extend_from_slice(&rest[..text]);
        self.at += text;
        if text < rest.len() {
            self.at += 1;
            self.verb();
        }
    }

    fn verb(&mut self) {
        let mut spec = Spec::default();
        self.good_number = true;
        loop {
            match self.peek() {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b' ' => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_number = self.operand_number();
        if self.peek() == b'*' {
            self.at += 1;
            match self.int_operand() {
                Some(width) => {
                    spec.width = Some(width.unsigned_abs() as usize);
                    if width < 0 {
                        (spec.minus, spec.zero) = (true, false);
                    }
                }
                None => self.push("%!(BADWIDTH)"),
            }
            after_number = false;
        } else {
            spec.width = self.digits();
            if after_number && spec.width.is_some() {
                self.good_number = false;
            }
        }
        if self.peek() == b'.' && self.at < self.format.len() {
            self.at += 1;
            if after_number {
                self.good_number = false;
            }
            after_number = self.operand_number();
            if self.peek() == b'*' {
                self.at += 1;
                match self.int_operand() {
                    Some(precision) => spec.precision = usize::try_from(precision).ok(),
                    None => self.push("%!(BADPREC)"),
                }
                after_number = false;
            } else {
                spec.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !after_number {
            self.operand_number();
        }
        let rest = String::from_utf8_lossy(&self.format[self.at..]);
        let Some(verb) = rest.chars().next() else {
            self.push("%!(NOVERB)");
            return;
        };
        self.at += verb.len_utf8();
        if verb == '%' {
            self.push("%");
            return;
        }
        if !self.good_number {
            self.push(&format!("%!{verb}(BADINDEX)"));
            return;
        }
        match self.arguments.get(self.next) {
            None => self.push(&format!("%!{verb}(MISSING)")),
            Some(value) => {
                let text = one(verb, value, &spec);
                self.next += 1;
                self.out.extend_from_slice(&text);
            }
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let mut value: Option<usize> = None;
        while self.peek().is_ascii_digit() {
            let digit = usize::from(self.peek() - b'0');
            value = Some((value.unwrap_or(0) * 10 + digit).min(MAX_WIDTH + 1));
            self.at += 1;
        }
        // Too large a number is none.
        value.filter(|value| *value <= MAX_WIDTH)
    }

    /// `[n]`: which operand comes next. Whether there was such a thing.
    fn operand_number(&mut self) -> bool {
        if self.peek() != b'[' {
            return false;
        }
        self.reordered = true;
        let Some(len) = self.format[self.at..].iter().position(|b| *b == b']') else {
            self.good_number = false;
            self.at += 1;
            return false;
        };
        let text = String::from_utf8_lossy(&self.format[self.at + 1..self.at + len]);
        let number = text.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        self.at += len + 1;
        match number.filter(|n| *n < self.arguments.len()) {
            Some(number) => {
                self.next = number;
                true
            }
            None => {
                self.good_number = false;
                number.is_some()
            }
        }
    }

    fn int_operand(&mut self) -> Option<i64> {
        let value = self.arguments.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(n) | Value::Long(n) => *n,
            Value::Byte(n) => i64::from(*n),
            _ => return None,
        };
        (number.unsigned_abs() <= MAX_WIDTH as u64).then_some(number)
    }

    fn tell_left_over(&mut self) {
        if self.reordered || self.next >= self.arguments.len() {
            return;
        }
        let extra: Vec<String> = self.arguments[self.next..]
            .iter()
            .map(|value| match value {
                Value::Nil => "<nil>".to_string(),
                value => format!("{}={}", value.type_name(), shown(value)),
            })
            .collect();
        self.push(&format!("%!(EXTRA {})", extra.join(", ")));
    }
}

/// Fills a text up to the width.
fn pad(text: &[u8], spec: &Spec, zero: bool, out: &mut Vec<u8>) {
    let width = spec.width.unwrap_or(0);
    let fill = width.saturating_sub(String::from_utf8_lossy(text).chars().count());
    if spec.minus {
        out.extend_from_slice(text);
        out.resize(out.len() + fill, b' ');
        return;
    }
    out.resize(out.len() + fill, if zero { b'0' } else { b' ' });
    out.extend_from_slice(text);
}

fn one(verb: char, value: &Value, spec: &Spec) -> Vec<u8> {
    let mut out = Vec::new();
    push_value(verb, value, spec, &mut out);
    out
}

fn push_value(verb: char, value: &Value, spec: &Spec, out: &mut Vec<u8>) {
    if verb == 'T' {
        pad(value.type_name().as_bytes(), spec, false, out);
        return;
    }
    let known = match value {
        Value::Nil => {
            if verb == 'v' {
                pad(b"<nil>", spec, false, out);
            } else {
                out.extend_from_slice(format!("%!{verb}(<nil>)").as_bytes());
            }
            return;
        }
        Value::Bool(b) if matches!(verb, 't' | 'v') => {
            pad(b.to_string().as_bytes(), spec, spec.zero && !spec.minus, out);
            true
        }
        Value::Bool(_) => false,
        Value::Int(n) | Value::Long(n) => push_int(verb, *n < 0, n.unsigned_abs(), spec, out),
        Value::Byte(n) => push_int(verb, false, u64::from(*n), spec, out),
        Value::Float(f) => push_float(verb, *f, spec, out),
        Value::Text(text) => push_text(verb, text, spec, out),
        Value::Time(time) => match verb {
            'v' | 's' | 'q' | 'x' | 'X' => {
                let verb = if verb == 'v' { 's' } else { verb };
                push_text(verb, time.to_string().as_bytes(), spec, out)
            }
            _ => false,
        },
        Value::List(list) => {
            out.push(b'[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                push_element(verb, item, spec, out);
            }
            out.push(b']');
            true
        }
        Value::Map(map) => {
            out.extend_from_slice(b"map[");
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                push_value(verb, &Value::text(key), spec, out);
                out.push(b':');
                push_element(verb, item, spec, out);
            }
            out.push(b']');
            true
        }
    };
    if !known {
        out.extend_from_slice(format!("%!{verb}({}=", value.type_name()).as_bytes());
        push_value('v', value, spec, out);
        out.push(b')');
    }
}

/// A value inside another: one that is missing looks alike for all verbs.
fn push_element(verb: char, value: &Value, spec: &Spec, out: &mut Vec<u8>) {
    match value {
        Value::Nil => out.extend_from_slice(b"<nil>"),
        value => push_value(verb, value, spec, out),
    }
}

/// A whole number; false where it has no such verb.
fn push_int(verb: char, negative: bool, magnitude: u64, spec: &Spec, out: &mut Vec<u8>) -> bool {
    let character = || {
        u32::try_from(magnitude)
            .ok()
            .filter(|_| !negative)
            .and_then(char::from_u32)
    };
    let digits = match verb {
        'v' | 'd' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' => {
            let text = character().unwrap_or('\u{fffd}').to_string();
            pad(text.as_bytes(), spec, spec.zero && !spec.minus, out);
            return true;
        }
        'q' => {
            let text = quoted_character(character().unwrap_or('\u{fffd}'));
            pad(text.as_bytes(), spec, spec.zero && !spec.minus, out);
            return true;
        }
        'U' => {
            let number = if negative { magnitude.wrapping_neg() } else { magnitude };
            let mut text = format!("U+{number:0>width$X}", width = spec.precision.unwrap_or(4).max(4));
            if let (true, Some(c)) = (spec.sharp, character()) {
                text.push_str(&format!(" '{c}'"));
            }
            pad(text.as_bytes(), spec, false, out);
            return true;
        }
        _ => return false,
    };
    if spec.precision == Some(0) && magnitude == 0 {
        pad(b"", spec, false, out);
        return true;
    }
    let signed = negative || spec.plus || spec.space;
    let least = match (spec.precision, spec.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero && !spec.minus => width - usize::from(signed && width > 0),
        _ => 0,
    };
    let mut text = format!("{digits:0>least$}");
    match verb {
        'b' if spec.sharp => text.insert_str(0, "0b"),
        'o' if spec.sharp && !text.starts_with('0') => text.insert(0, '0'),
        'x' if spec.sharp => text.insert_str(0, "0x"),
        'X' if spec.sharp => text.insert_str(0, "0X"),
        'O' => text.insert_str(0, "0o"),
        _ => {}
    }
    text.insert_str(0, sign(negative, spec));
    pad(text.as_bytes(), spec, false, out);
    true
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match negative {
        true => "-",
        false if spec.plus => "+",
        false if spec.space => " ",
        false => "",
    }
}

fn quoted_character(c: char) -> String {
    match c {
        '\'' => "'\\''".to_string(),
        '"' => "'\"'".to_string(),
        c => {
            let text = quote(c.to_string());
            format!("'{}'", text.trim_start_matches('"').trim_end_matches('"'))
        }
    }
}

/// A number; false where it has no such verb.
fn push_float(verb: char, value: f64, spec: &Spec, out: &mut Vec<u8>) -> bool {
    let magnitude = value.abs();
    let mut text = match verb {
        'v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' if !magnitude.is_finite() => {
            if magnitude.is_nan() { "NaN" } else { "Inf" }.to_string()
        }
        'f' | 'F' => format!("{magnitude:.*}", spec.precision.unwrap_or(6)),
        'e' | 'E' => exponent(magnitude, spec.precision.unwrap_or(6)),
        'v' | 'g' | 'G' => general(magnitude, spec.precision),
        'x' | 'X' => hexadecimal(magnitude, spec.precision),
        'b' => binary_exponent(magnitude),
        _ => return false,
    };
    if matches!(verb, 'E' | 'G' | 'X') {
        text = text.to_uppercase();
    }
    let negative = value.is_sign_negative() && !value.is_nan();
    let sign = match (magnitude.is_finite(), negative) {
        // Infinity always shows its sign where it is a value.
        (false, false) if magnitude.is_infinite() => "+",
        _ => sign(negative, spec),
    };
    let zero = spec.zero && !spec.minus && magnitude.is_finite();
    let width = spec.width.unwrap_or(0);
    if zero && width > text.len() + sign.len() {
        text = format!("{text:0>fill$}", fill = width - sign.len());
    }
    pad(format!("{sign}{text}").as_bytes(), spec, false, out);
    true
}

/// `%e`
fn exponent(value: f64, precision: usize) -> String {
    go_exponent(&format!("{value:.precision$e}"))
}

/// At least two digits, always with a sign.
fn go_exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `%g`: the shorter of the two, without zeros at the end.
fn general(value: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else {
        return format_float(value);
    };
    let precision = precision.max(1);
    let scientific = format!("{value:.*e}", precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    // Digits that are only zeros do not make room.
    let shown = trim(digits).chars().filter(char::is_ascii_digit).count() as i32;
    let limit = match precision as i32 {
        precision if precision > shown && shown > exponent => shown,
        precision => precision,
    };
    if exponent < -4 || exponent >= limit.max(exponent + 1).min(precision as i32) {
        return go_exponent(&format!("{}e{exponent}", trim(digits)));
    }
    let places = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.places$}"))
}

/// `%x` of a float: `0x1.8p+01`.
fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let bits = value.to_bits();
    let (mut mantissa, raw) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    let mut exponent = if value == 0.0 { 0 } else { raw - 1023 };
    if raw == 0 && value != 0.0 {
        let shift = mantissa.leading_zeros() - 11;
        mantissa <<= shift;
        exponent = -1022 - shift as i32;
    } else if value != 0.0 {
        mantissa |= 1 << 52;
    }
    if let Some(digits) = precision.filter(|digits| *digits < 13) {
        let drop = 52 - 4 * digits as u32;
        let half = 1u64 << (drop - 1);
        let (rest, odd) = (mantissa & ((1 << drop) - 1), mantissa >> drop & 1);
        mantissa = mantissa >> drop << drop;
        if rest > half || (rest == half && odd == 1) {
            mantissa += 1 << drop;
        }
        if mantissa >> 53 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:013x}", mantissa & ((1 << 52) - 1));
    match precision {
        Some(digits) if digits <= 13 => fraction.truncate(digits),
        Some(digits) => fraction = format!("{fraction:0<digits$}"),
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{point}{fraction}p{sign}{:02}", mantissa >> 52, exponent.abs())
}

/// `%b` of a float: `4503599627370496p-52`.
fn binary_exponent(value: f64) -> String {
    let bits = value.to_bits();
    let (mantissa, raw) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    let (mantissa, exponent) = match raw {
        0 => (mantissa, -1074),
        raw => (mantissa | 1 << 52, raw - 1075),
    };
    format!("{mantissa}p{exponent:+}")
}

/// A text; false where it has no such verb.
fn push_text(verb: char, text: &[u8], spec: &Spec, out: &mut Vec<u8>) -> bool {
    let cut = || -> Vec<u8> {
        match spec.precision {
            None => text.to_vec(),
            Some(precision) => {
                let lossy = String::from_utf8_lossy(text);
                lossy.chars().take(precision).collect::<String>().into_bytes()
            }
        }
    };
    let zero = spec.zero && !spec.minus;
    match verb {
        'v' | 's' => pad(&cut(), spec, zero, out),
        'q' => {
            let text = String::from_utf8_lossy(&cut()).into_owned();
            let raw_fits = !text.contains(['`', '\u{feff}']) && text.chars().all(|c| c == '\t' || !c.is_control());
            let quoted = match spec.sharp && raw_fits {
                true => format!("`{text}`"),
                false if spec.plus => quote(&text)
                    .chars()
                    .map(|c| match c as u32 {
                        code if c.is_ascii() => char::from_u32(code).map_or_else(String::new, String::from),
                        code if code < 0x1_0000 => format!("\\u{code:04x}"),
                        code => format!("\\U{code:08x}"),
                    })
                    .collect(),
                false => quote(&text),
            };
            pad(quoted.as_bytes(), spec, zero, out);
        }
        'x' | 'X' => {
            let bytes = &text[..spec.precision.unwrap_or(text.len()).min(text.len())];
            let prefix = if verb == 'x' { "0x" } else { "0X" };
            let mut hex = String::new();
            for (i, byte) in bytes.iter().enumerate() {
                if spec.space && i > 0 {
                    hex.push(' ');
                }
                if spec.sharp && (spec.space || i == 0) {
                    hex.push_str(prefix);
                }
                hex.push_str(&match verb {
                    'x' => format!("{byte:02x}"),
                    _ => format!("{byte:02X}"),
                });
            }
            pad(hex.as_bytes(), spec, zero, out);
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
#[allow(clippy::approx_constant, clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn formats_as_go_does() {
        let (t, f, i) = (Value::text, Value::Float, Value::Int);
        for (format, arguments, expected) in [
            ("%5.2f|%05d|%x", vec![f(2.7), i(42), i(255)], " 2.70|00042|ff"),
            ("%s=%-4s|", vec![t("a"), t("b")], "a=b   |"),
            ("%d", vec![t("2")], "%!d(string=2)"),
            ("%s %s", vec![t("a")], "a %!s(MISSING)"),
            ("x", vec![i(1)], "x%!(EXTRA int=1)"),
            (
                "%v %q %t%%",
                vec![f(1.5), t("a\""), Value::Bool(true)],
                "1.5 \"a\\\"\" true%",
            ),
            (
                "%e %g %.3g %G",
                vec![f(12345.678), f(1e-7), f(12345.678), f(1e21)],
                "1.234568e+04 1e-07 1.23e+04 1E+21",
            ),
            ("%.3g|%.10g|%.1g", vec![f(100.0), f(0.1), f(0.0)], "100|0.1|0"),
            ("%[2]d %[1]d", vec![i(1), i(2)], "2 1"),
            ("%[3]d", vec![i(1)], "%!d(BADINDEX)"),
            ("%*d|%-*d|", vec![i(5), i(42), i(4), i(7)], "   42|7   |"),
            ("%.*f", vec![i(2), f(3.14159)], "3.14"),
            ("%*d", vec![t("x"), i(1)], "%!(BADWIDTH)1"),
            ("%", vec![], "%!(NOVERB)"),
            (
                "%U %#U %c %q",
                vec![i(0x1F600), i(65), i(65), i(65)],
                "U+1F600 U+0041 'A' A 'A'",
            ),
            (
                "%+d % d %+.1f %x %X",
                vec![i(5), i(5), f(1.0), t("hi"), t("hi")],
                "+5  5 +1.0 6869 6869",
            ),
            (
                "%#x %#o %#b %O % x %#q",
                vec![i(255), i(8), i(5), i(8), t("abc"), t("a`b")],
                "0xff 010 0b101 0o10 61 62 63 \"a`b\"",
            ),
            (
                "%08.3f|%-8d|%+05d",
                vec![f(-3.14159), i(5), i(7)],
                "-003.142|5       |+0007",
            ),
            (
                "%.2s|%5s|%-5s|%05s",
                vec![t("日本語"), t("ab"), t("ab"), t("ab")],
                "日本|   ab|ab   |000ab",
            ),
            (
                "%s %d %v",
                vec![Value::Nil, Value::Nil, Value::Nil],
                "%!s(<nil>) %!d(<nil>) <nil>",
            ),
            ("%d", vec![Value::List(vec![i(1), t("x")])], "[1 %!d(string=x)]"),
            ("%x %b", vec![f(3.0), f(1.0)], "0x1.8p+01 4503599627370496p-52"),
            ("%T %T %T", vec![i(1), f(1.0), Value::Long(1)], "int float64 int64"),
            ("%s", vec![Value::List(vec![t("a"), Value::Nil])], "[a <nil>]"),
            ("%z", vec![i(1)], "%!z(int=1)"),
        ] {
            let text = printf(format, &arguments).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&text), expected, "{format}");
        }
        assert!(printf(&"%1000000d".repeat(5), &vec![i(1); 5]).is_err());
    }
}
