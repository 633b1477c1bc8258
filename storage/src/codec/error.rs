//! Why stored bytes could not be decoded. A page's reader adds which page of which object it was.

use crate::error::{Error, ErrorKind};

/// Bytes that no encoder wrote. The decoders have checked everything they use, so nothing of the answer may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    /// A field holds what it cannot hold.
    #[error("{0} is out of bounds")]
    Invalid(&'static str),
    /// A codec id that this version does not know.
    #[error(
        "codec id {found} of a {what} is not known to this version of garner; read it with the version that wrote it or a newer one"
    )]
    UnknownCodec {
        /// What carries the id.
        what: &'static str,
        /// The id.
        found: u8,
    },
    /// The general-purpose compressor under a column or page failed.
    #[error("{library} could not decode: {reason}")]
    Library {
        /// Which compressor.
        library: &'static str,
        /// What it said.
        reason: String,
    },
}

/// A result of decoding.
pub type CodecResult<T> = Result<T, CodecError>;

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Error {
        Error::new(ErrorKind::Corrupt, error.to_string())
    }
}
