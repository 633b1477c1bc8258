//! `[cache]`: what is kept of what queries read and answered.

use std::path::{Path, PathBuf};

use garner_storage::pieces::{DiskCacheSettings, PieceCacheSettings};

use super::error::ConfigError;
use super::raw::RawValue;
use super::reader::{Kind, Reader, SIZE, TEXT, scalar_text};
use super::size::parse_size;

/// What `cache.disk_size = "auto"` means where the object store is not a local folder.
const DEFAULT_DISK_BYTES: u64 = 4 << 30;
/// The folder in the data folder where `cache.disk_path` is empty.
const DEFAULT_FOLDER: &str = "cache";

const SIZE_OR_AUTO: Kind<Option<u64>> = Kind::new(
    r#""auto" or a size such as "512KB" or "4MB""#,
    |value: &RawValue| match scalar_text(value)? {
        "auto" => Some(None),
        text => parse_size(text).map(Some),
    },
);

/// The resolved group.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Of pieces of segments.
    pub pieces: PieceCacheSettings,
    /// `cache.result_size`
    pub result_bytes: u64,
}

/// Declares and reads the group. `data_dir` is where the store lies; `is_remote` tells whether objects are elsewhere than in
/// a local folder.
pub fn read(from: &mut Reader<'_>, data_dir: &Path, is_remote: bool) -> Result<CacheSettings, ConfigError> {
    let memory_bytes = from.get(
        "cache.memory_size",
        &SIZE,
        "64MB",
        "Memory for pieces of segments as they lie in the object store (pages, indexes), kept for later queries, inside \
         `memory.limit`; 0 keeps none.",
    )?;
    let disk_bytes = from.get(
        "cache.disk_size",
        &SIZE_OR_AUTO,
        "auto",
        "Disk for the same, which survives restarts and spares requests to the object store; 0 keeps none, `auto` means \
         4GB. The files are made at once but filled as queries read. Where objects lie in a local folder there is never a \
         disk cache.",
    )?;
    let path = from.get(
        "cache.disk_path",
        &TEXT,
        "",
        "Folder of the disk cache, for nothing else and for one garner only; empty means `cache` in `storage.data_dir`. \
         What is in it can be deleted while garner does not run.",
    )?;
    let result_bytes = from.get(
        "cache.result_size",
        &SIZE,
        "32MB",
        "Memory for results of PromQL queries and LogQL metric queries, inside `memory.limit`; 0 keeps none. A result is used \
         while it is exact: as long as the segments that it was read from are the same and no recent row is in its range.",
    )?;
    let max_bytes = disk_bytes.unwrap_or(DEFAULT_DISK_BYTES);
    let pieces = PieceCacheSettings {
        memory_bytes,
        disk: (is_remote && max_bytes > 0).then(|| DiskCacheSettings {
            path: match path.as_str() {
                "" => data_dir.join(DEFAULT_FOLDER),
                path => PathBuf::from(path),
            },
            max_bytes,
        }),
    };
    Ok(CacheSettings { pieces, result_bytes })
}
