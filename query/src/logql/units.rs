//! Numbers, durations and sizes as Go reads and writes them: LogQL's literals, filters and `unwrap` conversions.
//!
//! Behaviour after Go's `time.ParseDuration` and `strconv.ParseFloat`, `prometheus/common/model.ParseDuration` and
//! `dustin/go-humanize`; the error texts are theirs, because they reach users in `__error_details__`.

pub use garner_storage::model::go_text::go_quote as quote;

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Units of Prometheus durations from large to small, with "printed only where it divides the rest".
const PROMETHEUS_UNITS: [(&str, i64, bool); 7] = [
    ("y", 365 * DAY, true),
    ("w", 7 * DAY, true),
    ("d", DAY, true),
    ("h", HOUR, false),
    ("m", MINUTE, false),
    ("s", SECOND, false),
    ("ms", MILLI, false),
];

/// A duration in Prometheus' spelling (`1d2h30m`), in nanoseconds.
pub fn parse_prometheus_duration(text: &str) -> Result<i64, String> {
    match text {
        "" => return Err("empty duration string".into()),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let mut rest = text;
    let mut total: i64 = 0;
    let mut units = PROMETHEUS_UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let value: i64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        if unit.is_empty() {
            return Err(invalid());
        }
        rest = &rest[unit.len()..];
        if !PROMETHEUS_UNITS.iter().any(|(u, _, _)| *u == unit) {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        }
        // Units stand from large to small, each once.
        let (_, nanos, _) = units.find(|(u, _, _)| *u == unit).ok_or_else(invalid)?;
        total = value
            .checked_mul(*nanos)
            .and_then(|v| total.checked_add(v))
            .ok_or("duration out of range")?;
    }
    Ok(total)
}

/// Prometheus' spelling of a duration.
pub fn format_prometheus_duration(nanos: i64) -> String {
    let mut rest = nanos / MILLI * MILLI;
    if rest == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, size, exact) in PROMETHEUS_UNITS {
        if exact && rest % size != 0 {
            continue;
        }
        if rest / size > 0 {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}

/// A duration in Go's spelling (`1h2m3.5s`, `-10ms`), in nanoseconds.
pub fn parse_go_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let has_point = rest.as_bytes().get(whole) == Some(&b'.');
        let fraction = if has_point {
            rest[whole + 1..].bytes().take_while(u8::is_ascii_digit).count()
        } else {
            0
        };
        if whole == 0 && fraction == 0 {
            return Err(invalid());
        }
        let fraction_text = if has_point {
            &rest[whole + 1..whole + 1 + fraction]
        } else {
            ""
        };
        let whole_text = &rest[..whole];
        let unit_start = whole + if has_point { 1 + fraction } else { 0 };
        let unit_len = rest[unit_start..]
            .bytes()
            .take_while(|b| *b != b'.' && !b.is_ascii_digit())
            .count();
        let unit_text = &rest[unit_start..unit_start + unit_len];
        if unit_text.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let unit: u64 = match unit_text {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => MILLI as u64,
            "s" => SECOND as u64,
            "m" => MINUTE as u64,
            "h" => HOUR as u64,
            other => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    quote(other),
                    quote(text)
                ));
            }
        };
        let value: u64 = if whole_text.is_empty() {
            0
        } else {
            whole_text.parse().map_err(|_| invalid())?
        };
        let mut nanos = value.checked_mul(unit).ok_or_else(invalid)?;
        if !fraction_text.is_empty() {
            let share: f64 = format!("0.{fraction_text}").parse().map_err(|_| invalid())?;
            // Go scales the digits as an integer; the product is the same for every duration below 2^53 ns.
            nanos = nanos
                .checked_add((share * unit as f64 + 1e-9) as u64)
                .ok_or_else(invalid)?;
        }
        total = total.checked_add(nanos).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
        rest = &rest[unit_start + unit_len..];
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// Go's spelling of a duration (`1h0m0s`, `1.5ms`).
pub fn format_go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let abs = nanos.unsigned_abs();
    let decimal = |value: u64, unit: u64| {
        let text = format!(
            "{}.{:0width$}",
            value / unit,
            value % unit,
            width = unit.ilog10() as usize
        );
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    };
    if abs == 0 {
        return "0s".into();
    }
    if abs < SECOND as u64 {
        let (unit, name) = match abs {
            0..1_000 => return format!("{sign}{abs}ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (MILLI as u64, "ms"),
        };
        return format!("{sign}{}{name}", decimal(abs, unit));
    }
    let (hours, rest) = (abs / HOUR as u64, abs % HOUR as u64);
    let (minutes, seconds) = (rest / MINUTE as u64, rest % MINUTE as u64);
    let seconds = decimal(seconds, SECOND as u64);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

/// A size in bytes (`1.5KiB`, `10 MB`, `42`), as go-humanize reads it.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let end = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.' || *b == b',')
        .count();
    let digits: String = text[..end].chars().filter(|c| *c != ',').collect();
    let value = parse_float(&digits)?;
    let suffix = text[end..].trim().to_lowercase();
    let factor: f64 = match suffix.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "p" | "pb" => 1e15,
        "e" | "eb" => 1e18,
        "ki" | "kib" => (1u64 << 10) as f64,
        "mi" | "mib" => (1u64 << 20) as f64,
        "gi" | "gib" => (1u64 << 30) as f64,
        "ti" | "tib" => (1u64 << 40) as f64,
        "pi" | "pib" => (1u64 << 50) as f64,
        "ei" | "eib" => (1u64 << 60) as f64,
        other => return Err(format!("unhandled size name: {other}")),
    };
    let bytes = value * factor;
    if bytes >= u64::MAX as f64 {
        return Err(format!("too large: {text}"));
    }
    Ok(bytes as u64)
}

