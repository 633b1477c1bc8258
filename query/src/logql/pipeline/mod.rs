//! Pipelines: what is done to each line, compiled once a query.
//!
//! [`compiled`] runs the stages of [`stages`] over the labels of [`row`]. The stages themselves: [`line_filter`] (with
//! [`line_search`]), [`label_filter`] (with [`ip`]), [`json`] over [`json_scan`], [`json_shape`] and [`json_paths`],
//! [`logfmt`]. [`hints`] says what parsers may leave out, [`json_filter`] what lines need no parser at all.

mod compiled;
mod hints;
mod ip;
mod json;
mod json_filter;
mod json_paths;
mod json_scan;
mod json_shape;
mod label_filter;
mod line_filter;
mod line_search;
mod logfmt;
mod row;
mod stages;
#[cfg(test)]
mod tests;

pub use compiled::{Pipeline, Wanted};
pub use hints::Hints;
pub use json::each_label_path;
pub use json_filter::{JsonJudge, Verdict};
pub use label_filter::Filter;
pub use row::{Beginning, Category, ERROR, ERROR_DETAILS, PRESERVE_ERROR, Row, StreamLabels, decode_pairs};
