//! Rules for streams and entries, with Loki's order and texts (`pkg/distributor/validator.go`, `pkg/validation/validate.go`).

use std::borrow::Cow;
use std::time::Duration;

use garner_storage::model::SERVICE_NAME;

use super::limits::LogLimits;
use super::service_name::is_internal;
use crate::loki::{Entry, EntryTime, StreamLabels};
use crate::text::rfc3339;

/// The one metadata name that does not count towards the size limits (loki `pkg/util/entry_size.go`).
const DETECTED_LEVEL: &[u8] = b"detected_level";

/// Times at which entries are accepted, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryWindow {
    oldest_ns: i64,
    newest_ns: i64,
}

impl EntryWindow {
    /// The window around the server's time.
    pub(crate) fn new(limits: &LogLimits, now_ns: i64) -> Self {
        let oldest_ns = match limits.reject_old_samples {
            true => now_ns.saturating_sub(nanos(limits.reject_old_samples_max_age)),
            false => i64::MIN,
        };
        EntryWindow {
            oldest_ns,
            newest_ns: newest_ns(now_ns, limits.creation_grace_period),
        }
    }
}

/// The last accepted time. `i64::MAX` is never a row's time ([`garner_storage::model::TimeRange::ALL`]).
pub(super) fn newest_ns(now_ns: i64, grace: Duration) -> i64 {
    now_ns.saturating_add(nanos(grace)).min(i64::MAX - 1)
}

pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Checks the labels of a stream.
pub(crate) fn check_stream(labels: &StreamLabels<'_>, limits: &LogLimits) -> Result<(), String> {
    if labels.iter().len() == 0 {
        return Err("error at least one label pair is required per stream".to_string());
    }
    if is_internal(labels) {
        return Ok(());
    }
    // `service_name` is often made by the server, so it does not count.
    let names = labels.iter().len() - usize::from(labels.get(SERVICE_NAME).is_some());
    if limits.max_label_names_per_series > 0 && names > limits.max_label_names_per_series {
        return Err(format!(
            "entry for stream '{}' has {names} label names; limit {}",
            labels.format(),
            limits.max_label_names_per_series
        ));
    }
    let mut previous = "";
    for (name, value) in labels.iter() {
        if limits.max_label_name_length > 0 && name.len() > limits.max_label_name_length {
            return Err(format!(
                "stream '{}' has label name too long: '{name}'",
                labels.format()
            ));
        }
        if limits.max_label_value_length > 0 && value.len() > limits.max_label_value_length {
            return Err(format!(
                "stream '{}' has label value too long: '{value}'",
                labels.format()
            ));
        }
        if name == previous {
            return Err(format!(
                "stream '{}' has duplicate label name: '{name}'",
                labels.format()
            ));
        }
        previous = name;
    }
    Ok(())
}

/// What an entry's structured metadata counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MetadataSize {
    bytes: usize,
    pairs: usize,
}

impl MetadataSize {
    /// Of these names and values.
    pub(crate) fn of<'p>(pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>) -> Self {
        pairs.fold(MetadataSize::default(), |size, (name, value)| MetadataSize {
            bytes: size.bytes
                + if name == DETECTED_LEVEL {
                    0
                } else {
                    name.len() + value.len()
                },
            pairs: size.pairs + 1,
        })
    }
}

/// Checks one entry, which carries `shared` metadata beside its own, and returns its time.
pub(crate) fn check_entry(
    labels: &StreamLabels<'_>,
    entry: &Entry<'_>,
    shared: MetadataSize,
    limits: &LogLimits,
    window: EntryWindow,
) -> Result<i64, String> {
    let time_ns = check_time(labels, entry.time, window)?;
    if limits.max_line_size > 0 && entry.line.len() > limits.max_line_size {
        return Err(format!(
            "max entry size '{}' bytes exceeded for stream '{}' while adding an entry with length '{}' bytes",
            limits.max_line_size,
            labels.format(),
            entry.line.len()
        ));
    }
    if !entry.metadata.is_empty() || shared.pairs > 0 {
        let own = MetadataSize::of(entry.metadata.iter().map(|(name, value)| (&**name, &**value)));
        check_metadata(labels, own.bytes + shared.bytes, own.pairs + shared.pairs, limits)?;
    }
    Ok(time_ns)
}

fn check_time(labels: &StreamLabels<'_>, time: EntryTime, window: EntryWindow) -> Result<i64, String> {
    let too_old = |time: String| {
        Err(format!(
            "entry for stream '{}' has timestamp too old: {time}, oldest acceptable timestamp is: {}",
            labels.format(),
            rfc3339(window.oldest_ns)
        ))
    };
    let too_new = |time: String| {
        Err(format!(
            "entry for stream '{}' has timestamp too new: {time}",
            labels.format()
        ))
    };
    match time {
        EntryTime::Ns(ns) if ns < window.oldest_ns => too_old(rfc3339(ns)),
        EntryTime::Ns(ns) if ns > window.newest_ns => too_new(rfc3339(ns)),
        EntryTime::Ns(ns) => Ok(ns),
        EntryTime::BeforeRange => too_old("before 1677".to_string()),
        EntryTime::AfterRange => too_new("after 2262".to_string()),
    }
}

fn check_metadata(labels: &StreamLabels<'_>, size: usize, count: usize, limits: &LogLimits) -> Result<(), String> {
    let settings = "or contact your Loki administrator to";
    if !limits.allow_structured_metadata {
        return Err(format!(
            "stream '{}' includes structured metadata, but this feature is disallowed. Please see \
             `limits_config.allow_structured_metadata` {settings} enable it",
            labels.format()
        ));
    }
    if limits.max_structured_metadata_size > 0 && size > limits.max_structured_metadata_size {
        return Err(format!(
            "stream '{}' has structured metadata too large: '{size}' bytes, limit: '{}' bytes. Please see \
             `limits_config.max_structured_metadata_size` {settings} increase it",
            labels.format(),
            limits.max_structured_metadata_size
        ));
    }
    let max_count = limits.max_structured_metadata_entries_count;
    if max_count > 0 && count > max_count {
        return Err(format!(
            "stream '{}' has too many structured metadata labels: '{count}', limit: '{max_count}'. Please see \
             `limits_config.max_structured_metadata_entries_count` {settings} increase it",
            labels.format()
        ));
    }
    Ok(())
}

/// Cuts a line that is too long, where the limits ask for it (loki `pkg/distributor/distributor.go`, `truncateLines`).
pub(crate) fn truncate_line(line: &mut Cow<'_, [u8]>, limits: &LogLimits) {
    let max = limits.max_line_size;
    if !limits.max_line_size_truncate || max == 0 || line.len() <= max {
        return;
    }
    let suffix = limits.max_line_size_truncate_identifier.as_bytes();
    let Some(keep) = max.checked_sub(suffix.len()).filter(|keep| *keep > 0) else {
        return;
    };
    let mut cut = line[..keep].to_vec();
    cut.extend_from_slice(suffix);
    *line = Cow::Owned(cut);
}
