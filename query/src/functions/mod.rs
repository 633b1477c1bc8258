//! Functions of PromQL and LogQL vectors, pure and free of plans.
//!
//! [`RangeFunction`] and [`InstantFunction`] list them. [`window`] finds the samples that each step sees, [`range`] runs a
//! function over them in one pass, [`reach`] where windows reach beyond their bounds, [`starts`] where samples say when
//! counting began; [`rate`], [`over_time`], [`regression`] compute single windows; [`binary`], [`kahan`], [`quantile`],
//! [`seconds`] are shared arithmetic; [`native`] is all of native histograms.

pub mod annotate;
pub mod binary;
pub mod date;
pub mod histogram;
pub mod instant;
pub mod kahan;
mod name;
pub mod native;
pub mod natural;
pub mod number;
pub mod over_time;
pub mod quantile;
pub mod range;
pub mod rate;
pub mod reach;
pub mod regression;
pub mod seconds;
pub mod starts;
pub mod window;

pub use name::{HistogramFunction, InstantFunction, RangeFunction};
