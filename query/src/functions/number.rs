//! Numbers as Go prints them, since they appear in labels and messages.

/// Go's `strconv.FormatFloat(v, 'f', -1, 64)`: shortest digits, never an exponent.
pub fn go_fixed(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_string()
    } else {
        format!("{value}")
    }
}

/// Go's `%g` and `%v` with shortest digits: an exponent below 1e-4 and from 1e6 on, as if the precision were 6 (Go's
/// strconv/ftoa.go). JSON's 1e21 is another rule.
pub fn go_general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        return go_fixed(value);
    }
    // Rust writes `1.5e-7`, Go `1.5e-07`.
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// A number as OpenMetrics wants it in labels: always with a point or an exponent (prometheus model/labels/float.go,
/// `FormatOpenMetricsFloat`).
pub fn go_open_metrics(value: f64) -> String {
    let mut text = go_general(value);
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

/// Go's `strconv.ParseFloat(s, 64)`, which takes underscores between digits and refuses what does not fit; hexadecimal floats
/// apart.
pub fn go_parse(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    if digits.starts_with(['i', 'I', 'n', 'N']) {
        return match text.parse::<f64>() {
            // Go takes a sign before `Inf`, not before `NaN`.
            Ok(value) if !value.is_nan() || digits.len() == text.len() => Some(value),
            _ => None,
        };
    }
    if !text.contains('_') {
        return text.parse::<f64>().ok().filter(|v| v.is_finite());
    }
    // Underscores stand between digits.
    let bytes = text.as_bytes();
    let between = |at: usize| {
        let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(Some(at + 1))
    };
    let placed = (0..bytes.len()).all(|i| bytes.get(i) != Some(&b'_') || between(i));
    let plain = placed.then(|| text.replace('_', ""))?;
    plain.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// Go's `%.<digits>g`: so many significant digits, trailing zeros cut.
pub fn go_general_digits(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    match rounded.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()) {
        Some(exponent) if exponent >= -4 && exponent < digits as i32 => {
            rounded.parse::<f64>().map_or(rounded, go_fixed)
        }
        Some(exponent) => {
            let mantissa = rounded.split_once('e').map_or("", |(m, _)| m);
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            let sign = if exponent < 0 { '-' } else { '+' };
            format!(
                "{}e{sign}{:02}",
                if mantissa.is_empty() { "0" } else { mantissa },
                exponent.abs()
            )
        }
        None => go_fixed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_go() {
        let check = |value: f64, fixed: &str, general: &str| {
            assert_eq!((go_fixed(value).as_str(), go_general(value).as_str()), (fixed, general));
        };
        check(1.0, "1", "1");
        for (value, expected) in [(1.0, "1.0"), (0.99, "0.99"), (1e21, "1e+21"), (f64::NAN, "NaN")] {
            assert_eq!(go_open_metrics(value), expected);
        }
        check(-0.5, "-0.5", "-0.5");
        check(1e21, "1000000000000000000000", "1e+21");
        check(999_999.5, "999999.5", "999999.5");
        check(1e6, "1000000", "1e+06");
        check(123_456_789.0, "123456789", "1.23456789e+08");
        check(1.5e-7, "0.00000015", "1.5e-07");
        check(f64::NAN, "NaN", "NaN");
        check(f64::INFINITY, "+Inf", "+Inf");
        for (value, expected) in [
            (1.0, "1"),
            (123.0, "1.2e+02"),
            (0.256, "0.26"),
            (10.0, "10"),
            (1e-7, "1e-07"),
        ] {
            assert_eq!(go_general_digits(value, 2), expected);
        }
    }
}
