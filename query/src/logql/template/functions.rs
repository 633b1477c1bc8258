//! The functions of templates: those of Go's `text/template`, Loki's own, and the ones Loki takes from sprig.

use super::parse::WordKind;
use super::value::Value;
use super::{encode, printf, time};
use crate::logql::{goregex, units};

/// Longest text that `repeat` and the paddings may make.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// A call with its arguments evaluated.
pub struct Call<'a> {
    /// The function.
    pub name: &'a str,
    /// The arguments, the piped one last.
    pub arguments: Vec<Value>,
    /// What `now` gives: the line's own time, so that answers do not depend on when they are asked.
    pub now_ns: i64,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Int,
    /// A time.
    Time,
    /// Anything.
    Any,
}

/// The parameters of a function: fixed ones, and the kind of further ones.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    fixed: &'static [Kind],
    more: Option<Kind>,
}

impl Parameters {
    /// The kind of parameter `index`.
    pub fn kind(&self, index: usize) -> Kind {
        self.fixed.get(index).copied().or(self.more).unwrap_or(Kind::Any)
    }

    /// Go's message where the number of arguments is wrong.
    pub fn wrong_count(&self, name: &str, count: usize) -> Option<String> {
        let want = self.fixed.len();
        match self.more {
            Some(_) if count < want => Some(format!(
                "wrong number of args for {name}: want at least {want} got {count}"
            )),
            None if count != want => Some(format!("wrong number of args for {name}: want {want} got {count}")),
            _ => None,
        }
    }
}

impl Kind {
    /// What a literal should have been.
    pub fn refuses_literal(self, word: &WordKind) -> Option<&'static str> {
        match (self, word) {
            (Kind::Text, WordKind::Number(_) | WordKind::Bool(_)) => Some("string"),
            (Kind::Int, WordKind::Text(..) | WordKind::Bool(_)) => Some("integer"),
            _ => None,
        }
    }

    /// Go's message where a value has the wrong type.
    pub fn refuses(self, value: &Value) -> Option<String> {
        let expected = match (self, value) {
            (Kind::Any, _)
            | (Kind::Text, Value::Text(_))
            | (Kind::Int, Value::Int(_))
            | (Kind::Time, Value::Time(_)) => {
                return None;
            }
            (Kind::Text, _) => "string",
            (Kind::Int, _) => "int",
            (Kind::Time, _) => "time.Time",
        };
        Some(match value {
            Value::Nil => format!("invalid value; expected {expected}"),
            _ => format!("wrong type for value; expected {expected}; got {}", value.type_name()),
        })
    }
}

/// Names with their parameters.
const FUNCTIONS: &[(&[&str], &[Kind], Option<Kind>)] = &[
    (
        &[
            "ToLower",
            "ToUpper",
            "TrimSpace",
            "lower",
            "upper",
            "title",
            "trim",
            "urldecode",
            "urlencode",
            "bytes",
            "duration",
            "duration_seconds",
            "b64enc",
            "b64dec",
            "fromJson",
            "unixToTime",
        ],
        &[Kind::Text],
        None,
    ),
    (
        &[
            "Trim",
            "TrimLeft",
            "TrimRight",
            "TrimPrefix",
            "TrimSuffix",
            "trimAll",
            "trimSuffix",
            "trimPrefix",
            "contains",
            "hasPrefix",
            "hasSuffix",
            "count",
            "toDate",
        ],
        &[Kind::Text, Kind::Text],
        None,
    ),
    (
        &["regexReplaceAll", "regexReplaceAllLiteral", "replace", "toDateInZone"],
        &[Kind::Text, Kind::Text, Kind::Text],
        None,
    ),
    (&["Replace"], &[Kind::Text, Kind::Text, Kind::Text, Kind::Int], None),
    (
        &["trunc", "indent", "nindent", "repeat", "alignLeft", "alignRight"],
        &[Kind::Int, Kind::Text],
        None,
    ),
    (&["substr"], &[Kind::Int, Kind::Int, Kind::Text], None),
    (&["unixEpoch", "unixEpochMillis", "unixEpochNanos"], &[Kind::Time], None),
    (&["date"], &[Kind::Text, Kind::Any], None),
    (&["now", "__line__", "__timestamp__"], &[], None),
    (&["int", "float64", "ceil", "floor", "not", "len"], &[Kind::Any], None),
    (
        &["sub", "div", "mod", "ne", "lt", "le", "gt", "ge"],
        &[Kind::Any, Kind::Any],
        None,
    ),
    (
        &["add", "addf", "print", "println", "html", "js", "urlquery"],
        &[],
        Some(Kind::Any),
    ),
    (
        &[
            "mul", "subf", "mulf", "divf", "max", "min", "maxf", "minf", "default", "eq", "index", "slice", "and", "or",
        ],
        &[Kind::Any],
        Some(Kind::Any),
    ),
    (&["round"], &[Kind::Any, Kind::Int], Some(Kind::Any)),
    (&["printf"], &[Kind::Text], Some(Kind::Any)),
];

