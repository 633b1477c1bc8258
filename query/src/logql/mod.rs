//! LogQL: text to plans.
//!
//! [`lexer`] and [`parser`] make the tree of [`ast`], [`printer`] writes it out again. [`goregex`], [`line_pattern`] and
//! [`units`] are Go's and Loki's small languages inside it.

pub mod ast;
pub mod error;
pub mod lexer;
pub mod line_pattern;
pub mod matchers;
pub mod parser;
pub mod pipeline;
pub mod printer;
pub mod template;
pub mod token;
pub mod units;
