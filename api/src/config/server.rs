//! `[server]`, `[tenancy]`, `[memory]` and `[log]`: the network edge, tenants, what the process may use and what it tells.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::ConfigError;
use super::reader::{ADDRESS, BOOL, COUNT, DURATION, Kind, Reader, SIZE, TEXT, scalar_text};
use crate::server::CorsOrigin;

const ORIGIN: Kind<CorsOrigin> = Kind::new("a regular expression such as `https?://.*\\.example\\.com`", |value| {
    CorsOrigin::new(scalar_text(value)?)
});

/// The resolved group.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// `server.listen`
    pub listen: SocketAddr,
    /// `server.max_body_size`
    pub max_body_bytes: u64,
    /// `server.read_timeout`
    pub read_timeout: Duration,
    /// `server.shutdown_timeout`
    pub shutdown_timeout: Duration,
    /// `server.query_threads`; 0 means one for each core.
    pub query_threads: usize,
    /// `server.cors_origin`
    pub cors_origin: CorsOrigin,
    /// `tenancy.required`
    pub tenancy_required: bool,
    /// `memory.limit`; 0 means a share of the machine.
    pub memory_limit_bytes: u64,
    /// `log.level`
    pub log_level: String,
}

impl ServerSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        Ok(ServerSettings {
            listen: from.get(
                "server.listen",
                &ADDRESS,
                "127.0.0.1:3100",
                "Address and port to serve on. The default is reachable from this machine only; `0.0.0.0:3100` serves all \
                 networks (garner has no logins: put it behind what has).",
            )?,
            max_body_bytes: from.get(
                "server.max_body_size",
                &SIZE,
                "100MB",
                "Largest request body as it comes over the wire; larger ones are answered 413. The body is held in memory \
                 while it is decoded.",
            )?,
            read_timeout: from.get(
                "server.read_timeout",
                &DURATION,
                "30s",
                "How long a client may take to send a request body; then the request is answered 408.",
            )?,
            shutdown_timeout: from.get(
                "server.shutdown_timeout",
                &DURATION,
                "30s",
                "How long a stop (SIGTERM, SIGINT) may take to finish requests and flush. What is not flushed by then \
                 stays in the WAL and is replayed at the next start.",
            )?,
            query_threads: from.get(
                "server.query_threads",
                &COUNT,
                "0",
                "Threads that run queries, apart from those that take writes; 0 means one for each core.",
            )?,
            cors_origin: from.get(
                "server.cors_origin",
                &ORIGIN,
                ".*",
                "Regular expression for the origins whose pages may read Prometheus' API, matched as a whole (Prometheus: \
                 `web.cors.origin`).",
            )?,
            tenancy_required: from.get(
                "tenancy.required",
                &BOOL,
                "false",
                "Refuse requests without `X-Scope-OrgID` (401 `no org id`) instead of taking them as tenant `fake`.",
            )?,
            memory_limit_bytes: from.get(
                "memory.limit",
                &SIZE,
                "0",
                "Memory that recent rows, caches, background work and queries may hold together; 0 means 60% of the \
                 machine or of its cgroup. Less memory means earlier flushes (more, smaller objects) and refused queries, \
                 never a dead process.",
            )?,
            log_level: from.get(
                "log.level",
                &TEXT,
                "info",
                "What is logged to standard error: `error`, `warn`, `info`, `debug` or `trace`, also by module, such as \
                 `info,garner_storage=debug`.",
            )?,
        })
    }
}
