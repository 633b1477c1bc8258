//! What the README promises a newcomer: its own lines, copied and run, on a server with its defaults.
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner::{Garner, Options, command as garner_command};
use garner_compat_tests::process::Process;

/// The lines of the README's block that begins with `marker`.
fn readme_block(marker: &str) -> Result<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let (_, rest) = readme
        .split_once(marker)
        .with_context(|| format!("README.md has no block {marker:?}"))?;
    let (block, _) = rest.split_once("```").context("the block does not end")?;
    Ok(block.to_string())
}

#[test]
fn the_readme_lines_push_and_read_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let garner = Garner::start(&folder.path().join("data"), &Options::default())?;
    let script =
        readme_block("```sh\n# push and read back\n")?.replace("127.0.0.1:3100", &format!("127.0.0.1:{}", garner.port));
    let output = Command::new("bash").arg("-euc").arg(&script).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(text.contains("hello garner"), "the log line is not read back: {text}");
    ensure!(text.contains(r#""42""#), "the sample is not read back: {text}");
    Ok(())
}

#[test]
fn a_second_server_on_one_folder_is_refused_and_settings_are_checked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let _first = Garner::start(&data, &Options::default())?;
    let mut second = Garner::spawn(&data, &Options::default())?;
    let code = second.process.wait_exit(Duration::from_secs(20))?;
    ensure!(
        code.is_some_and(|c| c != 0),
        "the second server must refuse, not end with {code:?}"
    );
    ensure!(
        second.process.tail().contains("data"),
        "the message names the folder: {}",
        second.process.tail()
    );

    let config = folder.path().join("bad.toml");
    for (text, name) in [
        ("[limits]\nmax_lin_size = 1\n", "max_lin_size"),
        ("listen = 5\n", "listen"),
    ] {
        std::fs::write(&config, text)?;
        let output = garner_command()?.args(["serve", "--config"]).arg(&config).output()?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && message.contains(name), "{text}: {message}");
        ensure!(message.trim().lines().count() == 1, "one line is enough: {message}");
    }
    Ok(())
}

#[test]
fn serve_runs_without_any_argument() -> Result<()> {
    if std::net::TcpListener::bind("127.0.0.1:3100").is_err() {
        println!("skipped: port 3100 is taken on this machine");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut command = garner_command()?;
    command.arg("serve").current_dir(folder.path());
    let mut process = Process::start("garner", command, &folder.path().join("log"))?;
    let client = garner_compat_tests::http::Client::new(3100);
    process.wait_until(Duration::from_secs(30), || {
        client.get("/ready", &[]).is_ok_and(|a| a.status == 200)
    })?;
    ensure!(
        folder.path().join("garner-data").is_dir(),
        "the default data folder is ./garner-data"
    );
    ensure!(
        process.terminate(Duration::from_secs(30))? == Some(0),
        "SIGTERM ends with 0"
    );
    Ok(())
}
