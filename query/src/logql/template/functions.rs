//! The functions of templates: those of Go's `text/template`, Loki's own, and the ones Loki takes from sprig.

use super::decimal::Decimal;
use super::time::{self, Time};
use super::value::Value;
use super::{builtins, encode, printf};
use crate::logql::{goregex, units};

/// Longest text that `repeat` and the paddings may make.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// A call with its arguments evaluated.
pub struct Call<'a> {
    /// The function.
    pub name: &'a str,
    /// The arguments, the piped one last.
    pub arguments: Vec<Value>,
    /// The first argument as it is written.
    pub callee: String,
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
    /// A number.
    Float,
    /// A time.
    Time,
    /// Anything.
    Any,
}

impl Kind {
    /// Go's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Float => "float64",
            Kind::Time => "time.Time",
            Kind::Any => "interface {}",
        }
    }

    /// Whether a value is of it.
    pub fn takes(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Kind::Any, _)
                | (Kind::Text, Value::Text(_))
                | (Kind::Int, Value::Int(_))
                | (Kind::Float, Value::Float(_))
                | (Kind::Time, Value::Time(_))
        )
    }
}

/// The parameters of a function: fixed ones, and the kind of further ones.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    fixed: &'static [Kind],
    more: Option<Kind>,
}

impl Parameters {
    /// As many as there are kinds.
    pub fn fixed(fixed: &'static [Kind]) -> Self {
        Parameters { fixed, more: None }
    }

    /// The kind of parameter `index`.
    pub fn kind(&self, index: usize) -> Kind {
        self.fixed.get(index).copied().or(self.more).unwrap_or(Kind::Any)
    }

    /// Go's message where the number of arguments is wrong. Where there may be more than it asks for, it does not count the
    /// one that is piped.
    pub fn wrong_count(&self, name: &str, written: usize, piped: bool) -> Option<String> {
        let want = self.fixed.len();
        let count = written + usize::from(piped);
        match self.more {
            Some(_) if count < want => Some(format!(
                "wrong number of args for {name}: want at least {want} got {written}"
            )),
            None if count != want => Some(format!("wrong number of args for {name}: want {want} got {count}")),
            _ => None,
        }
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
    (&["round"], &[Kind::Any, Kind::Int], Some(Kind::Float)),
    (&["call"], &[Kind::Any], Some(Kind::Any)),
    (&["printf"], &[Kind::Text], Some(Kind::Any)),
];

/// Every name.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().flat_map(|(names, _, _)| names.iter().copied())
}

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
        "substr" => substr(int(0), int(1), &bytes(2)).map(Value::Text),
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
        "add" => Ok(Value::Long(
            arguments.iter().fold(0i64, |sum, v| sum.wrapping_add(v.to_int())),
        )),
        "sub" => Ok(Value::Long(int(0).wrapping_sub(int(1)))),
        "mul" => Ok(Value::Long(
            arguments
                .iter()
                .fold(1i64, |product, v| product.wrapping_mul(v.to_int())),
        )),
        "div" | "mod" if int(1) == 0 => Err("runtime error: integer divide by zero".into()),
        "div" => Ok(Value::Long(int(0).wrapping_div(int(1)))),
        "mod" => Ok(Value::Long(int(0).wrapping_rem(int(1)))),
        "addf" | "subf" | "mulf" | "divf" => decimal(call.name, arguments),
        "max" => Ok(Value::Long(arguments.iter().map(Value::to_int).max().unwrap_or(0))),
        "min" => Ok(Value::Long(arguments.iter().map(Value::to_int).min().unwrap_or(0))),
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
        "now" => Ok(Value::Time(Time::utc_of_ns(call.now_ns))),
        "date" => {
            // Shown in the server's zone, which is UTC.
            let time = time_of(&any(1), call.now_ns);
            ok(time::format(&Time::utc(time.seconds, time.nanos), &text(0)))
        }
        "toDate" => Ok(Value::Time(time::parse(&text(0), &text(1)))),
        "toDateInZone" => Ok(Value::Time(time::parse_in_zone(&text(0), &text(1), &text(2)))),
        "unixToTime" => unix_to_time(&text(0)).map(Value::Time),
        "unixEpoch" => ok(time_of(&any(0), 0).seconds.to_string()),
        "unixEpochMillis" => ok(time_of(&any(0), 0).scaled(1_000).to_string()),
        "unixEpochNanos" => ok(time_of(&any(0), 0).scaled(1_000_000_000).to_string()),
        "not" => Ok(Value::Bool(!any(0).is_true())),
        "len" => builtins::len(&any(0)),
        "eq" => builtins::equal_to_any(arguments).map(Value::Bool),
        "ne" => builtins::equal_to_any(arguments).map(|equal| Value::Bool(!equal)),
        "lt" | "le" | "gt" | "ge" => builtins::compare(call.name, &any(0), &any(1)).map(Value::Bool),
        "index" => builtins::index(any(0), arguments.get(1..).unwrap_or_default()),
        "slice" => builtins::slice(&any(0), arguments.get(1..).unwrap_or_default()),
        "call" => Err(match any(0) {
            Value::Nil => "call of nil".to_string(),
            other => format!("non-function {} of type {}", call.callee, other.type_name()),
        }),
        "print" => Ok(Value::Text(printf::print(arguments))),
        "println" => Ok(Value::Text(printf::print_line(arguments))),
        "printf" => printf::printf(&text(0), arguments.get(1..).unwrap_or_default()).map(Value::Text),
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
    // `İ` becomes the letter that it is with its dot.
    c.to_lowercase().next().unwrap_or(c)
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

