//! The disk half of the cache: its folder, and how foyer lays it out.
//!
//! What foyer cannot be handed: it opens, reads and writes its files itself, past [`crate::file::Files`], by which only the
//! folder is prepared, and asks the system's clock for its own metrics. So there is no disk half in simulations; nothing that
//! lives there decides an answer.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use foyer::{BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCacheProperties};

use super::piece::{Piece, PieceKey};
use crate::file::Files;

/// Where pieces are kept over restarts, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCacheSettings {
    /// A folder of its own, made where it is missing.
    pub path: PathBuf,
    /// Bytes of the files in it.
    pub max_bytes: u64,
}

/// The files that foyer cuts the budget into are what it overwrites at one time, oldest first, and keeps open.
const FILES: u64 = 128;
const MIN_FILE_BYTES: u64 = 256 << 10;
/// Fewest files: one that is written, one that is emptied, two that are read.
const MIN_FILES: u64 = 4;
/// Files that are empty when foyer starts.
const EMPTY_FILES: u64 = 2;
/// Largest buffer of bytes on their way to disk; foyer has two. Larger pieces are not written.
const MAX_BUFFER_BYTES: u64 = 16 << 20;
/// Bytes of memory by which foyer finds a piece on disk, and what a piece has on average, taken low.
const INDEX_BYTES: u64 = 72;
const PIECE_BYTES: u64 = 32 << 10;
const PAGE_BYTES: u64 = 4 << 10;
/// What foyer calls its files.
const FILE_PREFIX: &str = "foyer-storage-direct-fs-";

/// A disk half that can be used.
pub(super) struct Layout {
    path: PathBuf,
    file_bytes: u64,
    files: u64,
}

impl Layout {
    /// Makes the folder, sees that it can be written, and removes files of another budget: foyer would leave them. Blocks.
    pub fn prepare(settings: &DiskCacheSettings, disk: &dyn Files) -> Result<Layout> {
        let file_bytes = (settings.max_bytes / FILES)
            .next_multiple_of(PAGE_BYTES)
            .max(MIN_FILE_BYTES);
        // foyer counts bytes of a file in 32 bits.
        let file_bytes = file_bytes.min(2 << 30);
        let files = settings.max_bytes / file_bytes;
        if files < MIN_FILES {
            let least = MIN_FILES * MIN_FILE_BYTES;
            let message = format!("{} bytes are too few, {least} the least", settings.max_bytes);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        disk.create_dir_all(&settings.path)?;
        let probe = settings.path.join("probe");
        // One may be left of a process that died here.
        let _ = disk.remove(&probe);
        disk.create_new(&probe)?.append(b"probe")?;
        disk.remove(&probe)?;
        for entry in disk.list(&settings.path)? {
            let Some(number) = entry.name.strip_prefix(FILE_PREFIX) else {
                continue;
            };
            let path = settings.path.join(&entry.name);
            let ours = number.parse().is_ok_and(|number: u64| number < files);
            if !ours || disk.info(&path)?.len != file_bytes {
                disk.remove(&path)?;
            }
        }
        let layout = Layout {
            path: settings.path.clone(),
            file_bytes,
            files,
        };
        layout.make_room(disk)?;
        Ok(layout)
    }

    /// Removes the oldest files until [`EMPTY_FILES`] are empty or missing. foyer (0.22) empties files only as others become
    /// full: where a crash or a smaller budget left it none to write to, it would wait for one for ever.
    fn make_room(&self, disk: &dyn Files) -> Result<()> {
        let mut full = Vec::new();
        for number in 0..self.files {
            let path = self.path.join(format!("{FILE_PREFIX}{number:08}"));
            let info = match disk.info(&path) {
                Ok(info) => info,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let begin = disk.read_range(&path, 0..PAGE_BYTES)?;
            if begin.iter().any(|byte| *byte != 0) {
                full.push((info.modified, path));
            }
        }
        full.sort();
        let most = self.files.saturating_sub(EMPTY_FILES) as usize;
        for (_, path) in full.iter().take(full.len().saturating_sub(most)) {
            disk.remove(path)?;
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that foyer takes at one time.
    pub fn buffer_bytes(&self) -> u64 {
        self.file_bytes.min(MAX_BUFFER_BYTES)
    }

    /// Memory that foyer takes for it: two buffers, and the index of a full disk.
    pub fn memory_bytes(&self) -> u64 {
        2 * self.buffer_bytes() + self.file_bytes * self.files / PIECE_BYTES * INDEX_BYTES
    }

    /// What foyer is opened with. Blocks.
    pub fn engine(&self) -> foyer::Result<BlockEngineConfig<PieceKey, Piece, HybridCacheProperties>> {
        // foyer asks for the free space of the folder and panics where there is none: `prepare` has made it.
        let device = FsDeviceBuilder::new(&self.path)
            .with_capacity((self.file_bytes * self.files) as usize)
            .build()?;
        Ok(BlockEngineConfig::new(device)
            .with_block_size(self.file_bytes as usize)
            .with_buffer_pool_size(self.buffer_bytes() as usize)
            .with_submit_queue_size_threshold(self.buffer_bytes() as usize))
    }
}
