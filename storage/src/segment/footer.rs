//! The footer: what a segment holds and where its sections lie. See FORMAT.md, "Footer".

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Broken, Cursor, Parsed};
use super::meta::{SegmentId, SegmentMeta};
use crate::model::{Signal, TenantId, TimeRange};

pub(super) const MAGIC: &[u8; 8] = b"GRNRSEGM";
const FORMAT_VERSION: u32 = 1;
/// body length u32 | tail length u64 | XXH3-64 of the body u64 | format version u32 | magic 8
pub(super) const TRAILER_BYTES: usize = 32;
/// Sections of one segment; the format names a dozen.
const MAX_SECTIONS: u16 = 256;

/// What a section holds. Readers pass over ids they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum SectionId {
    PageDirectory = 1,
    Chunks = 2,
    SeriesGroups = 3,
    LabelIndex = 4,
    TimeColumns = 17,
    // 16 filters: reserved.
    Histograms = 18,
    StartTimes = 19,
    Exemplars = 20,
    Metadata = 21,
}

/// Where a section lies, from the segment's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub id: u16,
    pub offset: u64,
    pub len: u64,
    pub checksum: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Footer {
    pub tenant: TenantId,
    pub signal: Signal,
    pub level: u8,
    pub range: TimeRange,
    pub rows: u64,
    pub series: u32,
    pub raw_bytes: u64,
    /// All bytes of the segment, footer included.
    pub segment_len: u64,
    /// Bytes at the end that a reader fetches to open the segment.
    pub tail_len: u64,
    pub sections: Vec<Section>,
}

impl Footer {
    /// Body and trailer. Their length does not depend on `segment_len` and `tail_len`, so those can be set after.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let tenant = self.tenant.as_str().as_bytes();
        out.push(tenant.len() as u8);
        out.extend_from_slice(tenant);
        out.push(self.signal.code());
        out.push(self.level);
        out.extend_from_slice(&self.range.start.to_le_bytes());
        out.extend_from_slice(&self.range.end.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.series.to_le_bytes());
        out.extend_from_slice(&self.raw_bytes.to_le_bytes());
        out.extend_from_slice(&self.segment_len.to_le_bytes());
        out.extend_from_slice(&(self.sections.len() as u16).to_le_bytes());
        for section in &self.sections {
            out.extend_from_slice(&section.id.to_le_bytes());
            out.extend_from_slice(&section.offset.to_le_bytes());
            out.extend_from_slice(&section.len.to_le_bytes());
            out.extend_from_slice(&section.checksum.to_le_bytes());
        }
        let (len, checksum) = (out.len() as u32, xxh3_64(&out));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.tail_len.to_le_bytes());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(MAGIC);
        out
    }

    /// Bytes that [`Footer::encode`] gives.
    pub fn encoded_len(&self) -> u64 {
        self.encode().len() as u64
    }

    /// Reads the footer at the end of `tail`. Every section lies inside the segment.
    pub fn decode(tail: &[u8]) -> Parsed<Footer> {
        const WHAT: &str = "footer";
        let broken = Broken(WHAT);
        let body_end = tail.len().checked_sub(TRAILER_BYTES).ok_or(broken)?;
        let mut trailer = Cursor::new(&tail[body_end..], WHAT);
        let body_len = trailer.u32()? as usize;
        let tail_len = trailer.u64()?;
        let checksum = trailer.u64()?;
        let version = trailer.u32()?;
        if trailer.take(8)? != MAGIC {
            return Err(Broken("footer (no magic at the end)"));
        }
        if version != FORMAT_VERSION {
            return Err(Broken(
                "footer (a format version this garner does not read; run a newer one)",
            ));
        }
        let body = &tail[body_end.checked_sub(body_len).ok_or(broken)?..body_end];
        if xxh3_64(body) != checksum {
            return Err(Broken("footer (checksum)"));
        }
        let mut cursor = Cursor::new(body, WHAT);
        let tenant_len = cursor.u8()? as usize;
        let tenant = std::str::from_utf8(cursor.take(tenant_len)?).map_err(|_| broken)?;
        let tenant = TenantId::new(tenant).map_err(|_| broken)?;
        let signal = Signal::from_code(cursor.u8()?).ok_or(broken)?;
        let level = cursor.u8()?;
        let range = TimeRange::new(cursor.i64()?, cursor.i64()?);
        let rows = cursor.u64()?;
        let series = cursor.u32()?;
        let raw_bytes = cursor.u64()?;
        let segment_len = cursor.u64()?;
        let count = cursor.u16()?;
        if count > MAX_SECTIONS || tail_len > segment_len {
            return Err(broken);
        }
        let mut sections = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let section = Section {
                id: cursor.u16()?,
                offset: cursor.u64()?,
                len: cursor.u64()?,
                checksum: cursor.u64()?,
            };
            let end = section.offset.checked_add(section.len).ok_or(broken)?;
            if end > segment_len {
                return Err(broken);
            }
            sections.push(section);
        }
        cursor.end()?;
        Ok(Footer {
            tenant,
            signal,
            level,
            range,
            rows,
            series,
            raw_bytes,
            segment_len,
            tail_len,
            sections,
        })
    }

    /// What a catalog would know of the segment at `id`.
    pub fn into_meta(self, id: SegmentId) -> SegmentMeta {
        SegmentMeta {
            tenant: self.tenant,
            signal: self.signal,
            id,
            len: self.segment_len,
            tail_len: self.tail_len,
            range: self.range,
            rows: self.rows,
            series: self.series,
            raw_bytes: self.raw_bytes,
            level: self.level,
        }
    }

    pub fn section(&self, id: SectionId) -> Option<&Section> {
        self.sections.iter().find(|s| s.id == id as u16)
    }
}
