//! Values inside a template.

use std::collections::BTreeMap;

use crate::logql::units::format_float;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: JSON's null, or a field that is not there.
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A byte of a text.
    Byte(u8),
    /// A text, not always UTF-8 once it was cut.
    Text(Vec<u8>),
    /// A time in nanoseconds.
    Time(i64),
    /// JSON's array.
    List(Vec<Value>),
    /// JSON's object; also the labels of a line.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// A text.
    pub fn text(text: &str) -> Self {
        Value::Text(text.as_bytes().to_vec())
    }

    /// Whether `if` takes it.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Byte(b) => *b != 0,
            Value::Float(f) => *f != 0.0,
            Value::Text(t) => !t.is_empty(),
            Value::Time(_) => true,
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
        }
    }

    /// Go's name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Time(_) => "time.Time",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    /// Writes it as Go's `%v`.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Value::Nil => out.extend_from_slice(b"<nil>"),
            Value::Bool(b) => out.extend_from_slice(b.to_string().as_bytes()),
            Value::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Value::Byte(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Value::Float(f) => out.extend_from_slice(format_float(*f).as_bytes()),
            Value::Text(t) => out.extend_from_slice(t),
            Value::Time(t) => {
                out.extend_from_slice(super::time::format(*t, "2006-01-02 15:04:05.999999999 -0700 MST").as_bytes());
            }
            Value::List(list) => {
                out.push(b'[');
                for (i, item) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    item.print(out);
                }
                out.push(b']');
            }
            Value::Map(map) => {
                out.extend_from_slice(b"map[");
                for (i, (key, item)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(key.as_bytes());
                    out.push(b':');
                    item.print(out);
                }
                out.push(b']');
            }
        }
    }

    /// What JSON holds.
    pub fn from_json(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(b) => Value::Bool(b),
            serde_json::Value::Number(n) => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(s) => Value::Text(s.into_bytes()),
            serde_json::Value::Array(list) => Value::List(list.into_iter().map(Value::from_json).collect()),
            serde_json::Value::Object(map) => {
                Value::Map(map.into_iter().map(|(k, v)| (k, Value::from_json(v))).collect())
            }
        }
    }

    /// A whole number of anything, 0 where it is none.
    pub fn to_int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            Value::Byte(n) => i64::from(*n),
            Value::Float(f) => *f as i64,
            Value::Bool(b) => i64::from(*b),
            Value::Text(t) => parse_int(std::str::from_utf8(t).unwrap_or_default()),
            _ => 0,
        }
    }

    /// A number of anything, 0 where it is none.
    pub fn to_float(&self) -> f64 {
        match self {
            Value::Int(n) => *n as f64,
            Value::Byte(n) => f64::from(*n),
            Value::Float(f) => *f,
            Value::Bool(b) => f64::from(u8::from(*b)),
            Value::Text(t) => {
                crate::logql::units::parse_float(std::str::from_utf8(t).unwrap_or_default()).unwrap_or(0.0)
            }
            _ => 0.0,
        }
    }
}

/// Base by prefix, as Go reads `0x1F` and `017`; a fraction is cut off.
fn parse_int(text: &str) -> i64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = digits.split_once('.').map_or(digits, |(w, f)| {
        if f.bytes().all(|b| b.is_ascii_digit()) {
            w
        } else {
            digits
        }
    });
    let lower = whole.to_ascii_lowercase().replace('_', "");
    let parsed = match lower.as_bytes() {
        [b'0', b'x', ..] => i64::from_str_radix(&lower[2..], 16),
        [b'0', b'o', ..] => i64::from_str_radix(&lower[2..], 8),
        [b'0', b'b', ..] => i64::from_str_radix(&lower[2..], 2),
        [b'0', _, ..] => i64::from_str_radix(&lower[1..], 8),
        _ => lower.parse(),
    };
    parsed.map_or(0, |n| sign * n)
}
