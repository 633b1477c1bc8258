//! `garner-codec-bench`: bytes and speed of the page encodings, beside plain Gorilla and VictoriaMetrics' scheme on the same
//! chunks, and of log pages beside bare zstd; prints each figure with its bar.
//!
//! `garner-codec-bench [--size-only] [--targets N] [--by-family]` measures, and writes the benchmark's fleet of N targets (366)
//! as whole segments, on demand with bytes, information and decoding of each metric family; `--fleet-only` does nothing else. `--pack FILE [--scrapes N] [--hide VALUE]... RECORDED.gz...` makes the kept
//! recording out of what `scripts/record-scrapes.py` wrote, without label values that name the machine.

mod families;
#[path = "../fleet.rs"]
mod fleet;
mod gorilla;
mod histograms;
// The other program asks of it what this one does not.
#[allow(dead_code)]
#[path = "../lines.rs"]
mod lines;
mod logs;
mod measure;
mod mix;
mod recording;
mod series;
mod victoria;
mod whole;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use recording::Recording;

fn main() -> Result<()> {
    let mut pack: Option<PathBuf> = None;
    let (mut scrapes, mut targets, mut hide, mut inputs, mut speed) = (2400, 366, Vec::new(), Vec::new(), true);
    let (mut families, mut fleet_only) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--pack" => pack = Some(value()?.into()),
            "--scrapes" => scrapes = value()?.parse()?,
            "--targets" => targets = value()?.parse()?,
            "--hide" => hide.push(value()?),
            "--size-only" => speed = false,
            "--by-family" => families = true,
            "--fleet-only" => fleet_only = true,
            input => inputs.push(PathBuf::from(input)),
        }
    }
    match pack {
        Some(out) => keep(&out, scrapes, &hide, &inputs),
        None => {
            if !fleet_only {
                measure::run(speed)?;
                histograms::run()?;
                logs::run(speed)?;
            }
            whole::run(targets, families, speed)
        }
    }
}

fn keep(out: &Path, scrapes: usize, hide: &[String], inputs: &[PathBuf]) -> Result<()> {
    let targets = inputs.iter().map(|path| recording::parse(path, scrapes, hide));
    let bytes = Recording {
        targets: targets.collect::<Result<_>>()?,
    }
    .to_bytes()?;
    std::fs::write(out, &bytes)?;
    println!("{} bytes", bytes.len());
    Ok(())
}
