//! The process' log, and its level while it runs.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::error::ConfigError;

/// A hold on the log.
#[derive(Clone, Debug)]
pub struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Begins to log to standard error.
    pub fn start(filter: &str) -> Result<Self, ConfigError> {
        let filter =
            EnvFilter::try_new(filter).map_err(|error| ConfigError(format!("bad value for log.level: {error}")))?;
        let (filter, handle) = reload::Layer::new(filter);
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
        // A second start in one process (tests) keeps the first log.
        let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
        Ok(Log(handle))
    }

    /// Says what is of this level or above, from everywhere in the process.
    pub fn set_level(&self, level: &str) {
        // The only failure is a log that is gone.
        let _ = self.0.reload(EnvFilter::new(level));
    }
}