/// Whether a function has this name.
pub fn exists(name: &str) -> bool {
    FUNCTIONS.iter().any(|(names, _, _)| names.contains(&name))
}

/// The parameters of a function.
pub fn parameters(name: &str) -> Parameters {
    let found = FUNCTIONS.iter().find(|(names, _, _)| names.contains(&name));
    let (fixed, more) = found.map_or((&[] as &[Kind], Some(Kind::Any)), |(_, fixed, more)| (*fixed, *more));
    Parameters { fixed, more }
}

/// Calls a function whose arguments have the right number and kinds.
pub fn call(call: Call<'_>) -> Result<Value, String> {
    let arguments = call.arguments.as_slice();
    let any = |i: usize| arguments.get(i).cloned().unwrap_or(Value::Nil);
    let bytes = |i: usize| match arguments.get(i) {
        Some(Value::Text(text)) => text.clone(),
        _ => Vec::new(),
    };
    let text = |i: usize| String::from_utf8_lossy(&bytes(i)).into_owned();
    let int = |i: usize| any(i).to_int();
    let ok = |text: String| Ok(Value::Text(text.into_bytes()));
    let numbers = || arguments.iter().map(Value::to_float);
    match call.name {
        "ToLower" | "lower" => ok(text(0).chars().map(lower).collect()),
        "ToUpper" | "upper" => ok(text(0).chars().map(upper).collect()),
        "TrimSpace" | "trim" => ok(text(0).trim().to_string()),
        "title" => ok(title(&text(0))),
        "Trim" => ok(text(0).trim_matches(|c| text(1).contains(c)).to_string()),
        "trimAll" => ok(text(1).trim_matches(|c| text(0).contains(c)).to_string()),
        "TrimLeft" => ok(text(0).trim_start_matches(|c| text(1).contains(c)).to_string()),
        "TrimRight" => ok(text(0).trim_end_matches(|c| text(1).contains(c)).to_string()),
        "TrimPrefix" => ok(text(0).strip_prefix(&text(1)).unwrap_or(&text(0)).to_string()),
        "trimPrefix" => ok(text(1).strip_prefix(&text(0)).unwrap_or(&text(1)).to_string()),
        "TrimSuffix" => ok(text(0).strip_suffix(&text(1)).unwrap_or(&text(0)).to_string()),
        "trimSuffix" => ok(text(1).strip_suffix(&text(0)).unwrap_or(&text(1)).to_string()),
        "Replace" => ok(match usize::try_from(int(3)) {
            Ok(n) => text(0).replacen(&text(1), &text(2), n),
            Err(_) => bounded_replace(&text(0), &text(1), &text(2))?,
        }),
        "replace" => ok(bounded_replace(&text(2), &text(0), &text(1))?),
        "contains" => Ok(Value::Bool(text(1).contains(&text(0)))),
        "hasPrefix" => Ok(Value::Bool(text(1).starts_with(&text(0)))),
        "hasSuffix" => Ok(Value::Bool(text(1).ends_with(&text(0)))),
        "regexReplaceAll" => {
            let (regex, replacement) = replacement(&text(0), &text(2))?;
            Ok(Value::Text(
                regex.replace_all(&bytes(1), replacement.as_bytes()).into_owned(),
            ))
        }
        "regexReplaceAllLiteral" => {
            let regex = goregex::compile(&text(0)).map_err(|e| e.to_string())?;
            let literal = bytes(2);
            Ok(Value::Text(
                regex
                    .replace_all(&bytes(1), regex::bytes::NoExpand(&literal))
                    .into_owned(),
            ))
        }
        "count" => {
            let regex = goregex::compile(&text(0)).map_err(|e| e.to_string())?;
            Ok(Value::Int(regex.find_iter(&bytes(1)).count() as i64))
        }
        "urldecode" => encode::url_decode(&text(0)).map(Value::Text),
        "urlencode" => ok(encode::url_encode(&bytes(0))),
        "b64enc" => ok(encode::base64(&bytes(0))),
        "b64dec" => Ok(Value::Text(encode::base64_decode(&bytes(0)))),
        "bytes" => units::parse_bytes(&text(0)).map(|b| Value::Float(b as f64)),
        "duration" | "duration_seconds" => units::parse_go_duration(&text(0)).map(|ns| Value::Float(ns as f64 / 1e9)),
        "trunc" => Ok(Value::Text(trunc(int(0), &bytes(1)))),
        "substr" => Ok(Value::Text(substr(int(0), int(1), &bytes(2)))),
        "indent" => ok(indent(int(0), &text(1))?),
        "nindent" => ok(format!("\n{}", indent(int(0), &text(1))?)),
        "repeat" => repeat(int(0), &text(1)).map(|t| Value::Text(t.into_bytes())),
        "alignLeft" => ok(align(int(0), &text(1), true)?),
        "alignRight" => ok(align(int(0), &text(1), false)?),
        "fromJson" => {
            let parsed = serde_json::from_slice(&bytes(0)).unwrap_or(serde_json::Value::Null);
            Ok(Value::from_json(parsed))
        }
        "int" => Ok(Value::Int(int(0))),
        "float64" => Ok(Value::Float(any(0).to_float())),
        "add" => Ok(Value::Int(
            arguments.iter().fold(0i64, |sum, v| sum.wrapping_add(v.to_int())),
        )),
        "sub" => Ok(Value::Int(int(0).wrapping_sub(int(1)))),
        "mul" => Ok(Value::Int(
            arguments
                .iter()
                .fold(1i64, |product, v| product.wrapping_mul(v.to_int())),
        )),
        "div" | "mod" if int(1) == 0 => Err("runtime error: integer divide by zero".into()),
        "div" => Ok(Value::Int(int(0).wrapping_div(int(1)))),
        "mod" => Ok(Value::Int(int(0).wrapping_rem(int(1)))),
        "addf" | "subf" | "mulf" | "divf" => decimal(call.name, arguments),
        "max" => Ok(Value::Int(arguments.iter().map(Value::to_int).max().unwrap_or(0))),
        "min" => Ok(Value::Int(arguments.iter().map(Value::to_int).min().unwrap_or(0))),
        "maxf" => Ok(Value::Float(numbers().fold(f64::NEG_INFINITY, f64::max))),
        "minf" => Ok(Value::Float(numbers().fold(f64::INFINITY, f64::min))),
        "ceil" => Ok(Value::Float(any(0).to_float().ceil())),
        "floor" => Ok(Value::Float(any(0).to_float().floor())),
        "round" => Ok(Value::Float(round(
            any(0).to_float(),
            int(1),
            arguments.get(2).map(Value::to_float),
        ))),
        "default" => Ok(match arguments.get(1) {
            Some(given) if given.is_true() => given.clone(),
            _ => any(0),
        }),
        "now" => Ok(Value::Time(call.now_ns)),
        "date" => ok(time::format(time_of(&any(1), call.now_ns), &text(0))),
        "toDate" => Ok(Value::Time(time::parse(&text(0), &text(1)))),
        "toDateInZone" => Ok(Value::Time(time::parse_in_zone(&text(0), &text(1), &text(2)))),
        "unixToTime" => unix_to_time(&text(0)).map(Value::Time),
        "unixEpoch" => ok(time_of(&any(0), 0).div_euclid(1_000_000_000).to_string()),
        "unixEpochMillis" => ok(time_of(&any(0), 0).div_euclid(1_000_000).to_string()),
        "unixEpochNanos" => ok(time_of(&any(0), 0).to_string()),
        "not" => Ok(Value::Bool(!any(0).is_true())),
        "len" => match any(0) {
            Value::Text(t) => Ok(Value::Int(t.len() as i64)),
            Value::List(l) => Ok(Value::Int(l.len() as i64)),
            Value::Map(m) => Ok(Value::Int(m.len() as i64)),
            other => Err(format!("len of type {}", other.type_name())),
        },
        "eq" => {
            for other in arguments.iter().skip(1) {
                if equal(&any(0), other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        "ne" => equal(&any(0), &any(1)).map(|e| Value::Bool(!e)),
        "lt" | "le" | "gt" | "ge" => order(&any(0), &any(1)).map(|o| {
            Value::Bool(match call.name {
                "lt" => o.is_some_and(std::cmp::Ordering::is_lt),
                "le" => o.is_some_and(std::cmp::Ordering::is_le),
                "gt" => o.is_some_and(std::cmp::Ordering::is_gt),
                _ => o.is_some_and(std::cmp::Ordering::is_ge),
            })
        }),
        "index" => arguments.iter().skip(1).try_fold(any(0), index),
        "slice" => slice(&any(0), &arguments[1..]),
        "print" => Ok(Value::Text(printf::print(arguments))),
        "println" => Ok(Value::Text(printf::print_line(arguments))),
        "printf" => Ok(Value::Text(printf::printf(&text(0), &arguments[1..]))),
        "html" => ok(encode::html(&String::from_utf8_lossy(&printf::print(arguments)))),
        "js" => ok(encode::js(&String::from_utf8_lossy(&printf::print(arguments)))),
        "urlquery" => ok(encode::url_encode(&printf::print(arguments))),
        other => Err(format!("function {other:?} not defined")),
    }
}

/// One character for one, as in Go: `ß` has no single upper case letter and stays.
fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The case of a first letter: upper case but for the digraphs that have a form of their own.
fn title_case(c: char) -> char {
    match c {
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        c => upper(c),
    }
}

/// Upper case after each sign that is neither letter nor digit.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let starts = if previous.is_ascii() {
            !previous.is_ascii_alphanumeric() && previous != '_'
        } else {
            !previous.is_alphanumeric() && previous.is_whitespace()
        };
        out.push(if starts { title_case(c) } else { c });
        previous = c;
    }
    out
}

