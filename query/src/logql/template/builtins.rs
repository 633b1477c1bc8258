//! Comparisons and element access of templates (Go `text/template/funcs.go`, with its texts for failures).

use std::cmp::Ordering;

use super::printf;
use super::value::Value;

const BAD_TYPE: &str = "invalid type for comparison";

/// Kinds that can be compared with each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Text,
}

fn basic(value: &Value) -> Option<Basic> {
    Some(match value {
        Value::Bool(_) => Basic::Bool,
        Value::Int(_) | Value::Long(_) => Basic::Int,
        Value::Byte(_) => Basic::Uint,
        Value::Float(_) => Basic::Float,
        Value::Text(_) => Basic::Text,
        Value::Nil | Value::Time(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    )
}

/// `eq`: whether the first is equal to one of the others.
pub fn equal_to_any(arguments: &[Value]) -> Result<bool, String> {
    let (first, others) = match arguments.split_first() {
        Some((first, others)) if !others.is_empty() => (first, others),
        _ => return Err("missing argument for comparison".into()),
    };
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (basic(a), basic(b)) {
        (Some(Basic::Int | Basic::Uint), Some(Basic::Int | Basic::Uint)) => Ok(a.to_int() == b.to_int()),
        (Some(x), Some(y)) if x == y => Ok(a == b),
        (None, None) => match (a, b) {
            (Value::Nil, other) | (other, Value::Nil) => Ok(matches!(other, Value::Nil)),
            (Value::Time(x), Value::Time(y)) => Ok(x == y),
            _ if std::mem::discriminant(a) != std::mem::discriminant(b) => Err(format!(
                "non-comparable types {}: {}, {}: {}",
                printf::as_text(a),
                a.type_name(),
                b.type_name(),
                printf::shown(b)
            )),
            _ => Err(format!("non-comparable type {}: {}", printf::as_text(b), b.type_name())),
        },
        // What is missing is equal to nothing.
        _ if matches!(a, Value::Nil) || matches!(b, Value::Nil) => Ok(false),
        _ => Err(incompatible(a, b)),
    }
}

/// `lt`, `le`, `gt` and `ge`.
pub fn compare(name: &str, a: &Value, b: &Value) -> Result<bool, String> {
    let less = less(a, b)?;
    match name {
        "lt" => Ok(less),
        "ge" => Ok(!less),
        "le" => Ok(less || equal(a, b)?),
        _ => Ok(!less && !equal(a, b)?),
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let (x, y) = (basic(a).ok_or(BAD_TYPE)?, basic(b).ok_or(BAD_TYPE)?);
    match (x, y) {
        (Basic::Int | Basic::Uint, Basic::Int | Basic::Uint) => Ok(a.to_int() < b.to_int()),
        _ if x != y => Err(incompatible(a, b)),
        (Basic::Bool, _) => Err(BAD_TYPE.into()),
        _ => Ok(match (a, b) {
            (Value::Text(x), Value::Text(y)) => x.cmp(y) == Ordering::Less,
            _ => a.to_float() < b.to_float(),
        }),
    }
}

/// `len`
pub fn len(value: &Value) -> Result<Value, String> {
    let len = match value {
        Value::Text(t) => t.len(),
        Value::List(l) => l.len(),
        Value::Map(m) => m.len(),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

/// A position up to and with `cap`.
fn position(index: &Value, cap: usize) -> Result<usize, String> {
    let at = match index {
        Value::Int(_) | Value::Long(_) | Value::Byte(_) => index.to_int(),
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let found = usize::try_from(at).ok().filter(|at| *at <= cap);
    found.ok_or_else(|| format!("index out of range: {at}"))
}

/// `index`
pub fn index(base: Value, keys: &[Value]) -> Result<Value, String> {
    if base == Value::Nil {
        return Err("index of untyped nil".into());
    }
    keys.iter().try_fold(base, element)
}

/// One element. Labels are texts, so that a missing one is empty.
fn element(base: Value, key: &Value) -> Result<Value, String> {
    match base {
        Value::Text(text) => {
            let at = position(key, text.len())?;
            let byte = text.get(at).copied().map(Value::Byte);
            byte.ok_or_else(|| "reflect: string index out of range".to_string())
        }
        Value::List(list) => {
            let at = position(key, list.len())?;
            let item = list.into_iter().nth(at);
            item.ok_or_else(|| "reflect: slice index out of range".to_string())
        }
        Value::Map(mut map) => match key {
            Value::Text(name) => {
                // Only labels have texts alone, and JSON's objects have other things where they miss a key.
                let missing = match map.is_labels() {
                    true => Value::text(""),
                    false => Value::Nil,
                };
                Ok(map.remove(&String::from_utf8_lossy(name)).unwrap_or(missing))
            }
            Value::Nil => Err("value is nil; should be of type string".into()),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        Value::Nil => Err("index of nil pointer".into()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

/// `slice`
pub fn slice(base: &Value, bounds: &[Value]) -> Result<Value, String> {
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let len = match base {
        Value::Text(_) if bounds.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Text(t) => t.len(),
        Value::List(l) => l.len(),
        Value::Nil => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut cut = [0, len, len];
    for (slot, bound) in cut.iter_mut().zip(bounds) {
        *slot = position(bound, len)?;
    }
    let [from, to, end] = cut;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if bounds.len() == 3 && to > end {
        return Err(format!("invalid slice index: {to} > {end}"));
    }
    Ok(match base {
        Value::Text(t) => Value::Text(t.get(from..to).unwrap_or_default().to_vec()),
        Value::List(l) => Value::List(l.get(from..to).unwrap_or_default().to_vec()),
        _ => Value::Nil,
    })
}
