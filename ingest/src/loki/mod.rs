//! The Loki push dialect: bodies as Promtail, Fluent Bit, Vector and their like send them, decoded to streams and entries.

mod entry;
mod json;
mod json_v0;
mod labels;
mod lexer;
mod protobuf;
mod push;

pub(crate) use entry::{Entry, EntryTime, PushVisitor, RawPair};
pub use labels::LabelParseError;
pub(crate) use labels::StreamLabels;
pub use push::LokiPush;
pub(crate) use push::{Decompressed, decompress};
