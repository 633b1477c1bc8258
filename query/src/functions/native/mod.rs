//! Native histograms: the arithmetic of `model::Histogram`, pure. Behaviour is that of prometheus
//! model/histogram/float_histogram.go and what promql makes of it.
//!
//! [`bounds`] says where buckets end, [`buckets`] walks them, [`layout`] writes and compacts their spans. [`add`] brings two
//! histograms together, over [`zero`] and [`custom`]; [`scale`], [`trim`] and [`text`] take one; [`binary`] is what
//! operators make of two elements; [`total`] sums and averages
//! many; [`reset`] compares neighbours of a series; [`summary`] are the numbers that histograms tell. [`mixed`] parts
//! series, [`rate`] and [`range`] are functions of windows.

pub mod add;
pub mod binary;
pub mod bounds;
pub mod buckets;
pub mod custom;
pub mod layout;
pub mod mixed;
pub mod range;
pub mod rate;
pub mod reach;
pub mod reset;
pub mod scale;
pub mod summary;
pub mod text;
pub mod total;
pub mod trim;
pub mod zero;

#[cfg(test)]
mod tests;
