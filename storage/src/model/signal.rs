//! The two kinds of rows that garner keeps.

use serde::{Deserialize, Serialize};

/// What a series carries. One (tenant, signal) pair is the unit of heads, seals and segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Log streams: rows are entries (line, structured metadata).
    Logs,
    /// Metric series: rows are samples.
    Metrics,
}

impl Signal {
    /// Stable code of this signal in every byte format.
    pub fn code(self) -> u8 {
        match self {
            Signal::Logs => 0,
            Signal::Metrics => 1,
        }
    }

    /// The signal of a stable code.
    pub fn from_code(code: u8) -> Option<Signal> {
        match code {
            0 => Some(Signal::Logs),
            1 => Some(Signal::Metrics),
            _ => None,
        }
    }

    /// The name used in paths, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }
}
