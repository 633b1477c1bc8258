//! `print`, `println` and `printf` as Go's `fmt`.

use super::value::Value;
use crate::logql::units::{format_float, quote};

/// Widest field and finest precision, so that no format makes a text without bound.
const MAX_WIDTH: usize = 1_000;

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

#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// A formatted text.
pub fn printf(format: &str, arguments: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        let mut number = || {
            let mut value = None;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                let digit = digit.to_digit(10).unwrap_or(0) as usize;
                value = Some((value.unwrap_or(0) * 10 + digit).min(MAX_WIDTH));
            }
            value
        };
        spec.width = number().unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            let mut value = 0;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                value = (value * 10 + digit.to_digit(10).unwrap_or(0) as usize).min(MAX_WIDTH);
            }
            spec.precision = Some(value);
        }
        let Some(verb) = chars.next() else {
            out.extend_from_slice(b"%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push(b'%');
            continue;
        }
        match arguments.get(next) {
            None => out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes()),
            Some(value) => pad(&one(verb, value, &spec), &spec, &mut out),
        }
        next += 1;
    }
    if next < arguments.len() {
        let extra: Vec<String> = arguments[next..]
            .iter()
            .map(|v| format!("{}={}", v.type_name(), plain(v)))
            .collect();
        out.extend_from_slice(format!("%!(EXTRA {})", extra.join(", ")).as_bytes());
    }
    out
}

fn plain(value: &Value) -> String {
    let mut out = Vec::new();
    value.print(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn pad(text: &str, spec: &Spec, out: &mut Vec<u8>) {
    let fill = spec.width.saturating_sub(text.chars().count());
    if spec.minus {
        out.extend_from_slice(text.as_bytes());
        out.resize(out.len() + fill, b' ');
        return;
    }
    if spec.zero && text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        let sign = usize::from(text.starts_with(['-', '+']));
        out.extend_from_slice(&text.as_bytes()[..sign]);
        out.resize(out.len() + fill, b'0');
        out.extend_from_slice(&text.as_bytes()[sign..]);
        return;
    }
    out.resize(out.len() + fill, b' ');
    out.extend_from_slice(text.as_bytes());
}

fn one(verb: char, value: &Value, spec: &Spec) -> String {
    let signed = |text: String| {
        let sign = if text.starts_with('-') {
            ""
        } else if spec.plus {
            "+"
        } else if spec.space {
            " "
        } else {
            ""
        };
        format!("{sign}{text}")
    };
    let cut = |text: String| match spec.precision {
        Some(n) => text.chars().take(n).collect(),
        None => text,
    };
    match (verb, value) {
        ('v', Value::Int(n)) => signed(n.to_string()),
        ('v', Value::Float(f)) if spec.precision.is_none() => signed(format_float(*f)),
        ('v', Value::Text(_)) => cut(plain(value)),
        ('v', other) => plain(other),
        ('T', other) => other.type_name().to_string(),
        ('t', Value::Bool(b)) => b.to_string(),
        ('s', Value::Text(_)) => cut(plain(value)),
        ('s', Value::List(_) | Value::Map(_) | Value::Time(_)) => plain(value),
        ('q', Value::Text(_)) => quote(&cut(plain(value))),
        ('x', Value::Text(t)) => t.iter().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::Text(t)) => t.iter().map(|b| format!("{b:02X}")).collect(),
        ('d', Value::Int(_) | Value::Byte(_)) => signed(value.to_int().to_string()),
        ('x', Value::Int(n)) => format!(
            "{}{}{:x}",
            minus(*n),
            if spec.sharp { "0x" } else { "" },
            n.unsigned_abs()
        ),
        ('X', Value::Int(n)) => format!(
            "{}{}{:X}",
            minus(*n),
            if spec.sharp { "0X" } else { "" },
            n.unsigned_abs()
        ),
        ('o', Value::Int(n)) => format!("{}{:o}", minus(*n), n.unsigned_abs()),
        ('b', Value::Int(n)) => format!("{}{:b}", minus(*n), n.unsigned_abs()),
        ('c', Value::Int(n)) => u32::try_from(*n)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or('\u{fffd}')
            .to_string(),
        ('f' | 'F', Value::Float(f)) if f.is_finite() => signed(format!("{f:.*}", spec.precision.unwrap_or(6))),
        ('e' | 'E', Value::Float(f)) if f.is_finite() => signed(exponent(*f, spec.precision.unwrap_or(6), verb)),
        ('g' | 'G' | 'f' | 'F' | 'e' | 'E', Value::Float(f)) => signed(format_float(*f)),
        (verb, other) => format!("%!{verb}({}={})", other.type_name(), plain(other)),
    }
}

fn minus(n: i64) -> &'static str {
    if n < 0 { "-" } else { "" }
}

fn exponent(value: f64, precision: usize, verb: char) -> String {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}{verb}{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_go_does() {
        for (format, arguments, expected) in [
            (
                "%5.2f|%05d|%x",
                vec![Value::Float(2.7), Value::Int(42), Value::Int(255)],
                " 2.70|00042|ff",
            ),
            ("%s=%-4s|", vec![Value::text("a"), Value::text("b")], "a=b   |"),
            ("%d", vec![Value::text("2")], "%!d(string=2)"),
            ("%s %s", vec![Value::text("a")], "a %!s(MISSING)"),
            ("x", vec![Value::Int(1)], "x%!(EXTRA int=1)"),
            (
                "%v %q %t%%",
                vec![Value::Float(1.5), Value::text("a\""), Value::Bool(true)],
                "1.5 \"a\\\"\" true%",
            ),
            ("%e", vec![Value::Float(12345.678)], "1.234568e+04"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&printf(format, &arguments)),
                expected,
                "{format}"
            );
        }
    }
}
