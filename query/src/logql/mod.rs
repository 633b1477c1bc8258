//! LogQL: text to plans.
//!
//! [`lexer`] (with [`number`]) and [`parser`] make the tree of [`ast`] (whose operations
//! [`operations`] names), [`printer`] writes it out again. [`goregex`], [`line_pattern`] and
//! [`units`] are Go's and Loki's small languages inside it. [`pipeline`] is what happens to each line (with [`template`]),
//! [`sampler`] and [`selector`] put it behind the log operators, [`lines`] makes both again
//! of texts, [`lower`] makes plans, [`run`] is the way in. [`deletes`] is what the store needs of LogQL to delete lines.

pub mod ast;
pub mod deletes;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod lexer;
pub mod line_pattern;
pub mod lines;
pub mod lower;
pub mod matchers;
mod number;
mod operations;
pub mod output;
pub mod parser;
pub mod pipeline;
pub mod printer;
pub mod run;
pub mod sampler;
pub mod selector;
pub mod tail;
pub mod template;
pub mod token;
pub mod units;

pub(crate) use crate::goregex;

#[cfg(test)]
mod listed_tests;
#[cfg(test)]
mod tests;
