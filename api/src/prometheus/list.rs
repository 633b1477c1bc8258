//! Answers that are a list: label names, label values, series.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use garner_query::output::damage_warning;
use garner_storage::model::Labels;
use garner_storage::scan::ScanStats;

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
    /// What the list cost, for the warning of damaged pages.
    stats: Option<Arc<ScanStats>>,
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
            stats: None,
            omit_empty: false,
        }
    }

    /// With a warning where damage was met: `stats` are those of the work that made the list.
    pub fn with_stats(mut self, stats: Arc<ScanStats>) -> Self {
        self.stats = Some(stats);
        self
    }

    fn warnings(&self) -> Vec<String> {
        let corrupt = self
            .stats
            .as_ref()
            .map_or(0, |stats| stats.pages_corrupt.load(Ordering::Relaxed));
        let truncated = self.truncated.then(|| TRUNCATED.to_string());
        truncated.into_iter().chain(damage_warning(corrupt)).collect()
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
        for (index, warning) in self.warnings().iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"warnings\":[" } else { b"," });
            push_string(out, warning);
        }
        if !self.warnings().is_empty() {
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
