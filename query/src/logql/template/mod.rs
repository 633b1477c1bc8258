//! Templates of line_format and label_format: Go's `text/template` with the functions that Loki offers.
//!
//! [`lex`] and [`parse`] make a [`tree`] (with [`number`]), [`exec`] runs it on a line's labels ([`eval`] its pipelines), [`functions`] are what it
//! calls (with [`builtins`], [`decimal`], [`printf`], [`time`], its [`methods`], and [`encode`]), [`value`] what these work
//! on.

mod builtins;
mod compiled;
mod decimal;
mod encode;
mod eval;
mod exec;
mod functions;
mod lex;
mod methods;
mod number;
mod parse;
mod printf;
mod time;
mod tree;
mod value;

pub use compiled::Template;

/// Every function of templates and every method of times.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    functions::names().chain(methods::names())
}
