//! Encodings of templates: base64, URLs, HTML and JavaScript texts, as Go's packages write them.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub fn base64(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(BASE64[(bits >> (18 - 6 * i)) as usize & 63] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// The bytes of a base64 text, padding optional; the text of the error where it is none (as Loki's `b64dec`).
pub fn base64_decode(text: &[u8]) -> Vec<u8> {
    let mut padded = text.to_vec();
    if !matches!(padded.len() % 4, 0 | 1) {
        padded.resize(padded.len().next_multiple_of(4), b'=');
    }
    let mut out = Vec::with_capacity(padded.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for (at, byte) in padded.iter().enumerate() {
        if matches!(byte, b'\r' | b'\n') {
            continue;
        }
        let rest_is_padding = padded[at..].iter().all(|b| *b == b'=');
        if *byte == b'=' && rest_is_padding && count >= 2 && padded.len() - at <= 2 {
            let bytes = count - 1;
            bits <<= 6 * (4 - count);
            out.extend_from_slice(&bits.to_be_bytes()[1..1 + bytes]);
            return out;
        }
        let Some(value) = BASE64.iter().position(|b| b == byte) else {
            return format!("illegal base64 data at input byte {at}").into_bytes();
        };
        bits = bits << 6 | value as u32;
        count += 1;
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    if count != 0 {
        return format!("illegal base64 data at input byte {}", padded.len() - count).into_bytes();
    }
    out
}

/// A text for the query of a URL.
pub fn url_encode(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len());
    for byte in data {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(b) => out.push(*b as char),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// The text of a URL's query.
pub fn url_decode(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = text
                    .get(at + 1..at + 3)
                    .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) else {
                    let shown: String = text[at..].chars().take(3).collect();
                    return Err(format!("invalid URL escape {}", crate::logql::units::quote(&shown)));
                };
                out.push(byte);
                at += 2;
            }
            b => out.push(b),
        }
        at += 1;
    }
    Ok(out)
}

/// A text inside HTML.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A text inside a JavaScript string.
pub fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_both_ways() {
        for (plain, encoded) in [("hello", "aGVsbG8="), ("", ""), ("ab", "YWI="), ("abc", "YWJj")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
            assert_eq!(
                base64_decode(encoded.trim_end_matches('=').as_bytes()),
                plain.as_bytes()
            );
        }
        assert_eq!(base64_decode(b"!!!"), b"illegal base64 data at input byte 0");
    }

    #[test]
    fn urls_both_ways() {
        assert_eq!(url_encode("a b&c:é".as_bytes()), "a+b%26c%3A%C3%A9");
        assert_eq!(url_decode("a+b%26c"), Ok(b"a b&c".to_vec()));
        assert_eq!(url_decode("%zz"), Err("invalid URL escape \"%zz\"".to_string()));
        assert_eq!(html("<a>\""), "&lt;a&gt;&#34;");
        assert_eq!(js("it's"), "it\\'s");
    }
}