fn bounded(len: usize) -> Result<(), String> {
    if len > MAX_TEXT_BYTES {
        return Err(format!("result exceeds {MAX_TEXT_BYTES} bytes"));
    }
    Ok(())
}

fn bounded_replace(text: &str, old: &str, new: &str) -> Result<String, String> {
    bounded(text.len().saturating_mul(new.len().max(1)) / old.len().max(1))?;
    Ok(text.replace(old, new))
}

/// A regex with a replacement in the regex crate's syntax.
fn replacement(pattern: &str, replacement: &str) -> Result<(regex::bytes::Regex, String), String> {
    let translated = goregex::translate(pattern).map_err(|e| e.to_string())?;
    let regex = regex::bytes::RegexBuilder::new(&translated.with_names())
        .size_limit(1 << 20)
        .build()
        .map_err(|_| format!("error parsing regexp: expression too large: `{pattern}`"))?;
    Ok((regex, replacement.to_string()))
}

fn trunc(count: i64, text: &[u8]) -> Vec<u8> {
    let len = text.len() as i64;
    match count {
        c if c < 0 && len + c > 0 => text[(len + c) as usize..].to_vec(),
        c if c >= 0 && len > c => text[..c as usize].to_vec(),
        _ => text.to_vec(),
    }
}

fn substr(start: i64, end: i64, text: &[u8]) -> Vec<u8> {
    let len = text.len() as i64;
    let cut = |from: i64, to: i64| {
        text.get(from.clamp(0, len) as usize..to.clamp(0, len) as usize)
            .unwrap_or_default()
    };
    match (start, end) {
        (s, e) if s < 0 => cut(0, e).to_vec(),
        (s, e) if e < 0 || e > len => cut(s, len).to_vec(),
        (s, e) => cut(s, e).to_vec(),
    }
}

