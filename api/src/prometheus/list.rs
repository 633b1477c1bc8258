//! Answers that are a list: label names, label values, series.

use garner_storage::model::Labels;

use super::answer::TRUNCATED;
use crate::json::{push_labels, push_string};
use crate::server::Encode;

/// An item of a list.
pub trait Item: Send + 'static {
    /// Appends it as JSON.
    fn push(&self, out: &mut Vec<u8>);
}

impl Item for String {
    fn push(&self, out: &mut Vec<u8>) {
        push_string(out, self);
    }
}

impl Item for Labels {
    fn push(&self, out: &mut Vec<u8>) {
        push_labels(out, self);
    }
}

/// Writes `{"status":"success","data":[…]}`.
pub struct ListAnswer<T> {
    items: Vec<T>,
    written: usize,
    begun: bool,
    truncated: bool,
    /// Whether an empty list is left out, as Loki leaves out those of strings.
    omit_empty: bool,
}

impl<T: Item> ListAnswer<T> {
    /// At most `limit` of the items; 0 means all.
    pub fn new(mut items: Vec<T>, limit: usize) -> Self {
        let truncated = limit > 0 && items.len() > limit;
        if truncated {
            items.truncate(limit);
        }
        ListAnswer {
            items,
            written: 0,
            begun: false,
            truncated,
            omit_empty: false,
        }
    }

    /// As Loki writes lists of strings: no `data` where there is nothing.
    pub fn omit_empty(items: Vec<T>) -> Self {
        ListAnswer {
            omit_empty: true,
            ..ListAnswer::new(items, 0)
        }
    }
}

impl<T: Item> Encode for ListAnswer<T> {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.begun {
            self.begun = true;
            if self.omit_empty && self.items.is_empty() {
                out.extend_from_slice(br#"{"status":"success"}"#);
                return false;
            }
            out.extend_from_slice(br#"{"status":"success","data":["#);
            return true;
        }
        if let Some(item) = self.items.get(self.written) {
            if self.written > 0 {
                out.push(b',');
            }
            item.push(out);
            self.written += 1;
            return true;
        }
        out.push(b']');
        if self.truncated {
            out.extend_from_slice(b",\"warnings\":[");
            push_string(out, TRUNCATED);
            out.push(b']');
        }
        out.push(b'}');
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mut answer: impl Encode) -> String {
        let mut out = Vec::new();
        while answer.next(&mut out) {}
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn lists_say_when_they_were_cut() {
        let names = || vec!["a".to_string(), "b".to_string()];
        assert_eq!(
            written(ListAnswer::new(names(), 0)),
            r#"{"status":"success","data":["a","b"]}"#
        );
        assert_eq!(
            written(ListAnswer::new(names(), 1)),
            r#"{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}"#
        );
        assert_eq!(
            written(ListAnswer::<Labels>::new(Vec::new(), 0)),
            r#"{"status":"success","data":[]}"#
        );
        assert_eq!(
            written(ListAnswer::<String>::omit_empty(Vec::new())),
            r#"{"status":"success"}"#
        );
    }
}
