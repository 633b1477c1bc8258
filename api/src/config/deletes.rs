//! `[deletes]`: who may delete, and for how long it can be taken back.

use std::time::Duration;

use super::error::ConfigError;
use super::reader::{BOOL, COUNT, DURATION, Reader};

/// The resolved group.
#[derive(Clone, Debug)]
pub struct DeleteSettings {
    /// `deletes.enabled`
    pub enabled: bool,
    /// `deletes.cancel_period`
    pub cancel_period: Duration,
    /// `deletes.max_pending`
    pub max_pending: usize,
}

impl DeleteSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        Ok(DeleteSettings {
            enabled: from.get(
                "deletes.enabled",
                &BOOL,
                "true",
                "Whether tenants can delete: samples by Prometheus' `/api/v1/admin/tsdb/delete_series`, logs by Loki's \
                 `/loki/api/v1/delete`.",
            )?,
            cancel_period: from.get(
                "deletes.cancel_period",
                &DURATION,
                "24h",
                "How long a delete of logs can be cancelled. Deleted rows are out of all answers at once, but keep their \
                 room on the object store that long.",
            )?,
            max_pending: from.get(
                "deletes.max_pending",
                &COUNT,
                "1000",
                "Most deletes of a tenant that wait to be carried out; further ones are refused. Each makes reads of what it \
                 covers dearer until compaction has left its rows out.",
            )?,
        })
    }
}
