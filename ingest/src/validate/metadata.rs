//! Structured metadata in the form in which it is stored: names as labels, values as UTF-8
//! (loki `pkg/distributor/distributor.go`; prometheus/otlptranslator `LabelNamer.Build`, without UTF-8).

use std::borrow::Cow;

use garner_storage::model::go_text::{go_quote, is_legacy_label_name};

use crate::loki::RawPair;

/// One entry's metadata, normalised.
pub(crate) type Metadata<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Replaces `out` by `sent` with names normalised and values made UTF-8; empty values are left out, since they mean
/// "absent". `Err` is the text for a name that cannot become a label name.
pub(crate) fn normalize_metadata<'a>(sent: &mut Vec<RawPair<'a>>, out: &mut Metadata<'a>) -> Result<(), String> {
    out.clear();
    for (name, value) in sent.drain(..) {
        let name = normal_name(name)?;
        let value = valid_utf8(value);
        if let Cow::Owned(_) = name {
            // A name that was changed replaces one of the same form, as Loki's label builder does.
            out.retain(|(known, _)| *known != name);
        }
        if !value.is_empty() {
            out.push((name, value));
        }
    }
    Ok(())
}

/// A name as a label name; `Err` is the text for one that cannot become that.
pub(crate) fn normal_name(name: Cow<'_, [u8]>) -> Result<Cow<'_, str>, String> {
    let text = match name {
        Cow::Borrowed(bytes) => lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(lossy(&bytes).into_owned()),
    };
    if text.is_empty() {
        return Err("label name is empty".to_string());
    }
    if is_normal(&text) {
        return Ok(text);
    }
    let normal = sanitize(&text);
    if normal.bytes().all(|b| b == b'_') {
        return Err(format!(
            "normalization for label name {} resulted in invalid name {}",
            go_quote(text.as_bytes()),
            go_quote(normal.as_bytes())
        ));
    }
    Ok(if normal == text { text } else { Cow::Owned(normal) })
}

/// The names that nearly all clients send: label names without two underscores in a row.
fn is_normal(name: &str) -> bool {
    is_legacy_label_name(name) && !name.contains("__") && name != "_"
}

/// Invalid characters become `_`, runs of them one; `__reserved__` names keep their ends; a leading digit gets `key_`.
fn sanitize(name: &str) -> String {
    let reserved = name.strip_prefix("__").and_then(|n| n.strip_suffix("__"));
    let mut out = String::with_capacity(name.len() + 4);
    for c in reserved.unwrap_or(name).chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    if reserved.is_some() {
        return format!("__{out}__");
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    }
    out
}

/// Every invalid byte and every U+FFFD becomes a space.
pub(crate) fn valid_utf8(value: Cow<'_, [u8]>) -> Cow<'_, str> {
    let text = match value {
        Cow::Borrowed(bytes) => lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(lossy(&bytes).into_owned()),
    };
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Cow::Owned(text.replace(char::REPLACEMENT_CHARACTER, " "));
    }
    text
}

/// Go reads each byte of a broken sequence as one U+FFFD; Rust's lossy conversion joins them.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(pairs: &[(&[u8], &[u8])]) -> Result<Vec<(String, String)>, String> {
        let mut sent = pairs
            .iter()
            .map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v)))
            .collect();
        let mut out = Vec::new();
        normalize_metadata(&mut sent, &mut out)?;
        Ok(out.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect())
    }

    #[test]
    fn names_become_label_names() {
        for (name, expected) in [
            ("trace_id", "trace_id"),
            ("dotted.key", "dotted_key"),
            ("dash-key", "dash_key"),
            ("a..b__c", "a_b_c"),
            ("1st", "key_1st"),
            ("__reserved__", "__reserved__"),
            ("__re.served__", "__re_served__"),
            ("_private", "_private"),
            ("日本x", "_x"),
        ] {
            assert_eq!(
                normalized(&[(name.as_bytes(), b"v")]),
                Ok(vec![(expected.to_string(), "v".to_string())])
            );
        }
        assert_eq!(normalized(&[(b"", b"v")]), Err("label name is empty".to_string()));
        assert_eq!(
            normalized(&[(b"--", b"v")]),
            Err("normalization for label name \"--\" resulted in invalid name \"_\"".to_string())
        );
    }

    #[test]
    fn values_become_utf_8_and_empty_ones_go() {
        let expected = [("a", "x  y"), ("c", "日")].map(|(n, v)| (n.to_string(), v.to_string()));
        assert_eq!(
            normalized(&[(b"a", b"x\xff\xfey"), (b"b", b""), (b"c", "日".as_bytes())]),
            Ok(expected.to_vec())
        );
    }

    #[test]
    fn a_changed_name_replaces_its_twin() {
        assert_eq!(
            normalized(&[(b"a_b", b"1"), (b"a.b", b"2")]),
            Ok(vec![("a_b".to_string(), "2".to_string())])
        );
    }
}
