//! The only door to the local disk: the [`Files`] trait, the real disk behind it, and the data folder's lock and identity.

mod files;
mod folder;
mod os;

pub use files::{AppendFile, FileInfo, FileLock, Files, FolderEntry, SharedFiles};
pub use folder::DataFolder;
pub(crate) use folder::disk_error;
pub use os::OsFiles;
