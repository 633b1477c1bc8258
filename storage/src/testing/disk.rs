//! A disk in memory that behaves as badly as disks may: it forgets what was not synced, runs full, and fails.
//!
//! A [`SimDisk`] outlives the programs that use it; each program sees it through a [`SimFiles`] of its own. After a
//! [`SimDisk::crash`] or [`SimDisk::power_loss`] the old ones fail at everything, as if their process were gone.
//!
//! What survives a power loss: of each file the bytes that were synced and a random part of what was appended since (its
//! last bytes possibly garbage); of each folder the names that were synced. A name that was removed without a sync may
//! come back, a name that was made without one is gone.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::file::{AppendFile, FileInfo, FileLock, Files, FolderEntry};

/// The error code of a full disk (errno.h, `ENOSPC`).
const ENOSPC: i32 = 28;

#[derive(Debug, Default, Clone)]
struct Inode {
    bytes: Vec<u8>,
    synced: usize,
}

/// Names inside one folder: file's inode, or `None` for a folder.
type Names = BTreeMap<String, Option<u64>>;

#[derive(Debug)]
struct State {
    inodes: HashMap<u64, Inode>,
    folders: HashMap<PathBuf, Names>,
    synced_folders: HashMap<PathBuf, Names>,
    locks: HashSet<PathBuf>,
    next_inode: u64,
    /// Programs of older generations are gone.
    generation: u64,
    capacity: Option<usize>,
    failing_appends: bool,
    failing_syncs: bool,
    sync_delay: Duration,
    rng: StdRng,
    syncs: u64,
}

/// The disk itself. Clones are one disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk; `seed` decides what a power loss keeps.
    pub fn new(seed: u64) -> Self {
        let root = PathBuf::from("/");
        SimDisk(Arc::new(Mutex::new(State {
            inodes: HashMap::new(),
            folders: [(root.clone(), Names::new())].into_iter().collect(),
            synced_folders: [(root, Names::new())].into_iter().collect(),
            locks: HashSet::new(),
            next_inode: 0,
            generation: 0,
            capacity: None,
            failing_appends: false,
            failing_syncs: false,
            sync_delay: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            syncs: 0,
        })))
    }

    /// The disk as the next program sees it.
    pub fn files(&self) -> SimFiles {
        SimFiles {
            generation: self.0.lock().generation,
            disk: self.clone(),
        }
    }

    /// The program dies: its locks and open files are gone, everything written stays.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        state.generation += 1;
        state.locks.clear();
    }

    /// The power fails: see the module docs.
    pub fn power_loss(&self) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        state.generation += 1;
        state.locks.clear();
        state.folders = state.synced_folders.clone();
        for inode in state.inodes.values_mut() {
            let kept = state.rng.random_range(inode.synced..=inode.bytes.len());
            inode.bytes.truncate(kept);
            if kept > inode.synced && state.rng.random_bool(0.3) {
                let from = state.rng.random_range(inode.synced..kept);
                inode.bytes[from..].fill(0);
            }
            inode.synced = kept;
        }
    }

    /// Holds at most `bytes` from now on; `None` for no limit. Appends beyond fail as on a full disk, half written.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.0.lock().capacity = bytes;
    }

    /// Makes every append fail with an I/O error, half written.
    pub fn fail_appends(&self, fail: bool) {
        self.0.lock().failing_appends = fail;
    }

    /// Makes every sync of a file fail.
    pub fn fail_syncs(&self, fail: bool) {
        self.0.lock().failing_syncs = fail;
    }

    /// Makes every sync of a file take this long: without it a crash hardly ever falls between a write and its sync.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.0.lock().sync_delay = delay;
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> usize {
        self.0.lock().inodes.values().map(|i| i.bytes.len()).sum()
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.0.lock();
        let inode = state.file(path)?;
        let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        change(&mut inode.bytes);
        inode.synced = inode.bytes.len();
        Ok(())
    }
}

impl State {
    fn names(&mut self, path: &Path) -> io::Result<(&mut Names, String)> {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let names = self.folders.get_mut(parent).ok_or(io::ErrorKind::NotFound)?;
        Ok((names, name.to_string()))
    }

    fn file(&mut self, path: &Path) -> io::Result<u64> {
        let (names, name) = self.names(path)?;
        match names.get(&name) {
            Some(Some(inode)) => Ok(*inode),
            Some(None) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn free_bytes(&self) -> usize {
        let used: usize = self.inodes.values().map(|i| i.bytes.len()).sum();
        self.capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    /// Forgets files that no name leads to any more, now or after a power loss.
    fn collect(&mut self) {
        let names = self.folders.values().chain(self.synced_folders.values());
        let live: HashSet<u64> = names.flat_map(|names| names.values().flatten().copied()).collect();
        self.inodes.retain(|id, _| live.contains(id));
    }
}

/// A disk as one program sees it.
#[derive(Debug, Clone)]
pub struct SimFiles {
    disk: SimDisk,
    generation: u64,
}

impl SimFiles {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        if state.generation != self.generation {
            return Err(io::Error::other("this program is gone"));
        }
        act(&mut state)
    }

    fn open(&self, inode: u64) -> Box<dyn AppendFile> {
        Box::new(SimAppendFile {
            files: self.clone(),
            inode,
        })
    }
}

impl Files for SimFiles {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        self.with(|state| {
            for dir in ancestors.into_iter().filter(|p| p.file_name().is_some()) {
                let (names, name) = state.names(dir)?;
                if names.insert(name.clone(), None).is_none_or(|old| old.is_some()) {
                    let parent = dir.parent().unwrap_or(Path::new("/"));
                    let synced = state.synced_folders.entry(parent.to_path_buf()).or_default();
                    synced.insert(name, None);
                }
                state.folders.entry(dir.to_path_buf()).or_default();
                state.synced_folders.entry(dir.to_path_buf()).or_default();
            }
            Ok(())
        })
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let inode = self.with(|state| {
            let inode = state.next_inode;
            let (names, name) = state.names(path)?;
            if names.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            names.insert(name, Some(inode));
            state.inodes.insert(inode, Inode::default());
            state.next_inode += 1;
            Ok(inode)
        })?;
        Ok(self.open(inode))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let inode = self.with(|state| state.file(path))?;
        Ok(self.open(inode))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.with(|state| {
            let inode = state.file(path)?;
            Ok(state.inodes[&inode].bytes.clone().into())
        })
    }

    fn read_range(&self, path: &Path, range: Range<u64>) -> io::Result<Bytes> {
        let bytes = self.read(path)?;
        let (start, end) = (range.start as usize, range.end as usize);
        if start > end || end > bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.slice(start..end))
    }

