//! `/loki/api/v1/rules` and `/api/prom/rules`: there is no ruler, so that every tenant has no rules (loki
//! `pkg/ruler/base/api.go`, with its texts).

use crate::error::{Failure, FailureKind, TextFailure};
use crate::server::Ask;

/// All groups, or those of a namespace.
pub async fn list(_ask: Ask) -> TextFailure {
    TextFailure(Failure::new(FailureKind::NotFound, "no rule groups found"))
}

/// One group, to read or to delete.
pub async fn group(_ask: Ask) -> TextFailure {
    TextFailure(Failure::new(FailureKind::NotFound, "group does not exist"))
}

/// A namespace, to delete.
pub async fn namespace(_ask: Ask) -> TextFailure {
    TextFailure(Failure::new(FailureKind::NotFound, "group namespace does not exist"))
}

/// A group to be kept.
pub async fn create(_ask: Ask) -> TextFailure {
    TextFailure(Failure::new(
        FailureKind::NotImplemented,
        "garner does not evaluate rules yet",
    ))
}
