//! `POST /garner/api/v1/admin/compact`: there is no compaction yet.

use crate::error::{Failure, FailureKind, TextFailure};

/// 501.
pub async fn compact() -> TextFailure {
    TextFailure(Failure::new(FailureKind::NotImplemented, "compaction is not built yet"))
}
