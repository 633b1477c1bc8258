//! Request parameters: forms in query string and body, and the time and number formats of both dialects.

mod form;
mod number;
mod time;

pub use form::Params;
pub use number::{go_quote, parse_int};
pub use time::{
    parse_loki_time, parse_prometheus_duration, parse_prometheus_time, parse_rfc3339_ns, parse_seconds_or_duration,
};
