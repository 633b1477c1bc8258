//! Reads a WAL back at start: repairs the torn tail, hands out the rows that no segment holds.

use std::path::Path;

use hashbrown::HashMap;

use super::ahead::ReadAhead;
use super::body::{BadBody, decode_rows, decode_series, open_body, open_head};
use super::files::{LaneKey, WalFileInfo, file_path, list_files};
use super::record::{
    BadHeader, FILE_HEADER_LEN, FileHeader, RECORD_HEADER_LEN, RecordKind, VERSION, read_record, record_len,
};
use crate::catalog::WalPosition;
use crate::engine::ReplaySummary;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{SharedFiles, disk_error};
use crate::head::Rows;
use crate::model::Labels;

/// Rows of one record; series ids are those of its file.
#[derive(Debug)]
pub struct ReplayedRows<'a> {
    /// Whose rows.
    pub lane: &'a LaneKey,
    /// The rows.
    pub rows: Rows,
    /// Series of the lane that the file defines, by id. A later definition of an id replaces an earlier one.
    pub series: &'a HashMap<u32, Labels, ahash::RandomState>,
    /// Behind this record. Ids of different files have nothing to do with each other.
    pub position: WalPosition,
    /// Counts the definitions read so far for the lane in this file: while it stands still, so does `series`.
    pub definitions: u64,
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct Replayed {
    /// For the log of the start.
    pub summary: ReplaySummary,
    /// The files that are there now.
    pub files: Vec<WalFileInfo>,
    /// Highest number seen, 0 without files.
    pub last_number: u64,
}

/// Where and until where a file is read.
struct Chain {
    number: u64,
    /// Its good length where a later file tells it.
    good_len: Option<u64>,
    last: bool,
}

/// Reads every file in `dir` and gives `sink` the records at or behind `from(lane)`; `None` means all of them.
///
/// A tail that was cut off in the last file is removed from it: it was never acknowledged. Damage anywhere else is
/// [`ErrorKind::Corrupt`]. `sink` can end the replay with an error.
pub fn replay(
    files: &SharedFiles,
    dir: &Path,
    from: &dyn Fn(&LaneKey) -> Option<WalPosition>,
    sink: &mut dyn FnMut(ReplayedRows<'_>) -> Result<()>,
) -> Result<Replayed> {
    let mut replayed = Replayed::default();
    for link in chain(files, dir, &mut replayed)? {
        let path = file_path(dir, link.number);
        let len = files
            .info(&path)
            .map_err(|e| disk_error("cannot read WAL file", &path, e))?
            .len;
        let mut reader = FileReader {
            path: &path,
            number: link.number,
            info: WalFileInfo {
                number: link.number,
                ..WalFileInfo::default()
            },
            series: HashMap::default(),
            summary: &mut replayed.summary,
        };
        let good = link.good_len.map_or(len, |good| len.min(good));
        let end = reader.read(&mut ReadAhead::new(files, &path, good), from, sink)?;
        let mut info = reader.info;
        info.len = end;
        let short = link.good_len.is_some_and(|good| end < good);
        if end < good || short {
            repair(files, &path, &link, end, len, &mut replayed.summary)?;
        }
        replayed.summary.files += 1;
        replayed.summary.bytes += end;
        replayed.files.push(info);
    }
    if let Some(last) = replayed.files.last() {
        settle_last(files, dir, last.number)?;
    }
    Ok(replayed)
}

/// What an earlier run wrote and did not live to sync counts from now on, and the next file's header will say so: it must
/// be as durable as the rest.
fn settle_last(files: &SharedFiles, dir: &Path, number: u64) -> Result<()> {
    let path = file_path(dir, number);
    files
        .open_append(&path)
        .and_then(|mut file| file.sync())
        .map_err(|e| disk_error("cannot sync WAL file", &path, e))?;
    files
        .sync_dir(dir)
        .map_err(|e| disk_error("cannot sync WAL folder", dir, e))
}

/// The files to read in order. Files whose header never became durable hold nothing that was acknowledged and are removed.
fn chain(files: &SharedFiles, dir: &Path, replayed: &mut Replayed) -> Result<Vec<Chain>> {
    let numbers = list_files(files, dir)?;
    replayed.last_number = numbers.last().copied().unwrap_or(0);
    let mut headers = Vec::new();
    for number in numbers {
        let path = file_path(dir, number);
        let len = files
            .info(&path)
            .map_err(|e| disk_error("cannot read WAL file", &path, e))?
            .len;
        let start = files
            .read_range(&path, 0..len.min(FILE_HEADER_LEN as u64))
            .map_err(|e| disk_error("cannot read WAL file", &path, e))?;
        match FileHeader::decode(&start) {
            Ok(header) if header.number == number => headers.push((number, Some(header))),
            Err(BadHeader::Version(found)) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "WAL file {} has format {found}, this garner knows {VERSION}; start the garner that wrote it and let it flush",
                        path.display()
                    ),
                ));
            }
            Ok(_) | Err(BadHeader::Damaged) => headers.push((number, None)),
        }
    }
    let mut links = Vec::new();
    for (at, (number, header)) in headers.iter().enumerate() {
        // The next file with a good header says which file came before it; one it passes over never got a record.
        let next = headers[at + 1..].iter().find_map(|(_, header)| *header);
        let skipped = next.is_some_and(|next| next.previous != *number && next.previous < *number);
        match header {
            Some(_) => links.push(Chain {
                number: *number,
                good_len: next
                    .filter(|next| next.previous == *number)
                    .map(|next| next.previous_len),
                last: next.is_none(),
            }),
            None if next.is_none() || skipped => {
                let path = file_path(dir, *number);
                tracing::warn!(path = %path.display(), "removing a WAL file that was never begun");
                files
                    .remove(&path)
                    .map_err(|e| disk_error("cannot remove WAL file", &path, e))?;
            }
            None => {
                return Err(corrupt(&file_path(dir, *number), 0, "its header is damaged"));
            }
        }
    }
    Ok(links)
}

