//! `garner fsck`: checks everything in the object store, and rebuilds a lost catalog.

use std::io::Write;

use garner_storage::clock::{Clock, SystemClock};
use garner_storage::object::ObjectInfo;
use garner_storage::repair::{self, Fault, FsckOptions, FsckReport, RebuildReport};

use super::bar::Bar;
use super::setup::Setup;
use super::{CLEAN, FAILED, FAULTS};
use crate::cli::FsckArgs;
use crate::server::ServeError;

/// Most orphans that are listed by name.
const MAX_LISTED: usize = 1000;

/// Runs the command and gives its exit status.
pub fn fsck(args: FsckArgs) -> Result<u8, ServeError> {
    let setup = Setup::new(args.store)?;
    let memory = garner_memory(&setup);
    let options = FsckOptions {
        quick: args.quick,
        memory_limit_bytes: memory,
    };
    let mut out = std::io::stdout().lock();
    let _folder = match setup.lock() {
        Ok(folder) => folder,
        Err(error) => return Ok(failed(&error)),
    };
    let bar = Bar::new();
    if args.rebuild {
        let now = SystemClock.now();
        let rebuilt = setup
            .runtime
            .block_on(repair::rebuild(&setup.bucket, &options, now, &bar));
        bar.clear();
        match rebuilt {
            Ok(report) => print_rebuild(&mut out, &report),
            Err(error) => return Ok(failed(&error)),
        }
    }
    let checked = setup.runtime.block_on(repair::fsck(&setup.bucket, &options, &bar));
    bar.clear();
    match checked {
        Ok(report) => {
            print_report(&mut out, &setup.url, &report);
            Ok(if report.is_clean() { CLEAN } else { FAULTS })
        }
        Err(error) => Ok(failed(&error)),
    }
}

fn garner_memory(setup: &Setup) -> u64 {
    match setup.settings.server.memory_limit_bytes {
        0 => crate::config::machine::default_memory_limit_bytes(&garner_storage::file::OsFiles),
        bytes => bytes,
    }
}

fn failed(error: &dyn std::fmt::Display) -> u8 {
    let _ = writeln!(std::io::stderr(), "garner: {error}");
    FAILED
}

// A reader that has seen enough is no error: what cannot be written is dropped.

fn print_faults(out: &mut impl Write, kind: &str, faults: &[Fault]) {
    for fault in faults {
        let _ = writeln!(out, "{kind}: {}: {}", fault.place, fault.what);
    }
}

fn print_orphans(out: &mut impl Write, orphans: &[ObjectInfo]) {
    for object in orphans.iter().take(MAX_LISTED) {
        let _ = writeln!(out, "orphan: {} ({} bytes)", object.path, object.size);
    }
    if orphans.len() > MAX_LISTED {
        let _ = writeln!(out, "orphan: {} more", orphans.len() - MAX_LISTED);
    }
}

fn print_rebuild(out: &mut impl Write, report: &RebuildReport) {
    let Some(version) = report.version else {
        let _ = writeln!(out, "the catalog is whole; nothing to rebuild");
        return;
    };
    let _ = writeln!(
        out,
        "rebuilt the catalog as version {version}: {} segments kept, {} taken in",
        report.kept, report.adopted
    );
    print_faults(out, "left out", &report.quarantined);
}

fn print_report(out: &mut impl Write, url: &str, report: &FsckReport) {
    let _ = writeln!(
        out,
        "{url}: catalog version {} in {} objects, {} deletes; {} segments in {} objects, {} rows, {} bytes",
        report.catalog_version,
        report.catalog_objects,
        report.deletes,
        report.segments,
        report.objects,
        report.rows,
        report.bytes
    );
    print_orphans(out, &report.orphans);
    print_faults(out, "catalog", &report.catalog_faults);
    print_faults(out, "fault", &report.faults);
    let _ = match (report.catalog_faults.is_empty(), report.faults.len()) {
        (true, 0) => writeln!(out, "no faults"),
        (true, n) => writeln!(out, "{n} faults; reads leave out what is damaged and say so"),
        (false, _) => writeln!(
            out,
            "the catalog is damaged: stop every garner on it and run garner fsck --rebuild"
        ),
    };
}
