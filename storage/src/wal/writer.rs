//! Writes groups of records to the current file; heals and rotates.

use std::path::PathBuf;

use hashbrown::HashMap;

use super::body::encode_series;
use super::committer::PendingRows;
use super::files::{FileSet, WalFileInfo, file_path};
use super::record::{FILE_HEADER_LEN, FileHeader, RecordKind, push_record};
use crate::catalog::WalPosition;
use crate::error::Result;
use crate::file::{AppendFile, SharedFiles, disk_error};

/// Largest write buffer kept between groups.
const MAX_KEPT_BUFFER_BYTES: usize = 8 << 20;
/// Label bytes of one series record; more series make another record.
const MAX_SERIES_RECORD_BYTES: usize = 4 << 20;

/// The end of the log. Used by one thread.
#[derive(Debug)]
pub(super) struct LogWriter {
    files: SharedFiles,
    dir: PathBuf,
    max_file_bytes: u64,
    current: Option<CurrentFile>,
    /// Number and good length of the file before the next one.
    previous: (u64, u64),
    next_number: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct CurrentFile {
    file: Box<dyn AppendFile>,
    number: u64,
    /// Bytes written by appends that succeeded.
    written: u64,
    /// Of these, bytes that are durable.
    synced: u64,
    /// Ids defined in this file, by the generation of their index.
    defined: HashMap<u64, IdSet, ahash::RandomState>,
}

/// A growing set of small numbers.
#[derive(Debug, Default)]
struct IdSet(Vec<u64>);

impl IdSet {
    /// Adds `id`; false where it was there.
    fn insert(&mut self, id: u32) -> bool {
        let (word, bit) = (id as usize / 64, 1u64 << (id % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}

impl LogWriter {
    pub fn new(files: SharedFiles, dir: PathBuf, max_file_bytes: u64, previous: (u64, u64), next_number: u64) -> Self {
        LogWriter {
            files,
            dir,
            max_file_bytes,
            current: None,
            previous,
            next_number,
            buffer: Vec::new(),
        }
    }

    /// Where the next record will stand, or before.
    pub fn position(&self) -> WalPosition {
        match &self.current {
            Some(current) => WalPosition {
                file: current.number,
                offset: current.written,
            },
            None => WalPosition {
                file: self.next_number,
                offset: 0,
            },
        }
    }

    /// Writes the appends of a group, durable on return where `sync` is set. On an error none of them is in the log: the
    /// file is cut back, or given up for a new one.
    pub fn write_group(&mut self, group: &[Box<dyn PendingRows>], sync: bool, set: &FileSet) -> Result<()> {
        if self.current.as_ref().is_some_and(|c| c.written >= self.max_file_bytes) {
            self.close_current(set)?;
        }
        if self.current.is_none() {
            self.open_next(set)?;
        }
        let Some(current) = self.current.as_mut() else {
            return Ok(());
        };
        self.buffer.clear();
        let mut notes = Vec::with_capacity(group.len());
        for rows in group {
            let offset = encode_append(&mut self.buffer, current, &**rows);
            notes.push((offset, rows));
        }
        let path = file_path(&self.dir, current.number);
        let mut outcome = current.file.append(&self.buffer);
        if outcome.is_ok() && sync {
            outcome = current.file.sync();
        }
        if let Err(error) = outcome {
            self.give_up_current(set);
            return Err(disk_error("cannot write to WAL file", &path, error));
        }
        current.written += self.buffer.len() as u64;
        if sync {
            current.synced = current.written;
        }
        let len = current.written;
        set.update_last(|file| {
            file.len = len;
            for (offset, rows) in notes {
                file.note(rows.lane(), offset, rows.time_range());
            }
        });
        if self.buffer.capacity() > MAX_KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Makes what was written durable. After an error the file is given up: what it holds beyond the last good sync
    /// cannot be trusted any more.
    pub fn sync(&mut self, set: &FileSet) -> Result<()> {
        let Some(current) = self.current.as_mut().filter(|c| c.synced < c.written) else {
            return Ok(());
        };
        match current.file.sync() {
            Ok(()) => {
                current.synced = current.written;
                Ok(())
            }
            Err(error) => {
                let path = file_path(&self.dir, current.number);
                current.written = current.synced;
                self.give_up_current(set);
                Err(disk_error("cannot sync WAL file", &path, error))
            }
        }
    }

    fn close_current(&mut self, set: &FileSet) -> Result<()> {
        self.sync(set)?;
        if let Some(current) = self.current.take() {
            self.previous = (current.number, current.written);
        }
        Ok(())
    }

    /// Cuts the file to its good bytes as well as the disk lets us, and goes on in a new file, whose header tells replay
    /// how many bytes are good.
    fn give_up_current(&mut self, set: &FileSet) {
        let Some(mut current) = self.current.take() else { return };
        let cut = current
            .file
            .truncate(current.written)
            .and_then(|()| current.file.sync());
        if let Err(error) = cut {
            current.written = current.synced;
            tracing::warn!(file = current.number, %error, "cannot cut a WAL file back; its good length will stand in the next one");
        }
        set.update_last(|file| file.len = current.written);
        set.close_last();
        self.previous = (current.number, current.written);
    }

    fn open_next(&mut self, set: &FileSet) -> Result<()> {
        let number = self.next_number;
        let path = file_path(&self.dir, number);
        // A number is used once, so that what a failed try leaves behind is never taken for this file.
        self.next_number += 1;
        let header = FileHeader {
            number,
            previous: self.previous.0,
            previous_len: self.previous.1,
        };
        let created = self.files.create_new(&path).and_then(|mut file| {
            file.append(&header.encode())?;
            file.sync()?;
            self.files.sync_dir(&self.dir)?;
            Ok(file)
        });
        let file = created.map_err(|error| {
            if let Err(error) = self.files.remove(&path) {
                tracing::debug!(path = %path.display(), %error, "cannot remove the WAL file that could not be begun");
            }
            disk_error("cannot begin WAL file", &path, error)
        })?;
        set.push(WalFileInfo {
            number,
            len: FILE_HEADER_LEN as u64,
            ..WalFileInfo::default()
        });
        self.current = Some(CurrentFile {
            file,
            number,
            written: FILE_HEADER_LEN as u64,
            synced: FILE_HEADER_LEN as u64,
            defined: HashMap::default(),
        });
        Ok(())
    }
}

/// Appends the definitions that the rows still need, then the rows; returns where the rows' record starts in the file.
fn encode_append(buffer: &mut Vec<u8>, current: &mut CurrentFile, rows: &dyn PendingRows) -> u64 {
    let (tenant, signal) = rows.lane();
    let (number, base) = (current.number, current.written);
    let defined = current.defined.entry(rows.index_generation()).or_default();
    let mut fresh = Vec::new();
    let mut bytes = 0;
    for id in rows.series().into_iter().flatten() {
        if defined.insert(*id) {
            let labels = rows.labels(*id);
            bytes += labels.size_bytes();
            fresh.push((*id, labels));
        }
        if bytes >= MAX_SERIES_RECORD_BYTES {
            let body = encode_series(tenant, *signal, &fresh);
            push_record(buffer, number, base + buffer.len() as u64, RecordKind::Series, &body);
            fresh.clear();
            bytes = 0;
        }
    }
    if !fresh.is_empty() {
        let body = encode_series(tenant, *signal, &fresh);
        push_record(buffer, number, base + buffer.len() as u64, RecordKind::Series, &body);
    }
    let offset = base + buffer.len() as u64;
    let body = rows.body();
    push_record(buffer, number, offset, body.kind, &body.bytes);
    offset
}