fn indent(count: i64, text: &str) -> Result<String, String> {
    let pad = repeat_text(" ", count)?;
    bounded(text.len() + pad.len().saturating_mul(text.matches('\n').count() + 1))?;
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn repeat_text(text: &str, count: i64) -> Result<String, String> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count".to_string())?;
    bounded(text.len().saturating_mul(count))?;
    Ok(text.repeat(count))
}

fn repeat(count: i64, text: &str) -> Result<String, String> {
    repeat_text(text, count)
}

fn align(count: i64, text: &str, left: bool) -> Result<String, String> {
    let len = text.chars().count() as i64;
    if count < 0 || count == len {
        return Ok(text.to_string());
    }
    if count > len {
        let pad = repeat_text(" ", count - len)?;
        return Ok(if left {
            format!("{text}{pad}")
        } else {
            format!("{pad}{text}")
        });
    }
    let skip = if left { 0 } else { (len - count) as usize };
    Ok(text.chars().skip(skip).take(count as usize).collect())
}

fn round(value: f64, places: i64, threshold: Option<f64>) -> f64 {
    let power = 10f64.powi(i32::try_from(places).unwrap_or(0));
    let digit = power * value;
    let fraction = digit - digit.trunc();
    let rounded = if fraction >= threshold.unwrap_or(0.5) {
        digit.ceil()
    } else {
        digit.floor()
    };
    rounded / power
}

