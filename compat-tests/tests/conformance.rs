//! The conformance suites beside the checkout (`../shared/conformance`), run against a server; their totals are printed.
//! Where they are missing that is said, and nothing is run.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use garner_compat_tests::garner::{Garner, Options};

fn suites() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no conformance suites at {}", folder.display());
    None
}

/// Runs a suite and prints its last lines under `name`.
fn run(name: &str, script: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("python3").arg(script).args(args).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    println!("conformance {name}:");
    for line in &lines[lines.len().saturating_sub(8)..] {
        println!("    {line}");
    }
    anyhow::ensure!(
        output.status.code().is_some_and(|c| c < 2),
        "the runner of {name} failed: {text}"
    );
    Ok(())
}

#[test]
fn promql() -> Result<()> {
    let Some(suites) = suites() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let garner = Garner::start(&folder.path().join("data"), &Options::default())?;
    let url = format!("http://127.0.0.1:{}", garner.port);
    for group in ["core", "experimental", "native_histograms"] {
        let files = suites.join("promql/cases").join(group).display().to_string();
        run(
            &format!("promql {group}"),
            &suites.join("promql/run.py"),
            &["--url", &url, "--files", &files],
        )?;
    }
    run(
        "promql compliance",
        &suites.join("promql/compliance/compare.py"),
        &["--url", &url],
    )
}

#[test]
fn logql() -> Result<()> {
    let Some(suites) = suites() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let config = suites.join("logql/garner.toml").display().to_string();
    let options = Options {
        args: vec!["--config".into(), config],
        ..Options::default()
    };
    let garner = Garner::start(&folder.path().join("data"), &options)?;
    let url = format!("http://127.0.0.1:{}", garner.port);
    run(
        "logql",
        &suites.join("logql/run.py"),
        &["--url", &url, "--max-diff", "0"],
    )
}
