//! A server under test: how it is started, and what the operating system says of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner;
use garner_compat_tests::http::{Answer, Client};
use garner_compat_tests::process::{Process, free_port};
use tempfile::TempDir;

use crate::report::Report;

/// Clock ticks a second in /proc/<pid>/stat; fixed by the kernel's ABI.
const TICKS: f64 = 100.0;
/// Background work counts as quiet when a server used less than this share of a core ...
const QUIET_CPU: f64 = 0.02;
/// ... over this long.
const QUIET_FOR: Duration = Duration::from_secs(3);
/// Longest wait for a compaction of everything.
const COMPACTION_LIMIT: Duration = Duration::from_secs(900);
/// No server gets longer than this to become quiet.
const QUIET_LIMIT: Duration = Duration::from_secs(180);

/// A program that can be started over a data folder.
#[derive(Clone, Debug)]
pub enum Program {
    /// The server of this project.
    Garner,
    /// VictoriaMetrics, single node.
    VictoriaMetrics(PathBuf),
    /// VictoriaLogs, single node.
    VictoriaLogs(PathBuf),
    /// Loki, all in one, with a small configuration of its own.
    Loki(PathBuf),
}

impl Program {
    /// The name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Program::Garner => "garner",
            Program::VictoriaMetrics(_) => "VictoriaMetrics",
            Program::VictoriaLogs(_) => "VictoriaLogs",
            Program::Loki(_) => "Loki",
        }
    }

    fn command(&self, folder: &Path, port: u16) -> Result<Command> {
        let data = folder.join("data");
        Ok(match self {
            Program::Garner => {
                let mut command = garner::command()?;
                command
                    // Repeated queries are measured, not remembered; so it is for the peers.
                    .env("GARNER_CACHE_RESULT_SIZE", "0")
                    .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
                    .arg(data);
                command
            }
            Program::VictoriaMetrics(path) => {
                let mut command = Command::new(path);
                command
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .arg(format!("-storageDataPath={}", data.display()))
                    .args([
                        "-retentionPeriod=100y",
                        "-search.disableCache",
                        "-search.latencyOffset=0s",
                    ]);
                command
            }
            Program::VictoriaLogs(path) => {
                let mut command = Command::new(path);
                command
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .arg(format!("-storageDataPath={}", data.display()))
                    .arg("-retentionPeriod=100y");
                command
            }
            Program::Loki(path) => {
                let config = folder.join("loki.yml");
                std::fs::write(&config, loki_config(&data, port, free_port()?))?;
                let mut command = Command::new(path);
                command.arg(format!("-config.file={}", config.display()));
                command
            }
        })
    }

    fn ready_path(&self) -> &'static str {
        match self {
            Program::Garner | Program::Loki(_) => "/ready",
            Program::VictoriaMetrics(_) | Program::VictoriaLogs(_) => "/health",
        }
    }

    /// The path that takes Loki pushes.
    pub fn push_path(&self) -> &'static str {
        match self {
            Program::VictoriaLogs(_) => "/insert/loki/api/v1/push",
            _ => "/loki/api/v1/push",
        }
    }
}

fn loki_config(data: &Path, port: u16, grpc: u16) -> String {
    format!(
        "auth_enabled: false\n\
         server: {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {grpc}, log_level: error}}\n\
         common: {{path_prefix: {0}, replication_factor: 1, ring: {{kvstore: {{store: inmemory}}, instance_addr: 127.0.0.1}}, storage: {{filesystem: {{chunks_directory: {0}/chunks, rules_directory: {0}/rules}}}}}}\n\
         schema_config: {{configs: [{{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: index_, period: 24h}}}}]}}\n\
         limits_config: {{reject_old_samples: false, ingestion_rate_mb: 10000, ingestion_burst_size_mb: 10000, per_stream_rate_limit: 10GB, per_stream_rate_limit_burst: 10GB}}\n\
         query_range: {{cache_results: false}}\n\
         frontend: {{address: 127.0.0.1}}\n\
         analytics: {{reporting_enabled: false}}\n",
        data.display()
    )
}

/// Peers for metrics that are at hand.
pub fn metric_peers() -> Vec<Program> {
    let named = std::env::var_os("BENCH_VICTORIAMETRICS").map(PathBuf::from);
    let packaged = Some(PathBuf::from("/usr/bin/victoria-metrics"));
    named
        .or(packaged)
        .filter(|p| p.exists())
        .map(Program::VictoriaMetrics)
        .into_iter()
        .collect()
}

/// Peers for logs that are at hand.
pub fn log_peers() -> Vec<Program> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let victorialogs = path("BENCH_VICTORIALOGS").map(Program::VictoriaLogs);
    let loki = path("BENCH_LOKI").map(Program::Loki);
    victorialogs.into_iter().chain(loki).collect()
}

/// A running server.
pub struct Server {
    /// What runs.
    pub program: Program,
    /// Its port.
    pub port: u16,
    process: Process,
}

impl Server {
    /// Starts `program` over `folder`; also how long it took to be ready.
    pub fn start(program: &Program, folder: &Path) -> Result<(Server, Duration)> {
        Server::start_with(program, folder, &[])
    }