/// Sprig's: negative ends are left out, and Go fails where the rest names no part.
fn substr(start: i64, end: i64, text: &[u8]) -> Result<Vec<u8>, String> {
    let len = text.len() as i64;
    let (from, to) = match (start, end) {
        (s, e) if s < 0 => (None, Some(e)),
        (s, e) if e < 0 || e > len => (Some(s), None),
        (s, e) => (Some(s), Some(e)),
    };
    let out_of_range = |bounds: String| Err(format!("runtime error: slice bounds out of range {bounds}"));
    let (low, high) = (from.unwrap_or(0), to.unwrap_or(len));
    match to {
        Some(high) if high < 0 => return out_of_range(format!("[:{high}]")),
        Some(high) if high > len => return out_of_range(format!("[:{high}] with length {len}")),
        None if low > len => return out_of_range(format!("[{low}:{len}]")),
        _ if low > high => return out_of_range(format!("[{low}:{high}]")),
        _ => {}
    }
    Ok(text.get(low as usize..high as usize).unwrap_or_default().to_vec())
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

/// Sprig computes with decimals, which know no infinity.
fn decimal(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let mut result = if name == "addf" { Decimal::of(0.0) } else { None };
    for value in arguments {
        let float = value.to_float();
        let Some(number) = Decimal::of(float) else {
            return Err(format!("Cannot create a Decimal from {}", units::format_float(float)));
        };
        result = Some(match (result, name) {
            (None, _) => number,
            (Some(sum), "addf") => sum.plus(&number),
            (Some(rest), "subf") => rest.minus(&number),
            (Some(product), "mulf") => product.times(&number),
            (Some(quotient), _) => quotient.divided_by(&number).ok_or("decimal division by 0")?,
        });
    }
    Ok(Value::Float(result.map_or(0.0, |decimal| decimal.to_float())))
}

fn time_of(value: &Value, now_ns: i64) -> Time {
    match value {
        Value::Time(time) => time.clone(),
        Value::Int(seconds) | Value::Long(seconds) => Time::utc(*seconds, 0),
        _ => Time::utc_of_ns(now_ns),
    }
}

fn unix_to_time(text: &str) -> Result<Time, String> {
    let quoted = units::quote(text);
    let number: i64 = text
        .parse()
        .map_err(|_| format!("unable to parse time '{text}': strconv.ParseInt: parsing {quoted}: invalid syntax"))?;
    Ok(match text.len() {
        5 => Time::utc(number.saturating_mul(86_400), 0),
        10 => Time::utc(number, 0),
        13 => Time::utc_of_ns(number.saturating_mul(1_000_000)),
        16 => Time::utc_of_ns(number.saturating_mul(1_000)),
        19 => Time::utc_of_ns(number),
        _ => return Err(format!("unable to parse time '{text}': %!w(<nil>)")),
    })
}
