//! What a query needs of a parser, so that parsers extract no more: the labels that something above uses, and the label
//! filters that can drop a line as soon as their label is known.
//!
//! The rules are those of Loki's parser hints (grafana/loki `pkg/logql/log/parser_hints.go`), because they show: a parser
//! that stops early finds no error in the rest of the line.

use super::label_filter::Filter;
use super::row::{DUPLICATE_SUFFIX, ERROR, Row};

/// What is needed of parsers.
#[derive(Debug, Default)]
pub struct Hints {
    no_labels: bool,
    required: Vec<String>,
    filters: Vec<(String, Filter)>,
}

impl Hints {
    /// The hints of a pipeline. `used` are the labels its stages read, `groups` those its answer is grouped by, `value`
    /// the unwrapped one.
    pub fn new(
        used: &[String],
        groups: &[String],
        without: bool,
        no_labels: bool,
        value: Option<&str>,
        filters: Vec<(String, Filter)>,
    ) -> Self {
        let mut required: Vec<String> = Vec::new();
        for name in used.iter().chain(groups).map(String::as_str).chain(value) {
            let plain = name.strip_suffix(DUPLICATE_SUFFIX);
            for name in [Some(name), plain].into_iter().flatten() {
                if !name.is_empty() && !required.iter().any(|r| r == name) {
                    required.push(name.to_string());
                }
            }
        }
        if no_labels {
            return match required.is_empty() {
                true => Hints {
                    no_labels: true,
                    ..Hints::default()
                },
                false => Hints {
                    required,
                    filters,
                    no_labels: false,
                },
            };
        }
        if without || groups.is_empty() {
            return Hints {
                filters,
                ..Hints::default()
            };
        }
        Hints {
            required,
            ..Hints::default()
        }
    }

    pub(super) fn is_required(&self, name: &str) -> bool {
        self.required.iter().any(|r| r == name)
    }

    /// Whether parsers have nothing (more) to do on this line.
    pub(super) fn is_satisfied(&self, row: &Row) -> bool {
        self.no_labels || self.all_required_found(row)
    }

    /// Whether every required label has been extracted.
    pub(super) fn all_required_found(&self, row: &Row) -> bool {
        !self.required.is_empty() && row.required_found() as usize >= self.required.len()
    }

    /// Whether a parser should set this label.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.required.is_empty() || self.is_required(name)
    }

    /// Whether a parser can pass over a field of this name: nothing above needs it, under its own name or that of a duplicate.
    pub(super) fn skips(&self, name: &str) -> bool {
        let same = |required: &String| match required.len() == name.len() {
            true => required == name,
            false => required.strip_suffix(DUPLICATE_SUFFIX) == Some(name),
        };
        !self.required.is_empty() && !self.required.iter().any(same)
    }

    /// Whether a parser should look into an object under this prefix.
    pub(super) fn wants_prefix(&self, prefix: &str) -> bool {
        self.required.is_empty() || self.required.iter().any(|r| r.starts_with(prefix))
    }

    /// Whether the query asks for `__error__`, so that errors must not fail it.
    pub(super) fn preserves_errors(&self) -> bool {
        self.is_required(ERROR)
    }

    /// Whether the line can still pass now that `name` is known.
    pub(super) fn passes(&self, name: &str, row: &mut Row) -> bool {
        match self.filters.iter().find(|(n, _)| n == name) {
            Some((_, filter)) => filter.passes(row),
            None => true,
        }
    }
}
