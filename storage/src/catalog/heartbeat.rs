//! Single-writer mode: an object that says who writes, by which a second writer is noticed.
//!
//! Where a store cannot create conditionally, two writers could overwrite each other's commits. Nothing here prevents
//! that; each commit looks whether somebody else beats, says so loudly, and beats itself.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, Result};
use crate::model::Timestamp;
use crate::object::Bucket;
use crate::object::paths::HEARTBEAT;

#[derive(Debug, Serialize, Deserialize)]
struct Beat {
    /// Drawn when the catalog was opened: tells two runs of one writer apart.
    instance: String,
    at_ns: i64,
}

/// The heartbeat of one open catalog.
#[derive(Debug)]
pub(super) struct Heartbeat {
    instance: String,
    last_beat: Option<Timestamp>,
}

impl Heartbeat {
    pub fn new(instance: String) -> Self {
        Heartbeat {
            instance,
            last_beat: None,
        }
    }

    /// Beats. True where somebody else has beaten since our last beat.
    pub async fn beat(&mut self, bucket: &Bucket, now: Timestamp) -> Result<bool> {
        let found: Option<Beat> = match bucket.get(HEARTBEAT).await {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // The first beat after a start takes over from the run before, whose last beat is no second writer.
        let other = self.last_beat.is_some() && found.is_some_and(|beat| beat.instance != self.instance);
        let beat = Beat {
            instance: self.instance.clone(),
            at_ns: now,
        };
        let bytes = serde_json::to_vec(&beat).unwrap_or_default();
        bucket.put(HEARTBEAT, bytes.into()).await?;
        self.last_beat = Some(now);
        Ok(other)
    }
}
