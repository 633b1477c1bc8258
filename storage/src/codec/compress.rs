//! zstd over finished bytes, kept only where it pays.
//!
//! A thread keeps its (de)compression contexts, since making one costs more than compressing a small column.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::error::{CodecError, CodecResult};

/// The level of pages written by a flush: on logs a higher one costs time and gains nothing (measured: 10.1 at level 1,
/// 9.9 at level 3, at 1 MB pages), on metric pages less than 2 %.
pub const FLUSH_LEVEL: i32 = 1;

/// The level of log pages written by compaction: rows are written to it once or twice in their life and read from it ever
/// after (../shared/CODECS.md, section D). Metric pages stay at [`FLUSH_LEVEL`]: this one makes the values of the recorded
/// scrapes 0.4 % smaller, of every 15th of them 1.2 %.
pub const COMPACTED_LEVEL: i32 = 7;

/// Compressed bytes are kept where they are at least this share smaller, in percent; less is not worth decompressing.
const MIN_GAIN_PERCENT: usize = 3;

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `bytes` as one zstd frame, where that pays.
pub fn compress_if_smaller(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    // Below this the frame's own head eats the gain.
    if bytes.len() < 64 {
        return None;
    }
    let compressed = COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(l, _)| *l != level) {
            *slot = Some((level, Compressor::new(level).ok()?));
        }
        slot.as_mut()?.1.compress(bytes).ok()
    })?;
    (compressed.len() <= bytes.len() - bytes.len() * MIN_GAIN_PERCENT / 100).then_some(compressed)
}

/// The content of one zstd frame, which must be exactly `len` bytes; the caller has checked `len` against a limit.
pub fn decompress(frame: &[u8], len: usize) -> CodecResult<Vec<u8>> {
    let mut bytes = Vec::new();
    decompress_into(frame, len, &mut bytes)?;
    Ok(bytes)
}

/// As [`decompress`], into memory that was used before: fresh memory costs the system about as much as filling it.
pub fn decompress_into(frame: &[u8], len: usize, bytes: &mut Vec<u8>) -> CodecResult<()> {
    let error = |reason: String| CodecError::Library {
        library: "zstd",
        reason,
    };
    bytes.clear();
    bytes.reserve_exact(len);
    let written = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(Decompressor::new().map_err(|e| error(e.to_string()))?);
        }
        match slot.as_mut() {
            Some(decompressor) => decompressor
                .decompress_to_buffer(frame, bytes)
                .map_err(|e| error(e.to_string())),
            None => Err(error("no decompression context".to_string())),
        }
    })?;
    if written == len && bytes.len() == len {
        Ok(())
    } else {
        Err(CodecError::Invalid("decompressed length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_shrinks_is_compressed() {
        let zeros = vec![0u8; 1000];
        let frame = compress_if_smaller(&zeros, FLUSH_LEVEL);
        assert!(frame.as_ref().is_some_and(|f| f.len() < 100));
        let frame = frame.unwrap_or_default();
        assert_eq!(decompress(&frame, 1000), Ok(zeros.clone()));
        assert!(decompress(&frame, 999).is_err());
        assert!(decompress(&frame, 1001).is_err());
        assert!(decompress(&frame[..frame.len() - 1], 1000).is_err());
        let mut n = 1u64;
        let noise: Vec<u8> = (0..1000)
            .map(|_| {
                n = n.wrapping_mul(6364136223846793005).wrapping_add(1);
                (n >> 56) as u8
            })
            .collect();
        assert_eq!(compress_if_smaller(&noise, FLUSH_LEVEL), None);
        assert_eq!(compress_if_smaller(&zeros[..10], FLUSH_LEVEL), None);
    }
}
