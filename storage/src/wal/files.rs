//! Which WAL files there are, and which may go.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::catalog::WalPosition;
use crate::error::Result;
use crate::file::{SharedFiles, disk_error};
use crate::model::{Signal, TenantId, TimeRange};

/// Whose rows: the unit of seals and positions.
pub type LaneKey = (TenantId, Signal);

/// One file on disk.
#[derive(Debug, Clone, Default)]
pub struct WalFileInfo {
    /// Its number; files are written in the order of numbers.
    pub number: u64,
    /// Its good bytes.
    pub len: u64,
    /// Per lane with rows in it: the start of its last record, and bounds of its rows.
    pub lanes: HashMap<LaneKey, (u64, TimeRange), ahash::RandomState>,
}

impl WalFileInfo {
    /// Notes a rows record that starts at `offset`.
    pub fn note(&mut self, lane: &LaneKey, offset: u64, range: TimeRange) {
        match self.lanes.get_mut(lane) {
            Some((last, bounds)) => {
                *last = offset;
                if range.is_empty() {
                    return;
                }
                *bounds = TimeRange::new(bounds.start.min(range.start), bounds.end.max(range.end));
            }
            None => {
                self.lanes.insert(lane.clone(), (offset, range));
            }
        }
    }
}

/// The files of one WAL, oldest first.
#[derive(Debug, Default)]
pub(super) struct FileSet(Mutex<Listed>);

#[derive(Debug, Default)]
struct Listed {
    files: VecDeque<WalFileInfo>,
    /// Whether the newest is being written: it does not know yet whose rows it will hold.
    last_is_open: bool,
}

impl FileSet {
    pub fn new(files: Vec<WalFileInfo>) -> Self {
        FileSet(Mutex::new(Listed {
            files: files.into(),
            last_is_open: false,
        }))
    }

    /// Adds a file that will be written from now on, until it is closed or the next is added.
    pub fn push(&self, file: WalFileInfo) {
        let mut listed = self.0.lock();
        listed.files.push_back(file);
        listed.last_is_open = true;
    }

    /// Nothing is written to the newest file any more.
    pub fn close_last(&self) {
        self.0.lock().last_is_open = false;
    }

    /// Changes the newest file's entry.
    pub fn update_last(&self, change: impl FnOnce(&mut WalFileInfo)) {
        if let Some(file) = self.0.lock().files.back_mut() {
            change(file);
        }
    }

    /// Number of files and their bytes.
    pub fn size(&self) -> (u64, u64) {
        let files = &self.0.lock().files;
        (files.len() as u64, files.iter().map(|f| f.len).sum())
    }

    /// Lanes that keep the oldest file from going.
    pub fn oldest_lanes(&self, committed: &dyn Fn(&LaneKey) -> Option<WalPosition>) -> Vec<LaneKey> {
        let listed = self.0.lock();
        let Some(file) = listed.files.front() else {
            return Vec::new();
        };
        file.lanes
            .iter()
            .filter(|(lane, (last, _))| !is_committed(file.number, *last, committed(lane)))
            .map(|(lane, _)| lane.clone())
            .collect()
    }

    /// Takes the oldest files out of the set, up to the first that holds rows the catalog does not have, or that is being
    /// written. Only the oldest: a file's good length stands in the next one's header.
    pub fn take_committed(&self, committed: &dyn Fn(&LaneKey) -> Option<WalPosition>) -> Vec<u64> {
        let mut listed = self.0.lock();
        let mut taken = Vec::new();
        while let Some(file) = listed.files.front() {
            let done =
                |(lane, (last, _)): (&LaneKey, &(u64, TimeRange))| is_committed(file.number, *last, committed(lane));
            let is_open = listed.last_is_open && listed.files.len() == 1;
            if is_open || !file.lanes.iter().all(done) {
                break;
            }
            taken.push(file.number);
            listed.files.pop_front();
        }
        taken
    }
}

fn is_committed(file: u64, offset: u64, committed: Option<WalPosition>) -> bool {
    committed.is_some_and(|position| WalPosition { file, offset } < position)
}

/// The path of file `number`.
pub(super) fn file_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

/// Numbers of the files in `dir`, ascending; other entries are passed over.
pub(super) fn list_files(files: &SharedFiles, dir: &Path) -> Result<Vec<u64>> {
    let entries = files
        .list(dir)
        .map_err(|e| disk_error("cannot list WAL folder", dir, e))?;
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter(|e| !e.is_dir)
        .filter_map(|e| e.name.strip_suffix(".wal")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}
