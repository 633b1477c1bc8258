//! Named places at which tests stop, fail or kill the store. The registry is handed in, so that tests stay parallel.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{Error, ErrorKind, Result};

/// What happens at a fail point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAction {
    /// It fails with [`ErrorKind::Unavailable`], once.
    Fail,
    /// It never returns; [`FailPoints::reached`] tells when it is there.
    Stall,
    /// The process ends at once, as by `kill -9`.
    Abort,
}

#[derive(Debug, Default)]
struct Inner {
    /// Point → how many times it still passes, and what happens then.
    armed: Mutex<HashMap<String, (u32, FailAction)>>,
    stalled: Notify,
}

/// Fail points by name; without any set, passing one costs a lock. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FailPoints(Arc<Inner>);

impl FailPoints {
    /// Names of the points that a flush passes, in order.
    pub const FLUSH: [&'static str; 7] = [
        "flush.sealed",
        "flush.built",
        "flush.object_put",
        "flush.committed",
        "flush.swapped",
        "flush.before_truncate",
        "flush.truncated",
    ];

    /// Names of the points that a delete passes besides those of its flush, in order.
    pub const DELETE: [&'static str; 2] = ["delete.flushed", "delete.committed"];

    /// Names of the points that a compaction round passes, in order. `compact.merged` comes before the object is finished:
    /// parts of a large one are stored by then.
    pub const COMPACT: [&'static str; 5] = [
        "compact.planned",
        "compact.merged",
        "compact.object_put",
        "compact.committed",
        "compact.swapped",
    ];

    /// Names of the points that retention and the deletion of objects pass, in the order of a cycle.
    pub const CLEAN: [&'static str; 6] = [
        "retain.committed",
        "retain.swapped",
        "remove.objects_deleted",
        "remove.committed",
        "sweep.committed",
        "sweep.objects_deleted",
    ];

    fn is_known(name: &str) -> bool {
        let lists: [&[&str]; 4] = [&Self::FLUSH, &Self::DELETE, &Self::COMPACT, &Self::CLEAN];
        lists.iter().any(|list| list.contains(&name))
    }

    /// Arms `point`: it passes `passes` times, then does `action`.
    pub fn arm(&self, point: &str, passes: u32, action: FailAction) {
        self.0.armed.lock().insert(point.to_string(), (passes, action));
    }

    /// Points from `name=action[:passes]`, comma-separated, actions `fail`, `stall` and `abort`; `None` where it is not of
    /// that form.
    pub fn parse(text: &str) -> Option<FailPoints> {
        let points = FailPoints::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (name, action) = part.split_once('=')?;
            let (action, passes) = action.split_once(':').unwrap_or((action, "0"));
            let action = match action {
                "fail" => FailAction::Fail,
                "stall" => FailAction::Stall,
                "abort" => FailAction::Abort,
                _ => return None,
            };
            if !Self::is_known(name) {
                return None;
            }
            points.arm(name, passes.parse().ok()?, action);
        }
        Some(points)
    }

    /// Returns when some point stalls.
    pub async fn reached(&self) {
        self.0.stalled.notified().await;
    }

    /// Passes `point`, or does what it is armed with.
    pub(crate) async fn pass(&self, point: &'static str) -> Result<()> {
        debug_assert!(Self::is_known(point));
        let action = {
            let mut armed = self.0.armed.lock();
            match armed.get_mut(point) {
                None => return Ok(()),
                Some((0, _)) => {}
                Some((passes, _)) => {
                    *passes -= 1;
                    return Ok(());
                }
            }
            armed.remove(point).map(|(_, action)| action)
        };
        match action {
            Some(FailAction::Fail) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("fail point {point} was armed to fail"),
            )),
            Some(FailAction::Stall) => {
                self.0.stalled.notify_one();
                std::future::pending().await
            }
            Some(FailAction::Abort) => std::process::abort(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_points_and_actions() {
        let check = |text: &str, valid: bool| assert_eq!(FailPoints::parse(text).is_some(), valid, "{text}");
        check("", true);
        check("flush.committed=abort", true);
        check("flush.committed=abort:3,flush.built=fail", true);
        check("flush.committed", false);
        check("flush.committed=explode", false);
        check("flush.none=fail", false);
    }
}