/// What to do about bytes of a file that are no whole record.
fn repair(
    files: &SharedFiles,
    path: &Path,
    link: &Chain,
    end: u64,
    len: u64,
    summary: &mut ReplaySummary,
) -> Result<()> {
    if link.good_len.is_some() {
        return Err(corrupt(path, end, "a record is damaged or missing"));
    }
    let torn = len.saturating_sub(end);
    summary.torn_bytes += torn;
    if !link.last {
        // Its follower is gone, and files go oldest first: all of this one is in segments.
        tracing::warn!(path = %path.display(), offset = end, "ignoring the end of a WAL file that is not needed any more");
        return Ok(());
    }
    tracing::warn!(path = %path.display(), offset = end, bytes = torn, "cutting off the torn end of the WAL");
    let mut file = files
        .open_append(path)
        .map_err(|e| disk_error("cannot open WAL file", path, e))?;
    file.truncate(end)
        .map_err(|e| disk_error("cannot cut the torn end off WAL file", path, e))
}

/// Series definitions of one lane in one file.
#[derive(Default)]
struct Definitions {
    series: HashMap<u32, Labels, ahash::RandomState>,
    count: u64,
}

struct FileReader<'a> {
    path: &'a Path,
    number: u64,
    info: WalFileInfo,
    series: HashMap<LaneKey, Definitions, ahash::RandomState>,
    summary: &'a mut ReplaySummary,
}

impl FileReader<'_> {
    /// Reads records up to the first that is not whole; returns the offset behind the last good one.
    fn read(
        &mut self,
        file: &mut ReadAhead<'_>,
        from: &dyn Fn(&LaneKey) -> Option<WalPosition>,
        sink: &mut dyn FnMut(ReplayedRows<'_>) -> Result<()>,
    ) -> Result<u64> {
        let mut offset = FILE_HEADER_LEN as u64;
        while let Some(header) = file.get(offset, RECORD_HEADER_LEN)?
            && let Some(len) = record_len(&header)
            && let Some(bytes) = file.get(offset, len)?
            && let Some(record) = read_record(&bytes, self.number, offset)
        {
            match record.kind {
                RecordKind::Series => self.define(record.body).map_err(|e| self.bad(offset, e))?,
                kind => self.rows(kind, record.body, offset, from, sink)?,
            }
            offset += len as u64;
        }
        Ok(offset)
    }

    fn define(&mut self, body: &[u8]) -> Result<(), BadBody> {
        let (head, raw) = open_body(body)?;
        let definitions = self.series.entry((head.tenant, head.signal)).or_default();
        definitions.series.extend(decode_series(&raw)?);
        definitions.count += 1;
        Ok(())
    }

    fn rows(
        &mut self,
        kind: RecordKind,
        body: &[u8],
        offset: u64,
        from: &dyn Fn(&LaneKey) -> Option<WalPosition>,
        sink: &mut dyn FnMut(ReplayedRows<'_>) -> Result<()>,
    ) -> Result<()> {
        let head = open_head(body).map_err(|e| self.bad(offset, e))?;
        let lane = (head.tenant, head.signal);
        self.info.note(&lane, offset, head.range);
        let position = WalPosition {
            file: self.number,
            offset,
        };
        if from(&lane).is_some_and(|committed| position < committed) {
            self.summary.records_flushed_before += 1;
            return Ok(());
        }
        let (_, raw) = open_body(body).map_err(|e| self.bad(offset, e))?;
        let rows = decode_rows(kind, lane.1, &raw).map_err(|e| self.bad(offset, e))?;
        self.summary.records += 1;
        self.summary.rows += rows.len() as u64;
        let definitions = self.series.entry(lane.clone()).or_default();
        let mut named = rows.series().iter().chain(rows.exemplar_series());
        if named.any(|id| !definitions.series.contains_key(id)) {
            return Err(corrupt(
                self.path,
                offset,
                "a record names a series that the file does not define",
            ));
        }
        sink(ReplayedRows {
            lane: &lane,
            rows,
            position: WalPosition {
                file: self.number,
                offset: offset + 1,
            },
            series: &definitions.series,
            definitions: definitions.count,
        })
    }

    fn bad(&self, offset: u64, error: BadBody) -> Error {
        corrupt(self.path, offset, &error.to_string())
    }
}

fn corrupt(path: &Path, offset: u64, what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "WAL file {} is damaged at byte {offset}: {what}; restore it from a copy, or move it away to start without the rows in it",
            path.display()
        ),
    )
}