    fn info(&self, path: &Path) -> io::Result<FileInfo> {
        self.with(|state| {
            if state.folders.contains_key(path) {
                return Ok(FileInfo {
                    len: 0,
                    modified: 0,
                    is_dir: true,
                });
            }
            let inode = state.file(path)?;
            Ok(FileInfo {
                len: state.inodes[&inode].bytes.len() as u64,
                modified: 0,
                is_dir: false,
            })
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            let inode = state.file(from)?;
            let (names, name) = state.names(to)?;
            names.insert(name, Some(inode));
            let (names, name) = state.names(from)?;
            names.remove(&name);
            state.collect();
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            let inode = state.file(from)?;
            let (names, name) = state.names(to)?;
            if names.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            names.insert(name, Some(inode));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.with(|state| {
            state.file(path)?;
            let (names, name) = state.names(path)?;
            names.remove(&name);
            state.collect();
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FolderEntry>> {
        self.with(|state| {
            let names = state.folders.get(dir).ok_or(io::ErrorKind::NotFound)?;
            let entries = names.iter().map(|(name, inode)| FolderEntry {
                name: name.clone(),
                is_dir: inode.is_none(),
            });
            Ok(entries.collect())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.with(|state| {
            let names = state.folders.get(dir).ok_or(io::ErrorKind::NotFound)?.clone();
            state.synced_folders.insert(dir.to_path_buf(), names);
            state.collect();
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.with(|state| {
            if !state.locks.insert(path.to_path_buf()) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        })?;
        Ok(Box::new(SimLock {
            files: self.clone(),
            path: path.to_path_buf(),
        }))
    }
}

#[derive(Debug)]
struct SimLock {
    files: SimFiles,
    path: PathBuf,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        // A program that is gone holds no lock any more; the lock may be its successor's.
        let _ = self.files.with(|state| {
            state.locks.remove(&self.path);
            Ok(())
        });
    }
}

#[derive(Debug)]
struct SimAppendFile {
    files: SimFiles,
    inode: u64,
}

impl SimAppendFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        self.files.with(|state| act(state, self.inode))
    }
}

/// The inode, or nothing where its last name is gone: writing to it has no effect that anybody could see.
fn inode(state: &mut State, id: u64) -> &mut Inode {
    state.inodes.entry(id).or_default()
}

impl AppendFile for SimAppendFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|state, id| {
            let fit = bytes.len().min(state.free_bytes());
            if state.failing_appends {
                let half = fit / 2;
                inode(state, id).bytes.extend_from_slice(&bytes[..half]);
                return Err(io::Error::other("injected write error"));
            }
            inode(state, id).bytes.extend_from_slice(&bytes[..fit]);
            if fit < bytes.len() {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let delay = self.with(|state, _| Ok(state.sync_delay))?;
        std::thread::sleep(delay);
        self.with(|state, id| {
            if state.failing_syncs {
                return Err(io::Error::other("injected sync error"));
            }
            state.syncs += 1;
            let inode = inode(state, id);
            inode.synced = inode.bytes.len();
            Ok(())
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.with(|state, id| {
            let inode = inode(state, id);
            inode.bytes.truncate(len as usize);
            inode.synced = inode.synced.min(inode.bytes.len());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_power_loss_keeps_what_was_synced_and_no_other_names() {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let files = disk.files();
            let dir = Path::new("/d");
            files.create_dir_all(dir).unwrap();
            let mut kept = files.create_new(&dir.join("kept")).unwrap();
            kept.append(b"synced").unwrap();
            kept.sync().unwrap();
            files.sync_dir(dir).unwrap();
            kept.append(b"unsynced").unwrap();
            let mut lost = files.create_new(&dir.join("lost")).unwrap();
            lost.append(b"x").unwrap();
            lost.sync().unwrap();
            files.remove(&dir.join("kept")).unwrap();
            disk.power_loss();
            assert!(kept.append(b"y").is_err(), "its program is gone");
            let files = disk.files();
            let names: Vec<String> = files.list(dir).unwrap().into_iter().map(|e| e.name).collect();
            assert_eq!(names, ["kept"], "the removal was not synced, nor was the other name");
            let bytes = files.read(&dir.join("kept")).unwrap();
            assert!(bytes.starts_with(b"synced") && bytes.len() <= 14, "{bytes:?}");
        }
    }

    #[test]
    fn a_full_disk_takes_a_part_and_fails() {
        let disk = SimDisk::new(1);
        disk.set_capacity(Some(4));
        let files = disk.files();
        let mut file = files.create_new(Path::new("/a")).unwrap();
        let error = file.append(b"123456").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(&files.read(Path::new("/a")).unwrap()[..], b"1234");
        disk.set_capacity(None);
        file.truncate(0).unwrap();
        file.append(b"123456").unwrap();
    }
}
