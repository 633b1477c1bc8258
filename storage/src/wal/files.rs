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
pub(super) struct FileSet {
    files: Mutex<VecDeque<WalFileInfo>>,
}

impl FileSet {
    pub fn new(files: Vec<WalFileInfo>) -> Self {
        FileSet {
            files: Mutex::new(files.into()),
        }
    }

    pub fn push(&self, file: WalFileInfo) {
        self.files.lock().push_back(file);
    }

    /// Changes the newest file's entry.
    pub fn update_last(&self, change: impl FnOnce(&mut WalFileInfo)) {
        if let Some(file) = self.files.lock().back_mut() {
            change(file);
        }
    }

    /// Number of files and their bytes.
    pub fn size(&self) -> (u64, u64) {
        let files = self.files.lock();
        (files.len() as u64, files.iter().map(|f| f.len).sum())
    }

    /// Lanes that keep the oldest file from going.
    pub fn oldest_lanes(&self, committed: &dyn Fn(&LaneKey) -> Option<WalPosition>) -> Vec<LaneKey> {
        let files = self.files.lock();
        let Some(file) = files.front() else { return Vec::new() };
        file.lanes
            .iter()
            .filter(|(lane, (last, _))| !is_committed(file.number, *last, committed(lane)))
            .map(|(lane, _)| lane.clone())
            .collect()
    }

    /// Takes the oldest files out of the set, up to the first that holds rows the catalog does not have, or that is
    /// `current`. Only the oldest: a file's good length stands in the next one's header.
    pub fn take_committed(
        &self,
        current: Option<u64>,
        committed: &dyn Fn(&LaneKey) -> Option<WalPosition>,
    ) -> Vec<u64> {
        let mut files = self.files.lock();
        let mut taken = Vec::new();
        while let Some(file) = files.front() {
            let done =
                |(lane, (last, _)): (&LaneKey, &(u64, TimeRange))| is_committed(file.number, *last, committed(lane));
            if Some(file.number) == current || !file.lanes.iter().all(done) {
                break;
            }
            taken.push(file.number);
            files.pop_front();
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
