//! Walks JSON text in place, with the tolerance and the error texts of the walker that Loki uses (buger/jsonparser):
//! values are found by their delimiters and not validated further.

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; the slice is without its quotes, still escaped.
    String,
    /// Digits.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// `{…}`.
    Object,
    /// `[…]`.
    Array,
}

const OBJECT_ERROR: &str = "Value looks like object, but can't find closing '}' symbol";
const ARRAY_ERROR: &str = "Value is array, but can't find closing ']' symbol";
const STRING_ERROR: &str = "Value is string, but can't find closing '\"' symbol";
const JSON_ERROR: &str = "Malformed JSON error";
const ESCAPE_ERROR: &str = "Encountered an invalid escape sequence in a string";
const TYPE_ERROR: &str = "Unknown value type";

/// Offset of the first byte that is no blank.
pub fn next_token(data: &[u8]) -> Option<usize> {
    data.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t'))
}

/// Offset after the closing quote of a string whose opening quote lies before `data`, and whether it holds escapes.
#[inline]
pub(super) fn string_end(data: &[u8]) -> Option<(usize, bool)> {
    // Keys and most values are short: they are searched eight bytes at a time, for a vector search costs more to begin.
    const SHORT_WORDS: usize = 4;
    let mut at = 0;
    for word in data.chunks_exact(8).take(SHORT_WORDS) {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let found = zero_bytes(word ^ every(b'"')) | zero_bytes(word ^ every(b'\\'));
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        return match data[at] {
            b'"' => Some((at + 1, false)),
            _ => long_string_end(data, at),
        };
    }
    long_string_end(data, at)
}

const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;

/// A word of this byte.
#[inline]
fn every(byte: u8) -> u64 {
    EVERY_BYTE * u64::from(byte)
}

/// Marks the zero bytes of a word by their high bits; bytes above the lowest zero may be marked wrongly.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EVERY_BYTE) & !word & (EVERY_BYTE << 7)
}

/// As [`string_end`], where `data` has neither quote nor backslash before `at`.
fn long_string_end(data: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        let found = memchr::memchr2(b'"', b'\\', data.get(at..)?)?;
        at += found;
        if data[at] == b'"' {
            return Some((at + 1, escaped));
        }
        escaped = true;
        at += 2;
        if at > data.len() {
            return None;
        }
    }
}

/// Offset after the block that `data` starts with.
pub(super) fn block_end(data: &[u8], open: u8, close: u8) -> Option<usize> {
    let mut level = 0usize;
    let mut at = 0;
    while at < data.len() {
        let found = memchr::memchr3(b'"', open, close, &data[at..])?;
        at += found;
        match data[at] {
            b'"' => at += string_end(&data[at + 1..])?.0,
            b if b == open => level += 1,
            _ => {
                level = level.saturating_sub(1);
                if level == 0 {
                    return Some(at + 1);
                }
            }
        }
        at += 1;
    }
    None
}

/// The value that `data` starts with (after blanks), and the offset after it.
pub fn value(data: &[u8]) -> Result<(Kind, &[u8], usize), &'static str> {
    let start = next_token(data).ok_or(JSON_ERROR)?;
    let rest = &data[start..];
    match rest[0] {
        b'"' => {
            let (end, _) = string_end(&rest[1..]).ok_or(STRING_ERROR)?;
            Ok((Kind::String, &rest[1..end], start + 1 + end))
        }
        b'[' => {
            let end = block_end(rest, b'[', b']').ok_or(ARRAY_ERROR)?;
            Ok((Kind::Array, &rest[..end], start + end))
        }
        b'{' => {
            let end = block_end(rest, b'{', b'}').ok_or(OBJECT_ERROR)?;
            Ok((Kind::Object, &rest[..end], start + end))
        }
        _ => {
            let (kind, len) = bare(rest)?;
            Ok((kind, &rest[..len], start + len))
        }
    }
}

/// The kind and the length of a value without delimiters of its own, with which `data` starts.
#[inline]
pub(super) fn bare(data: &[u8]) -> Result<(Kind, usize), &'static str> {
    let is_end = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
    let len = data.iter().position(is_end).unwrap_or(data.len());
    match (data.first(), &data[..len]) {
        (Some(b'0'..=b'9' | b'-'), _) => Ok((Kind::Number, len)),
        (_, b"true" | b"false") => Ok((Kind::Boolean, len)),
        (_, b"null") => Ok((Kind::Null, len)),
        _ => Err(TYPE_ERROR),
    }
}

/// Why a walk over an object ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop<E> {
    /// The text is malformed.
    Malformed(&'static str),
    /// The visitor wanted no more.
    Visitor(E),
}

