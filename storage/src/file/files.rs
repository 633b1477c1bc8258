//! What garner asks of a disk. Everything is blocking; callers inside async code move to a blocking thread.
//!
//! Durability is explicit, as on a real disk: bytes are durable once [`AppendFile::sync`] returned `Ok`, a name (created,
//! renamed, linked or removed) once [`Files::sync_dir`] of its folder did. After a failed sync nothing may be assumed
//! about the bytes it covered.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::Timestamp;

/// A shared disk.
pub type SharedFiles = Arc<dyn Files>;

/// A disk.
pub trait Files: Send + Sync + Debug + 'static {
    /// Creates the folder and its missing parents and makes their names durable.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates an empty file for appending; `AlreadyExists` where there is one.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// Opens an existing file for appending at its end.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Bytes>;

    /// Bytes `range` of the file; `UnexpectedEof` where it is shorter.
    fn read_range(&self, path: &Path, range: Range<u64>) -> io::Result<Bytes>;

    /// Size and age of a file or folder; `NotFound` where there is none.
    fn info(&self, path: &Path) -> io::Result<FileInfo>;

    /// Renames, replacing what is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives the file a second name, atomically; `AlreadyExists` where `to` exists.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The direct entries of a folder in no particular order; `NotFound` where there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<FolderEntry>>;

    /// Makes the names inside `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of a file, creating it; `WouldBlock` while another process or handle holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// A file open for appending.
pub trait AppendFile: Send + Debug {
    /// Appends all of `bytes`. After an error any prefix of them may be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended is durable (fdatasync).
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to its first `len` bytes; later appends go behind them.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// Holds a lock until dropped.
pub trait FileLock: Send + Sync + Debug {}

/// Size and age of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Size in bytes.
    pub len: u64,
    /// Last change.
    pub modified: Timestamp,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// Name without its folder. Names that are not UTF-8 are left out of listings: garner makes none.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}
