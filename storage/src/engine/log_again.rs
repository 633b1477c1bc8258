//! Exemplars and metadata without samples make no segment. Where they keep the log from being cut, they are written to its
//! end once more, and the catalog notes that the lane needs nothing before it. Deletes go the same way: tombstones cover
//! segments, so exemplars that will be in none are left out of what is written once more.

use std::sync::Arc;

use super::lane::Lane;
use super::shared::Shared;
use crate::deletes::RowFilter;
use crate::error::Result;
use crate::head::{Head, Rows};
use crate::model::{Labels, TimeRange, Timestamp};
use crate::wal::{LaneKey, PendingRows, RowsBody, encode_rows};

/// Writes what the open head of `lane` has besides rows to the end of the log, where it has no rows. The caller holds the
/// gate's write side. Exemplars that `deleted` hides are left out. On an error all stays as it was.
pub(super) async fn log_again(
    shared: &Arc<Shared>,
    lane: &Arc<Lane>,
    now: Timestamp,
    deleted: &RowFilter,
) -> Result<()> {
    let Some(wal) = shared.wal.get() else { return Ok(()) };
    let Some((head, rows)) = lane.loose(&shared.components.accountant, deleted)? else {
        return Ok(());
    };
    let rows = Rows::Samples(rows);
    let position = wal.position();
    if rows.is_empty() {
        lane.renew(head, position, now);
        return Ok(());
    }
    let pending = Again {
        lane: lane.clone(),
        head: head.clone(),
        body: encode_rows(&lane.tenant, &rows)?,
        rows,
        now,
    };
    wal.append(Box::new(pending)).await?;
    lane.renew(head, position, now);
    Ok(())
}

#[derive(Debug)]
struct Again {
    lane: Arc<Lane>,
    head: Arc<Head>,
    rows: Rows,
    body: RowsBody,
    now: Timestamp,
}

impl PendingRows for Again {
    fn lane(&self) -> &LaneKey {
        &self.lane.key
    }

    fn time_range(&self) -> TimeRange {
        self.rows.time_range()
    }

    fn series(&self) -> [&[u32]; 2] {
        [self.rows.series(), self.rows.exemplar_series()]
    }

    fn index_generation(&self) -> u64 {
        self.head.index().generation()
    }

    fn labels(&self, id: u32) -> Labels {
        self.head.index().labels(id).unwrap_or_default()
    }

    fn body(&self) -> &RowsBody {
        &self.body
    }

    fn make_visible(&mut self) {
        self.head.append(&self.rows, self.now);
    }
}
