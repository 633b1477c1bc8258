//! JSON answers written straight into bytes: escaped strings, label sets, and numbers in the forms of the originals.

use garner_storage::model::Labels;

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as a JSON string that is safe inside HTML, as Go's `json.Encoder` writes it by default.
pub fn push_html_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        push_escaped(out, &rest[..at]);
        let Some(sign) = rest[at..].chars().next() else { break };
        out.extend_from_slice(format!("\\u{:04x}", u32::from(sign)).as_bytes());
        rest = &rest[at + sign.len_utf8()..];
    }
    push_escaped(out, rest);
    out.push(b'"');
}

/// Appends `bytes` as a JSON string; what is no UTF-8 becomes U+FFFD, as Go's encoder makes it.
pub fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        push_escaped(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// Appends `text` escaped, without the quotes. Runs of plain bytes are copied at once.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[(byte >> 4) as usize],
                HEX[(byte & 15) as usize],
            ]),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Appends a label set as an object.
pub fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        push_string(out, value);
    }
    out.push(b'}');
}

/// Appends a list of strings.
pub fn push_strings<S: AsRef<str>>(out: &mut Vec<u8>, items: impl IntoIterator<Item = S>) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, item.as_ref());
    }
    out.push(b']');
}

/// Appends an integer.
pub fn push_int(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends milliseconds as seconds with up to three decimals: `1768003800`, `1768003800.25`.
pub fn push_seconds(out: &mut Vec<u8>, time_ms: i64) {
    if time_ms < 0 {
        out.push(b'-');
    }
    let ms = time_ms.unsigned_abs();
    push_int(out, (ms / 1_000) as i64);
    let fraction = ms % 1_000;
    if fraction > 0 {
        let digits = [fraction / 100, fraction / 10 % 10, fraction % 10].map(|d| b'0' + d as u8);
        let len = 3 - digits.iter().rev().take_while(|d| **d == b'0').count();
        out.push(b'.');
        out.extend_from_slice(&digits[..len]);
    }
}

/// Appends a sample value as Prometheus does, without quotes: the shortest decimals that read back, an exponent below
/// 1e-6 and from 1e21 on (prometheus `util/jsonutil/marshal.go`, `MarshalFloat`).
pub fn push_prometheus_float(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude != 0.0 && value.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        push_exponent_float(out, value);
    } else {
        push_plain_float(out, value);
    }
}

/// Appends a sample value as Loki does, without quotes: never with an exponent (prometheus common `model/value.go`).
pub fn push_plain_float(out: &mut Vec<u8>, value: f64) {
    // Whole numbers, the bulk of counters, need no search for the shortest digits.
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < LARGEST_EXACT {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        push_int(out, value as i64);
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        let mut buffer = ryu::Buffer::new();
        let digits = buffer.format_finite(value);
        if digits.contains('e') {
            // Rust prints the same shortest digits without an exponent.
            out.extend_from_slice(format!("{value}").as_bytes());
        } else {
            out.extend_from_slice(digits.strip_suffix(".0").unwrap_or(digits).as_bytes());
        }
    }
}

/// As Go's `'e'` format: `1e-07`, `1.5e+21`.
fn push_exponent_float(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    out.extend_from_slice(format!("{mantissa}e{sign}{exponent:0>2}").as_bytes());
}

/// An object of strings, in the order given.
pub fn push_pairs(out: &mut Vec<u8>, pairs: &[(String, String)]) {
    out.push(b'{');
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        push_string(out, value);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn floats_print_as_in_go() {
        let check = |value: f64, prometheus: &str, plain: &str| {
            assert_eq!(written(|out| push_prometheus_float(out, value)), prometheus);
            assert_eq!(written(|out| push_plain_float(out, value)), plain);
        };
        check(0.0, "0", "0");
        check(-0.0, "-0", "-0");
        check(1.0, "1", "1");
        check(-17.0, "-17", "-17");
        check(0.1, "0.1", "0.1");
        check(1.0 / 3.0, "0.3333333333333333", "0.3333333333333333");
        check(1e-6, "0.000001", "0.000001");
        check(1.5e-7, "1.5e-07", "0.00000015");
        check(1e20, "100000000000000000000", "100000000000000000000");
        check(1e21, "1e+21", "1000000000000000000000");
        check(
            1.7976931348623157e308,
            "1.7976931348623157e+308",
            &format!("{}", f64::MAX),
        );
        check(5e-324, "5e-324", &format!("{}", 5e-324f64));
        check(123_456_789_012_345_680.0, "123456789012345680", "123456789012345680");
        check(f64::NAN, "NaN", "NaN");
        check(f64::INFINITY, "+Inf", "+Inf");
        check(f64::NEG_INFINITY, "-Inf", "-Inf");
    }

    #[test]
    fn plain_floats_read_back() {
        let mut bits = 1u64;
        for _ in 0..10_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let plain = written(|out| push_plain_float(out, value));
                let prometheus = written(|out| push_prometheus_float(out, value));
                assert_eq!(plain.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{plain}");
                assert_eq!(
                    prometheus.parse::<f64>().map(f64::to_bits),
                    Ok(value.to_bits()),
                    "{prometheus}"
                );
            }
        }
    }

    #[test]
    fn seconds_have_up_to_three_decimals() {
        for (ms, expected) in [
            (0, "0"),
            (1_768_003_800_000, "1768003800"),
            (1_768_003_800_250, "1768003800.25"),
            (1_001, "1.001"),
            (1_010, "1.01"),
            (-1_500, "-1.5"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|out| push_seconds(out, ms)), expected);
        }
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(
            written(|out| push_string(out, "a\"b\\c\n\u{1}é<")),
            "\"a\\\"b\\\\c\\n\\u0001é<\""
        );
        assert_eq!(
            written(|out| push_bytes(out, b"a\xff\xfeb\n")),
            "\"a\u{fffd}\u{fffd}b\\n\""
        );
        let labels = Labels::from_pairs([("b", "x\"y"), ("a", "1")]);
        assert_eq!(written(|out| push_labels(out, &labels)), r#"{"a":"1","b":"x\"y"}"#);
        assert_eq!(written(|out| push_strings(out, ["a", "b"])), r#"["a","b"]"#);
    }
}
