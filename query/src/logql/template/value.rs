//! Values inside a template.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::number::parse_signed;
use super::time::Time;
use crate::logql::units::format_float;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: JSON's null, or a field that is not there.
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A whole number: Go's `int`.
    Int(i64),
    /// Go's `int64`, which arithmetic gives.
    Long(i64),
    /// A number.
    Float(f64),
    /// A byte of a text.
    Byte(u8),
    /// A text, not always UTF-8 once it was cut.
    Text(Vec<u8>),
    /// A time.
    Time(Time),
    /// JSON's array.
    List(Vec<Value>),
    /// JSON's object; also the labels of a line.
    Map(Map),
}

/// Values by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: BTreeMap<String, Value>,
    is_labels: bool,
}

impl Map {
    /// Labels, whose values are texts.
    pub fn labels(entries: BTreeMap<String, Value>) -> Self {
        Map {
            entries,
            is_labels: true,
        }
    }

    /// Whether it holds labels.
    pub fn is_labels(&self) -> bool {
        self.is_labels
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.entries.remove(name)
    }
}

impl Deref for Map {
    type Target = BTreeMap<String, Value>;

    fn deref(&self) -> &BTreeMap<String, Value> {
        &self.entries
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::collections::btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
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
            Value::Int(n) | Value::Long(n) => *n != 0,
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
            Value::Long(_) => "int64",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Time(_) => "time.Time",
            Value::List(_) => "[]interface {}",
            Value::Map(map) if map.is_labels => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    /// Writes it as Go's `%v`.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Value::Nil => out.extend_from_slice(b"<nil>"),
            Value::Bool(b) => out.extend_from_slice(b.to_string().as_bytes()),
            Value::Int(n) | Value::Long(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Value::Byte(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Value::Float(f) => out.extend_from_slice(format_float(*f).as_bytes()),
            Value::Text(t) => out.extend_from_slice(t),
            Value::Time(t) => out.extend_from_slice(t.to_string().as_bytes()),
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
            serde_json::Value::Object(map) => Value::Map(Map {
                entries: map.into_iter().map(|(k, v)| (k, Value::from_json(v))).collect(),
                is_labels: false,
            }),
        }
    }

    /// A whole number of anything, 0 where it is none.
    pub fn to_int(&self) -> i64 {
        match self {
            Value::Int(n) | Value::Long(n) => *n,
            Value::Byte(n) => i64::from(*n),
            // As the processors that Loki runs on: what does not fit is the least number.
            Value::Float(f) if *f >= 9.223_372_036_854_776e18 || f.is_nan() => i64::MIN,
            Value::Float(f) => *f as i64,
            Value::Bool(b) => i64::from(*b),
            Value::Text(t) => parse_int(std::str::from_utf8(t).unwrap_or_default()),
            _ => 0,
        }
    }

    /// A number of anything, 0 where it is none.
    pub fn to_float(&self) -> f64 {
        match self {
            Value::Int(n) | Value::Long(n) => *n as f64,
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

/// As github.com/spf13/cast reads a text: base by prefix, a fraction of a plain number cut off.
fn parse_int(text: &str) -> i64 {
    let plain = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_plain = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') && plain.matches('.').count() <= 1;
    let whole = match text.split_once('.') {
        Some((whole, _)) if is_plain => whole,
        _ => text,
    };
    parse_signed(whole).unwrap_or(0)
}
