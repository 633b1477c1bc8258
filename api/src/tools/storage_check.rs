//! `garner storage check`: tries the object store with the requests that garner sends, and says which settings fit.

use std::io::Write;
use std::sync::Arc;

use garner_storage::clock::{SharedClock, SystemClock};
use garner_storage::repair::{BucketCheck, ConditionalCreate, check_bucket};

use super::bar::Bar;
use super::setup::Setup;
use super::{CLEAN, FAULTS};
use crate::cli::StoreArgs;
use crate::server::ServeError;

/// Runs the command and gives its exit status.
pub fn storage_check(args: StoreArgs) -> Result<u8, ServeError> {
    let setup = Setup::new(args)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let bar = Bar::new();
    let check = setup
        .runtime
        .block_on(check_bucket(&setup.bucket, &clock, setup.run, &bar));
    bar.clear();
    let single_writer = setup.settings.storage.store.catalog.single_writer;
    Ok(print(&mut std::io::stdout().lock(), &setup.url, &check, single_writer))
}

/// Prints what was found; the exit status. What cannot be written is dropped: a reader that has seen enough is no error.
fn print(out: &mut impl Write, url: &str, check: &BucketCheck, single_writer: bool) -> u8 {
    let _ = writeln!(out, "{url}");
    for step in &check.steps {
        let millis = step.elapsed.as_millis();
        let _ = match &step.fault {
            None => writeln!(out, "ok     {} ({millis} ms)", step.name),
            Some(fault) => writeln!(out, "FAULT  {} ({millis} ms): {fault}", step.name),
        };
    }
    let conditional = check.conditional_create;
    let others = check.faults().filter(|step| !step.name.starts_with("create")).count();
    if check.steps.first().is_some_and(|step| step.fault.is_some()) {
        let advice = "nothing can be written and read: look at object_store.url, object_store.endpoint, object_store.region, \
                      the keys, and object_store.path_style (true for most servers that are not AWS)";
        let _ = writeln!(out, "{advice}");
        return FAULTS;
    }
    let (fits, setting) = match conditional {
        ConditionalCreate::Works => (true, "catalog.single_writer = false"),
        ConditionalCreate::Ignored | ConditionalCreate::Refused => (single_writer, "catalog.single_writer = true"),
        ConditionalCreate::Unknown => (false, ""),
    };
    if !setting.is_empty() {
        let state = if fits {
            "as it is set"
        } else {
            "set it; then only one garner may write"
        };
        let _ = writeln!(out, "fits: {setting} ({state})");
    }
    if conditional == ConditionalCreate::Works && single_writer {
        let hint = "catalog.single_writer is set and need not be: this store creates objects conditionally";
        let _ = writeln!(out, "note: {hint}");
    }
    if fits && others == 0 { CLEAN } else { FAULTS }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use garner_storage::repair::CheckStep;

    use super::*;

    #[test]
    fn the_setting_that_fits_is_named() {
        let step = |name, fault: Option<&str>| CheckStep {
            name,
            elapsed: Duration::from_millis(5),
            fault: fault.map(str::to_string),
        };
        let check = |conditional_create, fault, single_writer, status, expected: &str| {
            let check = BucketCheck {
                steps: vec![step("put, read back", None), step("create only", fault)],
                conditional_create,
            };
            let mut out = Vec::new();
            assert_eq!(print(&mut out, "s3://b", &check, single_writer), status);
            let text = String::from_utf8_lossy(&out);
            assert!(text.contains(expected), "{text}");
        };
        let (ignored, works) = (ConditionalCreate::Ignored, ConditionalCreate::Works);
        check(
            works,
            None,
            false,
            CLEAN,
            "fits: catalog.single_writer = false (as it is set)",
        );
        check(works, None, true, CLEAN, "need not be");
        check(
            ignored,
            Some("writes over"),
            false,
            FAULTS,
            "fits: catalog.single_writer = true (set it",
        );
        check(
            ignored,
            Some("writes over"),
            true,
            CLEAN,
            "fits: catalog.single_writer = true (as it is set)",
        );
        check(
            ConditionalCreate::Unknown,
            Some("no answer"),
            true,
            FAULTS,
            "FAULT  create only (5 ms): no answer",
        );
    }
}
