//! Methods of times in templates, such as `{{ (unixToTime .ts).Format "15:04" }}`: those of Go's `time.Time` that give texts,
//! numbers and times.

use super::functions::{Kind, Parameters};
use super::time::{self, Time};
use super::value::Value;

const WITHOUT_PARAMETERS: [&str; 17] = [
    "Year",
    "Month",
    "Day",
    "Hour",
    "Minute",
    "Second",
    "Nanosecond",
    "YearDay",
    "Weekday",
    "Unix",
    "UnixMilli",
    "UnixMicro",
    "UnixNano",
    "UTC",
    "Local",
    "String",
    "IsZero",
];

/// Every name.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    WITHOUT_PARAMETERS.into_iter().chain(["Format"])
}

/// Whether times have such a method.
pub fn exists(name: &str) -> bool {
    name == "Format" || WITHOUT_PARAMETERS.contains(&name)
}

/// What a method takes.
pub fn parameters(name: &str) -> Parameters {
    Parameters::fixed(if name == "Format" { &[Kind::Text] } else { &[] })
}

/// Calls a method. Months and days of the week are texts here.
pub fn call(time: &Time, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let date = time.date();
    Ok(match name {
        "Format" => match arguments {
            [Value::Text(layout)] => {
                let layout = String::from_utf8_lossy(layout);
                Value::text(&time::format(time, &layout))
            }
            _ => return Err("a layout is missing".to_string()),
        },
        "Year" => Value::Int(date.year),
        "Month" => Value::text(date.month_name()),
        "Day" => Value::Int(date.day),
        "Hour" => Value::Int(date.hour),
        "Minute" => Value::Int(date.minute),
        "Second" => Value::Int(date.second),
        "Nanosecond" => Value::Int(i64::from(time.nanos)),
        "YearDay" => Value::Int(date.year_day),
        "Weekday" => Value::text(date.weekday_name()),
        "Unix" => Value::Int(time.seconds),
        "UnixMilli" => Value::Int(time.scaled(1_000)),
        "UnixMicro" => Value::Int(time.scaled(1_000_000)),
        "UnixNano" => Value::Int(time.scaled(1_000_000_000)),
        "UTC" | "Local" => Value::Time(Time::utc(time.seconds, time.nanos)),
        "String" => Value::text(&time.to_string()),
        "IsZero" => Value::Bool(time.is_zero()),
        other => return Err(format!("times have no method {other}")),
    })
}
