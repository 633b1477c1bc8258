//! Every object path of garner is built and parsed here.
//!
//! ```text
//! v1/segments/<yyyy-mm-dd>/<writer>-<created ns, 20 digits>-<seq>.seg    segments of several tenants, flushed together
//! v1/catalog/<version, 20 digits>.delta                                  one commit
//! v1/catalog/<version, 20 digits>.checkpoint                             the whole catalog at that version
//! v1/probe                                                               always the same bytes, see `catalog/probe.rs`
//! v1/check/<run>/...                                                     made and removed by `garner storage check`
//! v1/writer.heartbeat                                                    who writes, in single-writer mode
//! ```
//!
//! Paths are relative to the bucket's prefix. A tenant's name is part of no path: segments of several tenants share an
//! object, and the catalog says which byte range is whose.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Longest writer name in bytes.
const MAX_WRITER_ID_BYTES: usize = 32;

/// All catalog objects lie below this.
pub const CATALOG_PREFIX: &str = "v1/catalog";
/// All segment objects lie below this.
pub const SEGMENTS_PREFIX: &str = "v1/segments";
/// The object by which a start finds out whether the store creates conditionally.
pub const PROBE: &str = "v1/probe";
/// Objects that a check of the bucket makes and removes lie below this.
pub const CHECK_PREFIX: &str = "v1/check";
/// The heartbeat of single-writer mode.
pub const HEARTBEAT: &str = "v1/writer.heartbeat";

/// The name of one process that writes (the owner of one WAL): 1 to 32 of `0-9a-z`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriterId(Arc<str>);

/// A text that is no writer's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("writer id {0:?} is not 1 to 32 characters of 0-9a-z")]
pub struct WriterIdError(String);

impl WriterId {
    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, WriterIdError> {
        let allowed = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        if name.is_empty() || name.len() > MAX_WRITER_ID_BYTES || !name.bytes().all(allowed) {
            return Err(WriterIdError(name.to_string()));
        }
        Ok(WriterId(name.into()))
    }

    /// The writer's name made of a random number: 16 hexadecimal digits.
    pub fn from_random(random: u64) -> Self {
        WriterId(format!("{random:016x}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for WriterId {
    type Error = WriterIdError;
    fn try_from(name: String) -> Result<Self, WriterIdError> {
        WriterId::new(&name)
    }
}

impl From<WriterId> for String {
    fn from(writer: WriterId) -> String {
        writer.0.to_string()
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterId({})", self.0)
    }
}

/// The path of a new segment object. A writer never uses one pair (`created`, `seq`) twice: an object is never written
/// over, since an older catalog version may still refer to it.
pub fn segment_object(writer: &WriterId, created: Timestamp, seq: u64) -> String {
    let created = u64::try_from(created).unwrap_or(0);
    let (year, month, day) = civil_date((created / 86_400_000_000_000) as i64);
    format!("{SEGMENTS_PREFIX}/{year:04}-{month:02}-{day:02}/{writer}-{created:020}-{seq}.seg")
}

/// When the object of a segment path was made, by the clock of its writer; `None` for foreign objects.
pub fn segment_created(path: &str) -> Option<Timestamp> {
    let (_, name) = path.strip_prefix(SEGMENTS_PREFIX)?.strip_prefix('/')?.split_once('/')?;
    let mut parts = name.strip_suffix(".seg")?.split('-');
    let (writer, created, seq) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, len: Option<usize>| {
        let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        all && len.is_none_or(|len| text.len() == len)
    };
    if parts.next().is_some() || WriterId::new(writer).is_err() || !digits(created, Some(20)) || !digits(seq, None) {
        return None;
    }
    created.parse().ok()
}

/// The path of the delta that makes catalog version `version`.
pub fn catalog_delta(version: u64) -> String {
    format!("{CATALOG_PREFIX}/{version:020}.delta")
}

/// The path of the checkpoint that holds catalog version `version`.
pub fn catalog_checkpoint(version: u64) -> String {
    format!("{CATALOG_PREFIX}/{version:020}.checkpoint")
}

/// What a path below [`CATALOG_PREFIX`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CatalogObject {
    /// The whole catalog at a version.
    Checkpoint(u64),
    /// The commit that makes a version.
    Delta(u64),
}

/// Reads a path below [`CATALOG_PREFIX`]; `None` for foreign objects.
pub fn parse_catalog(path: &str) -> Option<CatalogObject> {
    let name = path.strip_prefix(CATALOG_PREFIX)?.strip_prefix('/')?;
    let (digits, kind) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let version = digits.parse().ok()?;
    match kind {
        "checkpoint" => Some(CatalogObject::Checkpoint(version)),
        "delta" => Some(CatalogObject::Delta(version)),
        _ => None,
    }
}

/// Year, month, day of a day number since 1970-01-01, proleptic Gregorian (Howard Hinnant, "chrono-compatible low-level
/// date algorithms", civil_from_days).
fn civil_date(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_are_built_and_parsed() {
        let writer = WriterId::new("0a1b").unwrap();
        assert_eq!(
            segment_object(&writer, 1_763_789_892_000_000_007, 3),
            "v1/segments/2025-11-22/0a1b-01763789892000000007-3.seg"
        );
        let created = segment_created("v1/segments/2025-11-22/0a1b-01763789892000000007-3.seg");
        assert_eq!(created, Some(1_763_789_892_000_000_007));
        for foreign in [
            "v1/segments/2025-11-22/0a1b-1763789892000000007-3.seg",
            "v1/segments/2025-11-22/0a1b-01763789892000000007-3.tmp",
            "v1/segments/2025-11-22/0a1b-01763789892000000007.seg",
            "v1/segments/2025-11-22/0A1B-01763789892000000007-3.seg",
            "v1/segments/2025-11-22/0a1b-99999999999999999999-3.seg",
            "v1/segments/0a1b-01763789892000000007-3.seg",
            "v1/catalog/00000000000000000007.delta",
        ] {
            assert_eq!(segment_created(foreign), None, "{foreign}");
        }
        assert_eq!(parse_catalog(&catalog_delta(7)), Some(CatalogObject::Delta(7)));
        assert_eq!(
            parse_catalog(&catalog_checkpoint(u64::MAX)),
            Some(CatalogObject::Checkpoint(u64::MAX))
        );
        for foreign in [
            "v1/catalog/7.delta",
            "v1/catalog/00000000000000000007.tmp",
            "v1/catalog/+0000000000000000007.delta",
            "v1/catalog/99999999999999999999.delta",
            "v1/other/00000000000000000007.delta",
        ] {
            assert_eq!(parse_catalog(foreign), None, "{foreign}");
        }
        for bad in ["", "A", "a/b", "..", &"a".repeat(33)] {
            assert!(WriterId::new(bad).is_err(), "{bad}");
        }
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(19_782), (2024, 2, 29));
    }
}