    /// The same with variables of the environment.
    pub fn start_with(program: &Program, folder: &Path, variables: &[(&str, &str)]) -> Result<(Server, Duration)> {
        let port = free_port()?;
        std::fs::create_dir_all(folder)?;
        let started = Instant::now();
        let mut command = program.command(folder, port)?;
        command.envs(variables.iter().copied());
        let process = Process::start(program.name(), command, &folder.join("log"))?;
        let mut server = Server {
            program: program.clone(),
            port,
            process,
        };
        let client = server.client();
        let path = program.ready_path();
        server.process.wait_until(Duration::from_secs(120), || {
            client.get(path, &[]).is_ok_and(|a| a.status == 200)
        })?;
        Ok((server, started.elapsed()))
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Result<()> {
        self.process.terminate(Duration::from_secs(120))?;
        Ok(())
    }

    /// User and system seconds so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.pid()))?;
        // The command name in parentheses may hold spaces; fields count from behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
        let ticks = |i: usize| -> Result<f64> { Ok(fields.get(i).context("stat")?.parse::<f64>()?) };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// Its memory, to be looked at from another thread.
    pub fn memory(&self) -> ServerMemory {
        ServerMemory(self.process.pid())
    }

    /// Megabytes of a line of /proc/<pid>/status such as `VmRSS` or `VmHWM`.
    pub fn status_mb(&self, name: &str) -> Result<f64> {
        self.memory().mb(name)
    }

    /// The value of a metric without labels on garner's own page.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = self.client().get("/metrics", &[])?.text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no metric {name}"))?.parse()?)
    }

    /// Waits until background work is quiet; false where the limit passed first.
    pub fn wait_quiet(&self) -> Result<bool> {
        let start = Instant::now();
        let mut before = self.cpu_seconds()?;
        while start.elapsed() < QUIET_LIMIT {
            std::thread::sleep(QUIET_FOR);
            let now = self.cpu_seconds()?;
            if now - before < QUIET_CPU * QUIET_FOR.as_secs_f64() {
                return Ok(true);
            }
            before = now;
        }
        Ok(false)
    }
}

/// The memory of a running server.
#[derive(Clone, Copy)]
pub struct ServerMemory(u32);

impl ServerMemory {
    fn mb(self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find(|l| l.starts_with(name)).context("status")?;
        Ok(line.split_whitespace().nth(1).context("status")?.parse::<f64>()? / 1024.0)
    }

    /// Resident megabytes now; `None` where the process has ended.
    pub fn resident_mb(self) -> Option<f64> {
        self.mb("VmRSS").ok()
    }
}

/// Merges all there is to merge, by each server's own request for it, and reports the CPU it took.
pub fn compact(server: &Server, report: &mut Report) -> Result<()> {
    let path = match server.program {
        Program::Garner => "/garner/api/v1/admin/compact",
        Program::VictoriaMetrics(_) => "/internal/force_merge",
        _ => return Ok(()),
    };
    let before = server.cpu_seconds()?;
    let answer = Client::with_timeout(server.port, COMPACTION_LIMIT).post(path, &[], b"")?;
    ensure!(
        answer.status < 300,
        "{path} answered {}: {}",
        answer.status,
        answer.text()
    );
    server.wait_quiet()?;
    report.set(
        server.program.name(),
        "CPU seconds of compaction",
        format!("{:.1}", server.cpu_seconds()? - before),
    );
    Ok(())
}

/// Bytes of all files below `folder`.
pub fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        sum += if kind.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            kind.len()
        };
    }
    Ok(sum)
}

/// First and median milliseconds of `repeats` more runs of `ask`.
pub fn latency(repeats: usize, mut ask: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    let mut once = || -> Result<f64> {
        let start = Instant::now();
        ask()?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    };
    let first = once()?;
    let mut rest = (0..repeats).map(|_| once()).collect::<Result<Vec<f64>>>()?;
    rest.sort_by(f64::total_cmp);
    Ok((first, rest[rest.len() / 2]))
}

/// Fails unless the answer is a 200 whose result is not empty. The answer is not parsed: the client's own work would
/// stand in the latency.
pub fn check_answer(query: &str, answer: &Answer) -> Result<()> {
    let empty = answer.body.windows(EMPTY_RESULT.len()).any(|w| w == EMPTY_RESULT);
    ensure!(
        answer.status == 200 && !empty,
        "{query}: {} {:.200}",
        answer.status,
        answer.text()
    );
    Ok(())
}

const EMPTY_RESULT: &[u8] = b"\"result\":[]";

/// The folder a server's data lies in: below `BENCH_KEEP` where that is set (and then kept), otherwise temporary.
pub fn data_folder(part: &str, program: &Program) -> Result<(PathBuf, Option<TempDir>)> {
    match std::env::var_os("BENCH_KEEP") {
        Some(keep) => Ok((PathBuf::from(keep).join(part).join(program.name()), None)),
        None => {
            let folder = tempfile::tempdir()?;
            Ok((folder.path().to_path_buf(), Some(folder)))
        }
    }
}