/// A size as go-humanize prints it, without the space (`1.5kB`).
pub fn format_bytes(bytes: u64) -> String {
    const NAMES: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let exponent = ((bytes as f64).ln() / 1000f64.ln()).floor();
    let value = (bytes as f64 / 1000f64.powf(exponent) * 10.0 + 0.5).floor() / 10.0;
    let name = NAMES.get(exponent as usize).copied().unwrap_or("EB");
    if value < 10.0 {
        format!("{value:.1}{name}")
    } else {
        format!("{value:.0}{name}")
    }
}

/// A float as Go's `strconv.ParseFloat` reads it.
pub fn parse_float(text: &str) -> Result<f64, String> {
    // Most numbers in logs are short and whole; up to 15 digits these are exact.
    if (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.bytes().fold(0u64, |n, b| n * 10 + u64::from(b - b'0')) as f64);
    }
    let invalid = || format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.len() > 2 && unsigned.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x")) {
        let value = parse_hex_float(&unsigned[2..]).ok_or_else(invalid)?;
        return Ok(if text.starts_with('-') { -value } else { value });
    }
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), "inf" | "infinity") {
        return Ok(if text.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    if lower == "nan" {
        return if unsigned.len() == text.len() {
            Ok(f64::NAN)
        } else {
            Err(invalid())
        };
    }
    let plain = unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-' | b'_'));
    if !plain || !unsigned.bytes().any(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let value: f64 = if text.contains('_') {
        // Go takes underscores between digits.
        let bytes = text.as_bytes();
        let digit = |at: Option<usize>| at.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
        if (0..bytes.len()).any(|i| bytes[i] == b'_' && !(digit(i.checked_sub(1)) && digit(Some(i + 1)))) {
            return Err(invalid());
        }
        text.replace('_', "").parse().map_err(|_| invalid())?
    } else {
        text.parse().map_err(|_| invalid())?
    };
    if value.is_infinite() {
        return Err(format!(
            "strconv.ParseFloat: parsing {}: value out of range",
            quote(text)
        ));
    }
    Ok(value)
}

/// The part of a hexadecimal float after `0x`; Go requires the exponent.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    Some(value * 2f64.powi(exponent.saturating_sub(4 * i32::try_from(fraction.len()).ok()?)))
}

/// A float in Go's `%v` form: shortest digits; the exponent form below 1e-4 and from 1e6 on.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let abs = value.abs();
    if abs != 0.0 && !(1e-4..1e6).contains(&abs) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations() {
        for (text, nanos) in [
            ("5m", 5 * MINUTE),
            ("1d", DAY),
            ("1h30m", 90 * MINUTE),
            ("100ms", 100 * MILLI),
            ("0", 0),
        ] {
            assert_eq!(parse_prometheus_duration(text), Ok(nanos), "{text}");
        }
        assert_eq!(
            parse_prometheus_duration("-5m"),
            Err("not a valid duration string: \"-5m\"".to_string())
        );
        for bad in ["5", "m", "5m1h", "1.5h", "5x"] {
            assert!(parse_prometheus_duration(bad).is_err(), "{bad}");
        }
        for (nanos, text) in [
            (90 * SECOND, "1m30s"),
            (DAY, "1d"),
            (25 * HOUR, "25h"),
            (0, "0s"),
            (7 * DAY, "1w"),
        ] {
            assert_eq!(format_prometheus_duration(nanos), text);
        }
    }

    #[test]
    fn go_durations() {
        for (text, nanos) in [
            ("1.5s", 1_500 * MILLI),
            ("-3ms", -3 * MILLI),
            ("1h2m", 62 * MINUTE),
            ("3.907ms", 3_907_000),
        ] {
            assert_eq!(parse_go_duration(text), Ok(nanos), "{text}");
        }
        assert_eq!(
            parse_go_duration("5"),
            Err("time: missing unit in duration \"5\"".into())
        );
        assert_eq!(parse_go_duration(""), Err("time: invalid duration \"\"".into()));
        assert_eq!(
            parse_go_duration("1x"),
            Err("time: unknown unit \"x\" in duration \"1x\"".into())
        );
        for (nanos, text) in [
            (HOUR, "1h0m0s"),
            (1_500_000, "1.5ms"),
            (90 * SECOND, "1m30s"),
            (0, "0s"),
            (1_500, "1.5µs"),
        ] {
            assert_eq!(format_go_duration(nanos), text);
        }
    }

    #[test]
    fn sizes_and_floats() {
        for (text, bytes) in [
            ("1KiB", 1024),
            ("1.5kb", 1500),
            ("10 MB", 10_000_000),
            ("42", 42),
            ("65.9KiB", 67481),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_bytes("1XB"), Err("unhandled size name: xb".into()));
        assert_eq!(format_bytes(1500), "1.5kB");
        assert_eq!(format_bytes(10_000_000), "10MB");
        assert_eq!(parse_float("0x1p-2"), Ok(0.25));
        assert_eq!(parse_float("1_000"), Ok(1000.0));
        assert!(parse_float("1__0").is_err() && parse_float("_1").is_err());
        assert_eq!(
            parse_float("x"),
            Err("strconv.ParseFloat: parsing \"x\": invalid syntax".into())
        );
        for (value, text) in [
            (1572864.0, "1.572864e+06"),
            (1e5, "100000"),
            (0.5, "0.5"),
            (1e-7, "1e-07"),
            (3.0, "3"),
        ] {
            assert_eq!(format_float(value), text);
        }
        assert_eq!(quote("a\"\n\u{2028}"), "\"a\\\"\\n\\u2028\"");
    }
}
