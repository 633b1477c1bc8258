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

/// Go's `%g` with shortest digits: an exponent below 1e-4 and from 1e21 on.
pub fn go_general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
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
