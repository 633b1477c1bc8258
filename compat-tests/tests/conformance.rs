//! The conformance suites beside the checkout (`../shared/conformance`), run against a server. Each has a floor, the number of
//! cases that must pass; floors only rise.
//!
//! Where the suites are missing that is said and nothing is run, except where the variable `CI` is set: there they must be.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use garner_compat_tests::garner::{Garner, Options};

/// Cases of each part of the PromQL suite that pass by default over remote write 1, and those that pass with every feature on
/// over remote write 2.
const PROMQL_FLOORS: [(&str, usize, usize); 3] = [
    ("core", 553, 553),
    ("experimental", 352, 381),
    ("native_histograms", 550, 550),
];
/// The same of the compliance queries.
const COMPLIANCE_FLOORS: (usize, usize) = (656, 656);
const LOGQL_FLOOR: usize = 1225;

fn suites() -> Result<Option<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    let missing = format!("no conformance suites at {}", folder.display());
    anyhow::ensure!(std::env::var_os("CI").is_none(), missing);
    println!("skipped: {missing}");
    Ok(None)
}

/// A server with the settings of `config`, and the folder that it writes to.
fn start(config: Option<PathBuf>) -> Result<(Garner, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let args = config.map(|file| vec!["--config".to_string(), file.display().to_string()]);
    let options = Options {
        args: args.unwrap_or_default(),
        ..Options::default()
    };
    Ok((Garner::start(&folder.path().join("data"), &options)?, folder))
}

/// The number of cases that passed, by the line of a runner that starts with `TOTAL`.
fn passed(text: &str) -> Option<usize> {
    let total = text.lines().rev().find(|line| line.starts_with("TOTAL"))?;
    let mut words = total.split_whitespace();
    words.find(|word| *word == "passed")?;
    words.next()?.parse().ok()
}

/// Runs a part of a suite; prints the end of what the runner says, all of it where too few cases pass.
fn run(name: &str, script: &Path, garner: &Garner, args: &[&str], floor: usize) -> Result<()> {
    let url = format!("http://127.0.0.1:{}", garner.port);
    let output = Command::new("python3")
        .arg(script)
        .args(["--url", &url, "--verbose"])
        .args(args)
        .output()
        .context("running python3")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let passed = passed(&text).with_context(|| format!("the runner of {name} gave no total: {text}"))?;
    let lines: Vec<&str> = text.lines().collect();
    let shown = if passed < floor { lines.len() } else { 4 };
    println!("conformance {name}: {passed} passed, at least {floor} must");
    for line in &lines[lines.len().saturating_sub(shown)..] {
        println!("    {line}");
    }
    anyhow::ensure!(passed >= floor, "{name}: {passed} cases passed, {floor} did before");
    if passed > floor {
        println!("    the floor in compat-tests/tests/conformance.rs can rise to {passed}");
    }
    Ok(())
}

fn promql(config: Option<PathBuf>, remote_write: &str, floor: fn(usize, usize) -> usize) -> Result<()> {
    let Some(suites) = suites()? else { return Ok(()) };
    let (garner, _folder) = start(config)?;
    let mut failures = Vec::new();
    for (part, plain, featured) in PROMQL_FLOORS {
        let files = suites.join("promql/cases").join(part).display().to_string();
        let args = ["--files", &files, "--remote-write", remote_write];
        let name = format!("promql {part}, remote write {remote_write}");
        failures.extend(
            run(
                &name,
                &suites.join("promql/run.py"),
                &garner,
                &args,
                floor(plain, featured),
            )
            .err(),
        );
    }
    let name = format!("promql compliance, remote write {remote_write}");
    let script = suites.join("promql/compliance/compare.py");
    let args = ["--remote-write", remote_write];
    failures.extend(
        run(
            &name,
            &script,
            &garner,
            &args,
            floor(COMPLIANCE_FLOORS.0, COMPLIANCE_FLOORS.1),
        )
        .err(),
    );
    anyhow::ensure!(failures.is_empty(), "{failures:?}");
    Ok(())
}

#[test]
fn promql_by_default() -> Result<()> {
    promql(None, "v1", |plain, _| plain)
}

#[test]
fn promql_with_every_feature() -> Result<()> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("garner.toml");
    promql(Some(config), "v2", |_, featured| featured)
}

#[test]
fn logql() -> Result<()> {
    let Some(suites) = suites()? else { return Ok(()) };
    let (garner, _folder) = start(Some(suites.join("logql/garner.toml")))?;
    run(
        "logql",
        &suites.join("logql/run.py"),
        &garner,
        &["--max-diff", "0"],
        LOGQL_FLOOR,
    )
}

#[test]
fn totals_are_read_from_each_runner() {
    let check = |text: &str, expected| assert_eq!(passed(text), expected);
    check(
        "x\nTOTAL    passed   553  failed     0  skipped    0\n  skipped 1: y",
        Some(553),
    );
    check("TOTAL passed 1224 failed 5 of 1229 (99.6%) in 9.1s", Some(1224));
    check("FAIL a passed 3\n", None);
}
