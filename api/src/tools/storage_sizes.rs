//! `garner storage sizes`: what the bytes of the object store are spent on.

use std::io::Write;

use garner_storage::repair::store_sizes;
use garner_storage::segment::SegmentSizes;

use super::bar::Bar;
use super::setup::Setup;
use super::{CLEAN, FAILED};
use crate::cli::StoreArgs;
use crate::server::ServeError;

/// Runs the command and gives its exit status.
pub fn storage_sizes(args: StoreArgs) -> Result<u8, ServeError> {
    let setup = Setup::new(args)?;
    let bar = Bar::new();
    let sizes = setup.runtime.block_on(store_sizes(&setup.bucket, &bar));
    bar.clear();
    let sizes = match sizes {
        Ok(sizes) => sizes,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "garner: {error}");
            return Ok(FAILED);
        }
    };
    let mut out = std::io::stdout().lock();
    let mut all = SegmentSizes::default();
    for (of, sizes) in &sizes {
        print(
            &mut out,
            &format!("{} {} level {}", of.tenant, of.signal, of.level),
            sizes,
        );
        all.add(sizes);
    }
    print(&mut out, &setup.url, &all);
    Ok(CLEAN)
}

/// A reader that has seen enough is no error: what cannot be written is dropped.
fn print(out: &mut impl Write, name: &str, sizes: &SegmentSizes) {
    let per_row = |bytes: u64| bytes as f64 / sizes.rows.max(1) as f64;
    let _ = writeln!(
        out,
        "{name}: {} segments, {} rows, {} series, {} bytes, {:.4} a row",
        sizes.segments,
        sizes.rows,
        sizes.series,
        sizes.total(),
        per_row(sizes.total())
    );
    for (part, bytes) in sizes.parts() {
        let _ = writeln!(out, "  {part:<12} {bytes:>14} {:>9.4} a row", per_row(bytes));
    }
}