/// Calls `visit` with each key (unescaped) and value of an object.
pub fn each_field<E>(
    data: &[u8],
    key_buffer: &mut String,
    mut visit: impl FnMut(&str, Kind, &[u8], &mut String) -> Result<(), E>,
) -> Result<(), Stop<E>> {
    let malformed = Stop::Malformed;
    let mut at = next_token(data).ok_or(malformed(OBJECT_ERROR))?;
    if data[at] != b'{' {
        return Err(malformed(OBJECT_ERROR));
    }
    at += 1;
    at += next_token(&data[at..]).ok_or(malformed(JSON_ERROR))?;
    while at < data.len() {
        match data[at] {
            b'}' => return Ok(()),
            b'"' => at += 1,
            _ => return Err(malformed(OBJECT_ERROR)),
        }
        let (end, escaped) = string_end(&data[at..]).ok_or(malformed(JSON_ERROR))?;
        let raw = &data[at..at + end - 1];
        at += end;
        at += next_token(&data[at..]).ok_or(malformed(JSON_ERROR))?;
        if data[at] != b':' {
            return Err(malformed(JSON_ERROR));
        }
        at += 1;
        let (kind, text, used) = value(&data[at..]).map_err(malformed)?;
        at += used;
        match std::str::from_utf8(raw) {
            Ok(key) if !escaped => visit(key, kind, text, key_buffer).map_err(Stop::Visitor)?,
            _ => {
                let mut key = std::mem::take(key_buffer);
                if !unescape(raw, &mut key) {
                    *key_buffer = key;
                    return Err(malformed(ESCAPE_ERROR));
                }
                let result = visit(&key, kind, text, key_buffer);
                *key_buffer = key;
                result.map_err(Stop::Visitor)?;
            }
        }
        at += next_token(&data[at..]).ok_or(malformed(ARRAY_ERROR))?;
        match data[at] {
            b'}' => return Ok(()),
            b',' => at += 1,
            _ => return Err(malformed(OBJECT_ERROR)),
        }
        at += next_token(&data[at..]).ok_or(malformed(ARRAY_ERROR))?;
    }
    Err(malformed(OBJECT_ERROR))
}

/// The `index`th element of an array.
pub fn element(data: &[u8], index: usize) -> Option<(Kind, &[u8])> {
    let mut at = next_token(data)?;
    if data[at] != b'[' {
        return None;
    }
    at += 1;
    for i in 0.. {
        let token = at + next_token(&data[at..])?;
        if data[token] == b']' {
            return None;
        }
        let (kind, text, used) = value(&data[at..]).ok()?;
        if i == index {
            return Some((kind, text));
        }
        at += used;
        at += next_token(&data[at..])?;
        if data[at] != b',' {
            return None;
        }
        at += 1;
    }
    None
}

/// Writes the text of an escaped string into `out`; false where an escape is wrong. What is no UTF-8 becomes U+FFFD.
pub fn unescape(raw: &[u8], out: &mut String) -> bool {
    out.clear();
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push_lossy(&rest[..at], out);
        let Some(code) = rest.get(at + 1) else { return false };
        rest = &rest[at + 2..];
        out.push(match code {
            b'"' | b'\\' | b'/' => *code as char,
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let Some(high) = hex4(rest) else { return false };
                rest = &rest[4..];
                if (0xd800..0xe000).contains(&high) {
                    let low = rest
                        .strip_prefix(b"\\u")
                        .and_then(hex4)
                        .filter(|l| (0xdc00..0xe000).contains(l));
                    let (Some(low), true) = (low, high < 0xdc00) else {
                        return false;
                    };
                    rest = &rest[6..];
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}')
                } else {
                    char::from_u32(high).unwrap_or('\u{fffd}')
                }
            }
            _ => return false,
        });
    }
    push_lossy(rest, out);
    true
}

fn hex4(data: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(data.get(..4)?).ok()?;
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

fn push_lossy(data: &[u8], out: &mut String) {
    match std::str::from_utf8(data) {
        Ok(text) => out.push_str(text),
        Err(_) => out.push_str(&String::from_utf8_lossy(data)),
    }
}

/// The text of a string value as labels hold it: unescaped, empty where an escape is wrong, blanks for what is no text.
pub fn label_text(raw: &[u8], out: &mut String) {
    if !unescape(raw, out) {
        out.clear();
    }
    if out.contains('\u{fffd}') {
        *out = out.replace('\u{fffd}', " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<String, String> {
        let mut out = String::new();
        let walk = each_field::<()>(text.as_bytes(), &mut String::new(), |key, kind, value, _| {
            out.push_str(&format!("{key}:{kind:?}:{};", String::from_utf8_lossy(value)));
            Ok(())
        });
        match walk {
            Ok(()) => Ok(out),
            Err(Stop::Malformed(text)) => Err(text.to_string()),
            Err(Stop::Visitor(())) => Err("stopped".to_string()),
        }
    }

    #[test]
    fn objects_are_walked_with_known_errors() {
        for (text, expected) in [
            ("{\"a\": 1, \"b\":\"x\\\"y\"}", Ok("a:Number:1;b:String:x\\\"y;")),
            (
                "{\"a\":{\"b\":[1,\"]\"]},\"c\":null}",
                Ok("a:Object:{\"b\":[1,\"]\"]};c:Null:null;"),
            ),
            ("five", Err(OBJECT_ERROR)),
            ("", Err(OBJECT_ERROR)),
            ("{", Err(JSON_ERROR)),
            ("{\"a\":tru}", Err(TYPE_ERROR)),
            ("{\"a\":\"x", Err(STRING_ERROR)),
            ("{\"a\" 1}", Err(JSON_ERROR)),
            ("{\"a\":1", Err(ARRAY_ERROR)),
        ] {
            assert_eq!(
                fields(text),
                expected.map(str::to_string).map_err(str::to_string),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn strings_end_at_the_first_quote_that_is_not_escaped(text in "[a-c\\\\\"\u{80}\u{a2}\u{dc}]{0,48}") {
            let (mut at, mut escaped, mut expected) = (0, false, None);
            while let Some(byte) = text.as_bytes().get(at) {
                match byte {
                    b'"' => {
                        expected = Some((at + 1, escaped));
                        break;
                    }
                    b'\\' => (at, escaped) = (at + 2, true),
                    _ => at += 1,
                }
            }
            proptest::prop_assert_eq!(string_end(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(proptest::sample::select(b"{}[]\":,\\ ua1e-tn\xff".to_vec()), 0..40)) {
            let _ = each_field::<()>(&data, &mut String::new(), |_, _, _, _| Ok(()));
            let _ = element(&data, 2);
            label_text(&data, &mut String::new());
        }
    }
}
