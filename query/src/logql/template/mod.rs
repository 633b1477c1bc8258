//! Templates of line_format and label_format: the part of Go's `text/template` that Loki offers.
//!
//! [`parse`] reads them, [`exec`] runs them on a line's labels, [`functions`] are what they call (with [`printf`], [`time`]
//! and [`encode`]), [`value`] what these work on.

mod compiled;
mod encode;
mod exec;
mod functions;
mod parse;
mod printf;
mod time;
mod value;

pub use compiled::Template;
