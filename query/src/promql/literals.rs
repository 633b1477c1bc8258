//! Numbers and durations as text: Go's `strconv` and prometheus/common's `model.ParseDuration` decide what they mean.

use std::fmt::Write;

use garner_storage::model::go_text::go_quote;

const NANOS_PER_SECOND: f64 = 1e9;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// Units from the largest to the smallest, in which order they must stand, with their length in nanoseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000 * NANOS_PER_MILLI),
    ("w", 7 * 24 * 3_600_000 * NANOS_PER_MILLI),
    ("d", 24 * 3_600_000 * NANOS_PER_MILLI),
    ("h", 3_600_000 * NANOS_PER_MILLI),
    ("m", 60_000 * NANOS_PER_MILLI),
    ("s", 1_000 * NANOS_PER_MILLI),
    ("ms", NANOS_PER_MILLI),
];

/// The value of a number token: an integer in any of Go's bases (`0x1f`, `017`), else a float, `Inf` or `NaN`.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    let invalid = |reason: &str| {
        Err(format!(
            "error parsing number: strconv.ParseFloat: parsing {}: {reason}",
            go_quote(text.as_bytes())
        ))
    };
    // Go's hexadecimal floats need a binary exponent, which the lexer never lets through.
    if text.starts_with("0x") || text.starts_with("0X") || !underscores_between_digits(text) {
        return invalid("invalid syntax");
    }
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if value.is_infinite() && !text.eq_ignore_ascii_case("inf") => invalid("value out of range"),
        Ok(value) => Ok(value),
        Err(_) => invalid("invalid syntax"),
    }
}

/// Go's `strconv.ParseInt(text, 0, 64)` for texts without a sign.
fn parse_integer(text: &str) -> Option<i64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // One underscore may follow a base prefix, `0` included.
    let digits = if radix == 10 {
        digits
    } else {
        digits.strip_prefix('_').unwrap_or(digits)
    };
    if !underscores_between_digits(digits) {
        return None;
    }
    i64::from_str_radix(&digits.replace('_', ""), radix)
        .ok()
        .filter(|_| !digits.is_empty())
}

fn underscores_between_digits(text: &str) -> bool {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    (0..bytes.len()).all(|i| bytes[i] != b'_' || (i > 0 && digit(bytes.get(i - 1)) && digit(bytes.get(i + 1))))
}

/// Nanoseconds of a duration such as `1h30m`. `Err` is prometheus/common's text (`model/time.go`, `ParseDuration`).
pub fn parse_duration(text: &str) -> Result<i64, String> {
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_string()),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", go_quote(text.as_bytes()));
    let out_of_range = || "duration out of range".to_string();
    let mut total = 0i64;
    let mut units_left = &UNITS[..];
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        if unit_len == 0 {
            return Err(invalid());
        }
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!(
                "unknown unit {} in duration {}",
                go_quote(unit.as_bytes()),
                go_quote(text.as_bytes())
            ));
        }
        let Some(index) = units_left.iter().position(|(name, _)| *name == unit) else {
            return Err(invalid());
        };
        let length = units_left[index].1;
        units_left = &units_left[index + 1..];
        total = i64::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(length))
            .and_then(|part| total.checked_add(part))
            .ok_or_else(out_of_range)?;
    }
    Ok(total)
}

/// `nanos` as prometheus/common prints a duration: years and weeks only where they divide it, nothing under a millisecond.
pub fn format_duration(nanos: i64) -> String {
    let mut left = (nanos / NANOS_PER_MILLI).unsigned_abs();
    if left == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    for (unit, length) in UNITS {
        let length = (length / NANOS_PER_MILLI).unsigned_abs();
        let exact = matches!(unit, "y" | "w");
        let count = left / length;
        if count == 0 || (exact && !left.is_multiple_of(length)) {
            continue;
        }
        let _ = write!(out, "{count}{unit}");
        left -= count * length;
    }
    out
}

/// Seconds as nanoseconds, rounded; saturates (the parser has refused what does not fit).
pub(super) fn seconds_to_nanos(seconds: f64) -> i64 {
    (seconds * NANOS_PER_SECOND).round() as i64
}

/// Nanoseconds as seconds, computed as Go's `Duration.Seconds` does: whole seconds and the rest apart.
pub(super) fn nanos_to_seconds(nanos: i64) -> f64 {
    (nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / NANOS_PER_SECOND
}

/// Whether so many seconds overflow 64-bit nanoseconds (prometheus `parse.go`, `durationLiteralOutOfRange`).
pub(super) fn duration_out_of_range(seconds: f64) -> bool {
    seconds.abs() > (1u64 << 63) as f64 / NANOS_PER_SECOND
}

/// A float as Go's `FormatFloat(v, 'f', -1, 64)` writes it: shortest digits, never an exponent.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_string()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |text: &str, expected: f64| {
            let value = parse_number(text).unwrap();
            assert!(
                value == expected || (value.is_nan() && expected.is_nan()),
                "{text} is {value}"
            );
        };
        check("1", 1.0);
        check("0x1F", 31.0);
        check("0X_1f", 31.0);
        check("0755", 493.0);
        check("08", 8.0);
        check("08.5", 8.5);
        check("1_000", 1000.0);
        check("1_000.5e1_0", 1000.5e10);
        check("5.", 5.0);
        check(".5", 0.5);
        check("iNf", f64::INFINITY);
        check("NaN", f64::NAN);
        check("9223372036854775808", 9_223_372_036_854_775_808.0);
        let refuse = |text: &str, expected: &str| {
            let expected = format!("error parsing number: strconv.ParseFloat: parsing \"{text}\": {expected}");
            assert_eq!(parse_number(text), Err(expected));
        };
        refuse(".5.5", "invalid syntax");
        refuse("0xffffffffffffffffff", "invalid syntax");
        refuse("1e999", "value out of range");
        refuse("1._5", "invalid syntax");
    }

    #[test]
    fn durations() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse_duration(text), expected.map_err(str::to_string), "{text}");
        };
        check("1h30m", Ok(5_400_000_000_000));
        check("1y2w3d4h5m6s7ms", Ok(33_019_506_007_000_000));
        check("0s", Ok(0));
        check("5m1h", Err("not a valid duration string: \"5m1h\""));
        check("5m1m", Err("not a valid duration string: \"5m1m\""));
        check("5y1hs", Err("unknown unit \"hs\" in duration \"5y1hs\""));
        check("300y", Err("duration out of range"));
        check("1.5h", Err("unknown unit \".\" in duration \"1.5h\""));
    }

    #[test]
    fn durations_are_printed_in_the_shortest_units() {
        let check = |text: &str, expected: &str| assert_eq!(format_duration(parse_duration(text).unwrap()), expected);
        check("0s", "0s");
        check("60m", "1h");
        check("90d", "90d");
        check("14d", "2w");
        check("365d", "1y");
        check("1500ms", "1s500ms");
        assert_eq!(format_duration(-61_000_000_000), "-1m1s");
    }
}
