//! Reasons of refused rows, grouped as Loki groups them in its answer.

use crate::error::{IngestError, IngestErrorKind};

/// Distinct reasons that an answer names; the rest is counted. Loki names all, which can make an answer larger than the push.
const MAX_NAMED_REASONS: usize = 10;

/// What was refused of a request, and why.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refusals {
    groups: Vec<(String, u64)>,
    unnamed: u64,
    rows: u64,
    limited: Option<String>,
}

impl Refusals {
    /// Rows that were refused.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.limited.is_none() && self.unnamed == 0
    }

    /// Adds one error that refuses `rows` rows. The reason is only put into words where it will be named.
    pub(crate) fn add(&mut self, rows: u64, reason: impl FnOnce() -> String) {
        self.rows += rows;
        if self.groups.len() >= MAX_NAMED_REASONS {
            self.unnamed += 1;
            return;
        }
        let reason = reason();
        match self.groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.groups.push((reason, 1)),
        }
    }

    /// Counts further rows that fall under an error already added (the entries of a refused stream).
    pub(crate) fn add_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Rows refused by a limit that makes the answer 429; its first text outranks all other reasons, as in Loki
    /// (`pkg/distributor/distributor.go`, `EnforceLimits`).
    pub(crate) fn limit(&mut self, rows: u64, reason: impl FnOnce() -> String) {
        self.rows += rows;
        self.limited.get_or_insert_with(reason);
    }

    /// The error to answer with, `None` where nothing was refused. Rows that were not refused are stored all the same.
    pub fn error(&self) -> Option<IngestError> {
        if let Some(reason) = &self.limited {
            return Some(IngestError::new(IngestErrorKind::RateLimited, reason.as_str()));
        }
        (!self.is_empty()).then(|| IngestError::bad_request(self.message()))
    }

    /// All reasons, joined as Loki does (`pkg/util/errors`, `GroupedErrors`), in the order of their first row.
    fn message(&self) -> String {
        let alone = self.groups.len() == 1 && self.groups.iter().all(|(_, count)| *count == 1);
        let mut parts: Vec<String> = self
            .groups
            .iter()
            .map(|(reason, count)| match alone {
                true => reason.clone(),
                false => format!("{count} errors like: {reason}"),
            })
            .collect();
        if self.unnamed > 0 {
            parts.push(format!("{} more errors", self.unnamed));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(reasons: &[&str]) -> String {
        let mut refusals = Refusals::default();
        for reason in reasons {
            refusals.add(1, || (*reason).to_string());
        }
        refusals.error().unwrap().message().to_string()
    }

    #[test]
    fn reasons_are_grouped_as_loki_groups_them() {
        assert_eq!(message(&["a"]), "a");
        assert_eq!(message(&["a", "a"]), "2 errors like: a");
        assert_eq!(message(&["a", "b", "a"]), "2 errors like: a; 1 errors like: b");
        assert!(Refusals::default().error().is_none());
    }

    #[test]
    fn an_answer_names_only_so_many() {
        let mut refusals = Refusals::default();
        for index in 0..50 {
            refusals.add(2, || format!("r{index}"));
        }
        let message = refusals.error().unwrap().message().to_string();
        assert!(message.ends_with("1 errors like: r9; 40 more errors"), "{message}");
        assert_eq!(refusals.rows(), 100);
    }

    #[test]
    fn a_limit_outranks_other_reasons() {
        let mut refusals = Refusals::default();
        refusals.add(1, || "bad".to_string());
        refusals.limit(3, || "limit".to_string());
        let error = refusals.error().unwrap();
        assert_eq!((error.kind(), error.message()), (IngestErrorKind::RateLimited, "limit"));
        assert_eq!(refusals.rows(), 4);
    }
}