/// Sprig computes with decimals, which know no infinity; the digits shown are those of a float of 15 digits.
fn decimal(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let mut result: Option<f64> = (name == "addf").then_some(0.0);
    for value in arguments {
        let number = value.to_float();
        if !number.is_finite() {
            let shown = units::format_float(number);
            return Err(format!("Cannot create a Decimal from {shown}"));
        }
        result = Some(match (result, name) {
            (None, _) => number,
            (Some(a), "addf") => a + number,
            (Some(a), "subf") => a - number,
            (Some(a), "mulf") => a * number,
            (Some(_), _) if number == 0.0 => return Err("decimal division by 0".into()),
            (Some(a), _) => a / number,
        });
    }
    let value = result.unwrap_or(0.0);
    // Binary sums such as 0.1 + 0.2 show a tail that decimals do not have.
    Ok(Value::Float(format!("{value:.14e}").parse().unwrap_or(value)))
}

fn time_of(value: &Value, now_ns: i64) -> i64 {
    match value {
        Value::Time(t) => *t,
        Value::Int(seconds) => seconds.saturating_mul(1_000_000_000),
        _ => now_ns,
    }
}

fn unix_to_time(text: &str) -> Result<i64, String> {
    let quoted = units::quote(text);
    let number: i64 = text
        .parse()
        .map_err(|_| format!("unable to parse time '{text}': strconv.ParseInt: parsing {quoted}: invalid syntax"))?;
    let unit = match text.len() {
        5 => 86_400_000_000_000,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("unable to parse time '{text}': %!w(<nil>)")),
    };
    Ok(number.saturating_mul(unit))
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Nil, other) | (other, Value::Nil) => matches!(other, Value::Nil),
        (Value::Text(_), Value::Text(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Float(_), Value::Float(_)) => {
            a == b
        }
        (Value::Int(_) | Value::Byte(_), Value::Int(_) | Value::Byte(_)) => a.to_int() == b.to_int(),
        (Value::Time(x), Value::Time(y)) => x == y,
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            return Err("non-comparable types".into());
        }
        _ => return Err("incompatible types for comparison".into()),
    })
}

fn order(a: &Value, b: &Value) -> Result<Option<std::cmp::Ordering>, String> {
    match (a, b) {
        (Value::Text(x), Value::Text(y)) => Ok(Some(x.cmp(y))),
        (Value::Int(_) | Value::Byte(_), Value::Int(_) | Value::Byte(_)) => Ok(Some(a.to_int().cmp(&b.to_int()))),
        (Value::Float(x), Value::Float(y)) => Ok(x.partial_cmp(y)),
        (Value::Nil | Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Time(_), _) => {
            Err("invalid type for comparison".into())
        }
        _ => Err("incompatible types for comparison".into()),
    }
}

fn index(base: Value, at: &Value) -> Result<Value, String> {
    let position = |len: usize| -> Result<usize, String> {
        let Value::Int(n) = at else {
            return Err(format!("cannot index slice/array with type {}", at.type_name()));
        };
        usize::try_from(*n)
            .ok()
            .filter(|n| *n < len)
            .ok_or_else(|| format!("index out of range: {n}"))
    };
    match base {
        Value::Text(text) => Ok(Value::Byte(text[position(text.len())?])),
        Value::List(list) => {
            let position = position(list.len())?;
            list.into_iter()
                .nth(position)
                .ok_or_else(|| "index out of range".to_string())
        }
        Value::Map(mut map) => match at {
            Value::Text(key) => Ok(map.remove(&*String::from_utf8_lossy(key)).unwrap_or(Value::Nil)),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        Value::Nil => Err("index of untyped nil".into()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(base: &Value, bounds: &[Value]) -> Result<Value, String> {
    let len = match base {
        Value::Text(t) => t.len(),
        Value::List(l) => l.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let bound = |i: usize, default: usize| match bounds.get(i) {
        None => Ok(default),
        Some(Value::Int(n)) => usize::try_from(*n)
            .ok()
            .filter(|n| *n <= len)
            .ok_or_else(|| format!("index out of range: {n}")),
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (from, to) = (bound(0, 0)?, bound(1, len)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match base {
        Value::Text(t) => Value::Text(t[from..to].to_vec()),
        Value::List(l) => Value::List(l[from..to].to_vec()),
        _ => Value::Nil,
    })
}
