//! Physical operators over the vector layout, one a file. They know no language and hold no process state.
//!
//! [`exec`] makes an [`exec::Operator`] an execution plan, [`metered`] counts what it does, [`wire`] sends it elsewhere,
//! [`stream`] reads and accounts batches, [`rows`] is the shape of row-by-row operators, [`grouping`] and [`match_labels`]
//! reduce labels. Leaves: [`samples`], and [`log_range`] (with [`log_accumulate`]) and [`log_select`] (with [`log_pick`])
//! over the seam of [`log_input`]. Row by row: [`function`],
//! [`binary_scalar`], [`label`], [`limit_ratio`], [`subquery`], [`step_invariant`]. Across rows: [`aggregate`] (with
//! [`fold`], [`histogram_fold`] and [`histogram_cells`]), [`topk`],
//! [`collect_groups`], [`binary_vector`], [`set_op`], [`buckets`], [`info`], [`absent`], [`sort`], [`unique`], [`gather`],
//! [`mark_groups`] and at the end [`drop_names`]. Without
//! rows: [`scalar`].

pub mod absent;
pub mod aggregate;
pub mod binary_scalar;
pub mod binary_vector;
pub mod buckets;
pub mod collect_groups;
pub mod drop_names;
pub mod exec;
pub mod fold;
pub mod function;
pub mod gather;
pub mod grouping;
pub mod histogram_cells;
pub mod histogram_fold;
pub mod info;
pub mod label;
pub mod limit_ratio;
pub mod log_accumulate;
pub mod log_input;
mod log_pick;
pub mod log_range;
pub mod log_select;
pub mod mark_groups;
pub mod match_labels;
pub mod metered;
pub mod rows;
pub mod samples;
pub mod scalar;
pub mod set_op;
pub mod sort;
pub mod step_invariant;
pub mod stream;
pub mod subquery;
pub mod topk;
pub mod unique;
pub mod wire;

#[cfg(test)]
mod tests;
