//! The real binary: start, signals, exit statuses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long the slowest of machines may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn start(data_dir: &Path) -> Process {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = garner()
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(data_dir)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !ask(port, "GET /ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(child.try_wait().unwrap().is_none(), "the server ended");
            assert!(started.elapsed() < PATIENCE, "the server is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        Process { child, port }
    }

    fn terminate(mut self, signal: &str) -> Option<i32> {
        Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not stop");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary without variables of whoever runs the tests.
fn garner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_garner"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GARNER_") || name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

/// One request on a connection of its own.
fn ask(port: u16, head: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn run(arguments: &[&str]) -> Output {
    garner().args(arguments).output().unwrap()
}

#[test]
fn signals_end_the_server_cleanly_and_the_folder_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let process = Process::start(folder.path());
        assert!(ask(process.port, "POST /flush").unwrap().starts_with("HTTP/1.1 204"));
        assert_eq!(process.terminate(signal), Some(0));
    }
}

#[test]
fn a_second_server_on_one_folder_refuses_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Process::start(folder.path());
    let data_dir = folder.path().to_str().unwrap();
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("garner: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(data_dir), "{text}");
}

#[test]
fn wrong_settings_end_the_start_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("garner.toml");
    std::fs::write(&file, "[limits]\nmax_lin_size = 5\n").unwrap();
    let file = file.to_str().unwrap();
    let missing = format!("{file}.missing");
    for (arguments, named) in [
        (vec!["serve", "--config", file], "limits.max_lin_size"),
        (vec!["serve", "--config", &missing], &*missing),
        (vec!["serve", "--listen", "here"], "server.listen"),
        (vec!["serve", "--object-store", "ftp://x"], "object_store.url"),
    ] {
        let output = run(&arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("garner: ") && text.contains(named), "{text}");
    }
}

#[test]
fn help_and_version_are_printed() {
    let version = run(&["--version"]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        concat!("garner ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let help = String::from_utf8_lossy(&run(&["serve", "--help"]).stdout).into_owned();
    for flag in ["--config", "--listen", "--data-dir", "--object-store", "Exit status"] {
        assert!(help.contains(flag), "{help}");
    }
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run(&["settings"]).stdout).contains("| `server.listen` |"));
}
