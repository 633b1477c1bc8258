//! Bytes at rest of a stopped server, and what they are spent on.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use garner_compat_tests::garner;

use crate::report::Report;
use crate::server::{Program, disk_bytes};

/// Reports bytes a row or raw byte (`units` of them, named by `unit`) of the data folder below `folder`, whole and by what
/// they hold. Objects that merging replaced are told apart: garner deletes them after `compaction.deletion_grace`, an hour.
pub fn report(program: &Program, folder: &Path, units: f64, unit: &str, report: &mut Report) -> Result<()> {
    let data = folder.join("data");
    let each = |bytes: u64| format!("{:.4}", bytes as f64 / units);
    let whole = disk_bytes(&data)?;
    let (replaced, parts) = match program {
        Program::Garner => garner_parts(&data)?,
        Program::VictoriaMetrics(_) => (0, victoria_parts(&data)?),
        _ => (0, Vec::new()),
    };
    report.set(
        program.name(),
        &format!("bytes per {unit} at rest, compacted"),
        each(whole - replaced),
    );
    for (part, bytes) in parts {
        report.set(program.name(), &format!("of these: {part}"), each(bytes));
    }
    if replaced > 0 {
        report.set(
            program.name(),
            "beside these: replaced objects in their last hour",
            each(replaced),
        );
    }
    Ok(())
}

/// Bytes of replaced objects, and the parts of the rest by `garner storage sizes`; what is no segment is WAL and catalog.
fn garner_parts(data: &Path) -> Result<(u64, Vec<(&'static str, u64)>)> {
    let output = garner::command()?
        .args(["storage", "sizes", "--data-dir"])
        .arg(data)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    // The last block is that of the whole store.
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rposition(|l| !l.starts_with(' ')).context("no sizes")?;
    let bytes_of = |part: &str| -> Result<u64> {
        let line = lines[last..].iter().find_map(|l| l.trim().strip_prefix(part));
        let bytes = line.and_then(|l| l.split_whitespace().next());
        Ok(bytes.with_context(|| format!("no size of {part}"))?.parse()?)
    };
    let mut parts = vec![
        ("values", bytes_of("pages")?),
        ("times", bytes_of("times")? + bytes_of("chunk lists")?),
        ("index and labels", bytes_of("label index")? + bytes_of("label sets")?),
        ("directory", bytes_of("directory")? + bytes_of("beside")?),
    ];
    let live: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let segments = disk_bytes(&data.join("objects/v1/segments"))?;
    parts.push(("WAL and catalog", disk_bytes(data)?.saturating_sub(segments)));
    Ok((segments.saturating_sub(live), parts))
}

/// By the names of its files: values.bin, timestamps.bin, the folder of the index, and the index of blocks.
fn victoria_parts(data: &Path) -> Result<Vec<(&'static str, u64)>> {
    // The index moved from the one to the other; both count where they are.
    let index = ["indexdb", "data/indexdb"]
        .iter()
        .map(|folder| disk_bytes(&data.join(folder)).unwrap_or(0))
        .sum::<u64>();
    let (mut values, mut times) = (0, 0);
    sum_files(&data.join("data"), &mut |name, len| match name {
        "values.bin" => values += len,
        "timestamps.bin" => times += len,
        _ => {}
    })?;
    let rest = disk_bytes(data)?.saturating_sub(index + values + times);
    Ok(vec![
        ("values", values),
        ("times", times),
        ("index and labels", index),
        ("directory", rest),
    ])
}

fn sum_files(folder: &Path, found: &mut impl FnMut(&str, u64)) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            sum_files(&entry.path(), found)?;
        } else {
            found(&entry.file_name().to_string_lossy(), meta.len());
        }
    }
    Ok(())
}
