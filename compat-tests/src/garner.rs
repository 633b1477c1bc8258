//! A garner server as a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::http::Client;
use crate::process::{Process, free_port};

/// How long a server may take until `/ready`; generous, since debug builds replay slowly.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The garner binary: `TEST_GARNER_BIN`, or the one that `cargo build` left beside the running program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TEST_GARNER_BIN") {
        return Ok(path.into());
    }
    // This program is target/<profile>/<program> or target/<profile>/deps/<test>.
    let program = std::env::current_exe()?;
    match program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|p| p.join("garner"))
        .find(|p| p.is_file())
    {
        Some(path) => Ok(path),
        None => bail!("no garner binary: run `cargo build --bin garner` (make compat does), or set TEST_GARNER_BIN"),
    }
}

/// The binary to be started without the variables of these tests: they are no settings, and an unknown one would rightly
/// stop the server.
pub fn command() -> Result<Command> {
    command_via(&[])
}

fn command_via(via: &[String]) -> Result<Command> {
    let mut words = via.iter().map(OsString::from).chain([binary()?.into()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GARNER_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// How a server is started.
#[derive(Clone, Default)]
pub struct Options {
    /// More arguments after `serve --listen … --data-dir …`.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// A program and its first arguments, which is given the server's command and becomes it.
    pub via: Vec<String>,
}

/// A running server.
pub struct Garner {
    /// Its process.
    pub process: Process,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Garner {
    /// Starts a server over `data_dir` and waits until it is ready.
    pub fn start(data_dir: &Path, options: &Options) -> Result<Garner> {
        let mut garner = Garner::spawn(data_dir, options)?;
        let client = garner.client();
        garner
            .process
            .wait_until(READY_LIMIT, || client.get("/ready", &[]).is_ok_and(|a| a.status == 200))?;
        Ok(garner)
    }

    /// Starts a server and does not wait.
    pub fn spawn(data_dir: &Path, options: &Options) -> Result<Garner> {
        let port = free_port()?;
        let mut command = command_via(&options.via)?;
        command
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--data-dir".as_ref(), data_dir.as_os_str()])
            .args(&options.args)
            .envs(options.env.iter().cloned());
        let log = data_dir.with_extension("log");
        Ok(Garner {
            process: Process::start("garner", command, &log)?,
            port,
        })
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// Makes everything acknowledged durable on the object store.
    pub fn flush(&self) -> Result<()> {
        let answer = self.client().post("/flush", &[], b"")?;
        if !(200..300).contains(&answer.status) {
            bail!("/flush answered {}: {}", answer.status, answer.text());
        }
        Ok(())
    }
}
