//! The garner server: HTTP dialects of Loki and Prometheus, settings and the command line.
//!
//! ```text
//! cli, config -> server::serve: runtimes, store, engine, listener, signals
//! cli, config -> tools: fsck and the check of an object store, without a server
//! request -> server (routes, tenant, body) -> loki | prometheus | admin: one endpoint a file -> answer in its dialect
//! ```
//!
//! The only crate that knows status codes, JSON shapes, environment variables and arguments.

pub mod admin;
pub mod allocator;
pub mod cli;
pub mod config;
pub mod error;
pub mod json;
pub mod loki;
pub mod otlp;
pub mod params;
pub mod prometheus;
pub mod server;
pub mod tenant;
pub mod tools;
