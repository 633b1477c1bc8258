//! Genuine floats: `pco` in its wrapped form, one chunk over all float series of a page and one pco page a series.
//!
//! ```text
//! meta = pco file header, pco chunk meta     (https://github.com/pcodec/pcodec/blob/main/docs/format.md)
//! data = one pco data page a series
//! ```
//!
//! Classic mode, consecutive delta of order 1, level 8: after decimals have been taken out by [`super::decimal`], the
//! automatic choice costs three to four times as much and finds nothing better.

use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::error::{CodecError, CodecResult};

const LEVEL: usize = 8;

/// The floats of one page, ready to decode series by series.
pub type FloatDecoder = ChunkDecompressor<f64>;

/// Compressed floats: the meta, and each series' bytes.
pub struct EncodedFloats {
    /// What all series need.
    pub meta: Vec<u8>,
    /// A series each.
    pub series: Vec<Vec<u8>>,
}

/// Compresses series of `lens` values each (none empty) that lie in `values` one after the other. `None` where pco
/// declines or where it does not get below eight bytes a value.
pub fn encode(values: &[f64], lens: &[usize]) -> Option<EncodedFloats> {
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::TryConsecutive(1))
        .with_paging_spec(PagingSpec::Exact(lens.to_vec()));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let meta = chunk.write_meta(file.write_header(Vec::new()).ok()?).ok()?;
    let pages = (0..lens.len()).map(|i| chunk.write_page(i, Vec::new()).ok());
    let series: Vec<Vec<u8>> = pages.collect::<Option<_>>()?;
    let size_bytes = meta.len() + series.iter().map(Vec::len).sum::<usize>();
    (size_bytes < values.len() * 8).then_some(EncodedFloats { meta, series })
}

/// Reads the meta.
pub fn decoder(meta: &[u8]) -> CodecResult<FloatDecoder> {
    let (file, rest) = FileDecompressor::new(meta).map_err(error)?;
    let (decoder, _) = file.chunk_decompressor::<f64, _>(rest).map_err(error)?;
    Ok(decoder)
}

/// Appends the `n` values of one series to `out`; the caller has checked `n` against a limit.
pub fn decode(decoder: &mut FloatDecoder, bytes: &[u8], n: usize, out: &mut Vec<f64>) -> CodecResult<()> {
    let start = out.len();
    out.resize(start + n, 0.0);
    let mut page = decoder.page_decompressor(bytes, n).map_err(error)?;
    let progress = page.read(&mut out[start..]).map_err(error)?;
    if progress.finished && progress.n_processed == n {
        Ok(())
    } else {
        Err(CodecError::Truncated("floats"))
    }
}

fn error(error: pco::errors::PcoError) -> CodecError {
    CodecError::Library {
        library: "pco",
        reason: error.to_string(),
    }
}
