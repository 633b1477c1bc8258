//! The data folder: held by one server at a time, and the identity of the writer whose WAL lies in it.
//!
//! ```text
//! <data folder>/LOCK          locked while a server uses the folder
//! <data folder>/writer.json   {"format":1,"writer":"<id>"}
//! <data folder>/wal/          see wal/FORMAT.md
//! ```
//!
//! The writer id ties WAL positions in the catalog to this WAL: a folder that was lost comes back with a new id, so
//! positions of the lost WAL can never be taken for positions of the new one.

use std::io;
use std::path::{Path, PathBuf};

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use super::files::{FileLock, SharedFiles};
use crate::error::{Error, ErrorKind, Result};
use crate::object::paths::WriterId;

/// Format of the data folder this program reads and writes.
const FOLDER_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct WriterFile {
    format: u32,
    writer: WriterId,
}

/// A locked data folder. Dropping it releases the lock.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    writer: WriterId,
    _lock: Box<dyn FileLock>,
}

impl DataFolder {
    /// Creates the folder where it is missing, locks it and reads or makes its writer id.
    ///
    /// Refused with [`ErrorKind::Unavailable`] while another server holds the folder, and with [`ErrorKind::Invalid`]
    /// where a newer garner wrote it.
    pub fn open(files: &SharedFiles, path: &Path, rng: &mut dyn RngCore) -> Result<DataFolder> {
        files
            .create_dir_all(path)
            .map_err(|e| disk_error("cannot create data folder", path, e))?;
        let lock_path = path.join("LOCK");
        let lock = files.lock(&lock_path).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::new(
                ErrorKind::Unavailable,
                format!(
                    "data folder {} is in use by another garner; stop it or choose another --data-dir",
                    path.display()
                ),
            ),
            _ => disk_error("cannot lock", &lock_path, e),
        })?;
        let writer = writer_id(files, path, rng)?;
        Ok(DataFolder {
            path: path.to_path_buf(),
            writer,
            _lock: lock,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Identity of the WAL in it.
    pub fn writer(&self) -> &WriterId {
        &self.writer
    }
}

fn writer_id(files: &SharedFiles, folder: &Path, rng: &mut dyn RngCore) -> Result<WriterId> {
    let path = folder.join("writer.json");
    match files.read(&path) {
        Ok(bytes) => parse_writer(&path, &bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let writer = WriterId::from_random(rng.random());
            create_writer(files, folder, &path, writer.clone()).map_err(|e| disk_error("cannot write", &path, e))?;
            Ok(writer)
        }
        Err(e) => Err(disk_error("cannot read", &path, e)),
    }
}

fn parse_writer(path: &Path, bytes: &[u8]) -> Result<WriterId> {
    let corrupt = || {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "{} is damaged: expected {{\"format\":1,\"writer\":\"<id>\"}}; restore it, or move the data folder away after saving its WAL",
                path.display()
            ),
        )
    };
    let file: WriterFile = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
    if file.format > FOLDER_FORMAT {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{} has format {}, this garner knows up to {FOLDER_FORMAT}; start a newer garner on this folder",
                path.display(),
                file.format
            ),
        ));
    }
    Ok(file.writer)
}

fn create_writer(files: &SharedFiles, folder: &Path, path: &Path, writer: WriterId) -> io::Result<()> {
    let temporary = folder.join("writer.json.tmp");
    // A leftover of a start that was cut off.
    match files.remove(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let content = WriterFile {
        format: FOLDER_FORMAT,
        writer,
    };
    let mut file = files.create_new(&temporary)?;
    file.append(&serde_json::to_vec(&content)?)?;
    file.sync()?;
    files.rename(&temporary, path)?;
    files.sync_dir(folder)
}

/// An error of the local disk about `path`: the store cannot go on now, and may when the disk is well again.
pub(crate) fn disk_error(what: &str, path: &Path, error: io::Error) -> Error {
    Error::with_source(ErrorKind::Unavailable, format!("{what} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::file::OsFiles;

    #[test]
    fn a_folder_keeps_its_writer_and_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let files: SharedFiles = Arc::new(OsFiles);
        let path = dir.path().join("a/b");
        let first = DataFolder::open(&files, &path, &mut StdRng::seed_from_u64(1)).unwrap();
        let second = DataFolder::open(&files, &path, &mut StdRng::seed_from_u64(2)).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Unavailable);
        assert!(second.to_string().contains("is in use by another garner"), "{second}");
        let writer = first.writer().clone();
        drop(first);
        let third = DataFolder::open(&files, &path, &mut StdRng::seed_from_u64(2)).unwrap();
        assert_eq!(*third.writer(), writer);
    }

    #[test]
    fn a_newer_or_damaged_folder_is_refused() {
        let path = Path::new("writer.json");
        let check = |content: &str, expected| {
            assert_eq!(parse_writer(path, content.as_bytes()).unwrap_err().kind(), expected);
        };
        check(r#"{"format":2,"writer":"00"}"#, ErrorKind::Invalid);
        check(r#"{"format":1,"writer":"a/b"}"#, ErrorKind::Corrupt);
        check("", ErrorKind::Corrupt);
    }
}
