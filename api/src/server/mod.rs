//! The server: shared state, request reading, routes, the query runtime, and the life of the process.

mod answer;
mod app;
mod body;
mod compress;
mod cors;
mod lifecycle;
mod log;
mod metadata;
mod observe;
mod request;
mod routes;
mod run;
mod samples;
mod tails;

pub use answer::{Encode, Written, answer};
pub use app::{App, SharedApp};
pub use body::read_body;
pub use cors::CorsOrigin;
pub use lifecycle::{ServeError, read_settings, serve, system};
pub use log::Log;
pub use metadata::MetadataQuery;
pub use observe::{RequestCounters, SERVER_TIMING};
pub use request::{Ask, ReadAsk, header_text, loki_json, params_of, prometheus_json};
pub use routes::router;
pub use run::run_query;
pub use samples::SampleQuery;
pub use tails::{TailSlot, TailSlots};
