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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_go() {
        let check = |value: f64, fixed: &str, general: &str| {
            assert_eq!((go_fixed(value).as_str(), go_general(value).as_str()), (fixed, general));
        };
        check(1.0, "1", "1");
        check(-0.5, "-0.5", "-0.5");
        check(1e21, "1000000000000000000000", "1e+21");
        check(1.5e-7, "0.00000015", "1.5e-07");
        check(f64::NAN, "NaN", "NaN");
        check(f64::INFINITY, "+Inf", "+Inf");
    }
}
