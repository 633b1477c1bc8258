//! The server's endpoints, asked as clients ask them: requests go through the router over a store in memory, and for the
//! life of the process through the real binary.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod admission;
mod bad_input;
mod bodies;
mod damage;
mod deletes;
mod harness;
mod loki;
mod loki_deletes;
mod loki_operations;
mod loki_pushes;
mod loki_reads;
mod otlp_metrics;
mod process;
mod prometheus;
mod prometheus_pages;
mod prometheus_reads;
mod prometheus_side;
mod prometheus_tools;
mod tail;
mod tenants;
mod upkeep;
