//! Tables of the policy: catalogs in, jobs out.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::job::Job;
use super::policy::{Depth, PolicySettings, plan};
use crate::catalog::{CatalogState, CommitRequest};
use crate::model::{Signal, TenantId, TimeRange, Window};
use crate::object::paths::WriterId;
use crate::segment::{SegmentId, SegmentMeta};

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A day's first instant, in the middle of a month's window.
const NOW: i64 = 20_010 * DAY;
const MB: u64 = 1 << 20;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn segment(number: usize, tenant_name: &str, start: i64, end: i64, level: u8, len: u64) -> SegmentMeta {
    SegmentMeta {
        tenant: tenant(tenant_name),
        signal: Signal::Logs,
        id: SegmentId {
            object: format!("o{number:04}").into(),
            offset: 0,
        },
        len,
        tail_len: 1,
        range: TimeRange::new(start, end),
        rows: 100,
        series: 10,
        raw_bytes: len * 10,
        level,
    }
}

fn catalog(segments: Vec<SegmentMeta>) -> CatalogState {
    let mut request = CommitRequest::new(WriterId::new("w").unwrap());
    request.add = segments;
    CatalogState::default().apply(&request, NOW)
}

fn numbers(job: &Job) -> Vec<usize> {
    let number = |meta: &Arc<SegmentMeta>| meta.id.object[1..].parse().unwrap();
    let mut numbers: Vec<usize> = job.inputs.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Segments as (start, end, level, bytes), relative to `NOW`; jobs as (level, numbers of the inputs).
fn check(what: &str, depth: Depth, segments: &[(i64, i64, u8, u64)], expected: &[(u8, &[usize])]) {
    let metas = segments.iter().enumerate();
    let metas = metas.map(|(i, (start, end, level, len))| segment(i, "t", NOW + start, NOW + end, *level, *len));
    let jobs = plan(
        &catalog(metas.collect()),
        NOW,
        &PolicySettings::default(),
        depth,
        &|_| false,
        &|_| 0,
    );
    let found: Vec<(u8, Vec<usize>)> = jobs.iter().map(|job| (job.level, numbers(job))).collect();
    let expected: Vec<(u8, Vec<usize>)> = expected
        .iter()
        .map(|(level, inputs)| (*level, inputs.to_vec()))
        .collect();
    assert_eq!(found, expected, "{what}");
}

#[test]
fn settled_windows_are_merged_to_their_level() {
    let check = |what, segments: &[_], expected: &[(u8, &[usize])]| check(what, Depth::Economical, segments, expected);
    let old = -4 * HOUR;
    check("nothing", &[], &[]);
    check("one flush, alone", &[(old, old + 1, 0, MB)], &[(1, &[0])]);
    check("one merged before", &[(old, old + 1, 1, MB)], &[]);
    check(
        "flushes of one window, of the next",
        &[
            (old, old + 1, 0, MB),
            (old + HOUR, old + HOUR + 1, 0, MB),
            (old - 1, old, 0, MB),
        ],
        &[(1, &[2]), (1, &[0, 1])],
    );
    check(
        "two hours ago: not settled",
        &[(-2 * HOUR, -HOUR, 0, MB), (-2 * HOUR, -1, 0, MB)],
        &[],
    );
    check(
        "a day of windows, two days old",
        &[
            (-3 * DAY, -3 * DAY + 1, 1, MB),
            (-3 * DAY + 4 * HOUR, -3 * DAY + 5 * HOUR, 1, MB),
        ],
        &[(2, &[0, 1])],
    );
    check(
        "one window of that day alone is brought to its level too",
        &[(-3 * DAY, -3 * DAY + 1, 1, 900 * MB)],
        &[(2, &[0])],
    );
    let month = Window::of(NOW - 70 * DAY, NOW).range.start - NOW;
    check(
        "a month of days, and a late flush of its first",
        &[
            (month, month + DAY, 2, MB),
            (month + DAY, month + 2 * DAY, 2, MB),
            (month, month + 1, 0, 10),
            (month - DAY, month, 3, MB),
        ],
        &[(3, &[0, 1, 2])],
    );
}

#[test]
fn late_rows_wait_for_their_like() {
    let check = |what, segments: &[_], expected: &[(u8, &[usize])]| check(what, Depth::Economical, segments, expected);
    let old = -4 * HOUR;
    check(
        "a late flush leaves the large rest alone",
        &[(old, old + HOUR, 1, 800 * MB), (old, old + 1, 0, MB)],
        &[(1, &[1])],
    );
    check(
        "and takes along what is not much larger",
        &[
            (old, old + HOUR, 1, 800 * MB),
            (old, old + 1, 0, MB),
            (old, old + 2, 1, 4 * MB),
            (old, old + 2, 1, 19 * MB),
            (old, old + 2, 1, 97 * MB),
        ],
        &[(1, &[1, 2, 3])],
    );
    check(
        "small ones are merged among themselves",
        &[
            (old, old + HOUR, 1, 800 * MB),
            (old, old + 1, 1, MB),
            (old, old + 1, 1, MB),
        ],
        &[(1, &[1, 2])],
    );
    check(
        "with the large one once they are a quarter of it",
        &[
            (old, old + HOUR, 1, 800 * MB),
            (old, old + 1, 1, 100 * MB),
            (old, old + 1, 1, 100 * MB),
        ],
        &[(1, &[0, 1, 2])],
    );
    check(
        "each much larger than the one before: left alone",
        &[
            (old, old + 1, 1, MB),
            (old, old + 1, 1, 5 * MB),
            (old, old + 1, 1, 50 * MB),
        ],
        &[],
    );
}

#[test]
fn windows_that_still_fill_are_merged_by_eights() {
    let recent = |n: usize, len: u64| -> Vec<(i64, i64, u8, u64)> {
        (0..n as i64)
            .map(|i| (-HOUR + i * MINUTE, -HOUR + (i + 1) * MINUTE, 0, len))
            .collect()
    };
    check("seven", Depth::Economical, &recent(7, 5 * MB), &[]);
    let eight: Vec<usize> = (0..8).collect();
    check("eight", Depth::Economical, &recent(8, 5 * MB), &[(1, &eight)]);
    let mut more = recent(7, 5 * MB);
    more.push((-HOUR, -MINUTE, 1, 200 * MB));
    check("seven and a large one", Depth::Economical, &more, &[]);
    let mut future = recent(8, MB);
    future
        .iter_mut()
        .for_each(|s| (s.0, s.1) = (s.0 + 100 * DAY, s.1 + 100 * DAY));
    check("rows of the future", Depth::Economical, &future, &[(1, &eight)]);
}

#[test]
fn the_full_depth_leaves_one_segment_a_window() {
    let old = -4 * HOUR;
    let check = |what, segments: &[_], expected: &[(u8, &[usize])]| check(what, Depth::Full, segments, expected);
    check(
        "a large one and a late flush",
        &[(old, old + HOUR, 1, 800 * MB), (old, old + 1, 0, MB)],
        &[(1, &[0, 1])],
    );
    check(
        "an unsettled window",
        &[(-HOUR, -1, 0, MB), (-HOUR, -2, 0, MB)],
        &[(1, &[0, 1])],
    );
    check("one flush of it", &[(-HOUR, -1, 0, MB)], &[(1, &[0])]);
    check("done", &[(-HOUR, -1, 1, MB), (old, old + 1, 1, MB)], &[]);
    check(
        "too large for one job",
        &[
            (old, old + 1, 1, 1500 * MB),
            (old + 1, old + 2, 1, 600 * MB),
            (old + 2, old + 3, 1, 600 * MB),
        ],
        &[(1, &[1, 2])],
    );
}

#[test]
fn jobs_stay_inside_their_bounds() {
    let metas: Vec<SegmentMeta> = (0..100)
        .map(|i| segment(i, "t", NOW - 4 * HOUR + i as i64, NOW - 4 * HOUR + i as i64 + 1, 0, MB))
        .collect();
    let sizes = |settings: &PolicySettings, skip: usize| -> Vec<usize> {
        let state = catalog(metas.clone());
        let skipped = |meta: &SegmentMeta| meta.id == metas[skip].id;
        let jobs = plan(&state, NOW, settings, Depth::Economical, &skipped, &|_| 0);
        assert!(jobs.iter().flat_map(|job| &job.inputs).all(|meta| !skipped(meta)));
        jobs.iter().map(|job| job.inputs.len()).collect()
    };
    let settings = PolicySettings {
        max_inputs: 40,
        ..PolicySettings::default()
    };
    assert_eq!(sizes(&settings, 7), [40, 40, 19]);
    let settings = PolicySettings {
        max_job_bytes: 30 * MB,
        max_inputs: 100,
        ..PolicySettings::default()
    };
    assert_eq!(sizes(&settings, 99), [30, 30, 30, 9]);
    let settings = PolicySettings {
        max_job_series: 500,
        max_inputs: 100,
        settle: Duration::ZERO,
        ..PolicySettings::default()
    };
    assert_eq!(sizes(&settings, 0), [50, 49]);
}

#[test]
fn segments_of_different_groups_are_not_merged() {
    let old = NOW - 4 * HOUR;
    let metas = (0..6).map(|i| segment(i, "t", old, old + 1, 0, MB)).collect();
    let odd = |meta: &SegmentMeta| u64::from(meta.id.object.ends_with(['1', '3', '5']));
    let jobs = plan(
        &catalog(metas),
        NOW,
        &PolicySettings::default(),
        Depth::Full,
        &|_| false,
        &odd,
    );
    assert_eq!(jobs.iter().map(numbers).collect::<Vec<_>>(), [[0, 2, 4], [1, 3, 5]]);
}

/// What a job makes: one segment with as many rows, or fewer bytes.
fn done(job: &Job, number: usize) -> SegmentMeta {
    let range = TimeRange::new(
        job.inputs.iter().map(|m| m.range.start).min().unwrap(),
        job.inputs.iter().map(|m| m.range.end).max().unwrap(),
    );
    SegmentMeta {
        tenant: job.tenant.clone(),
        ..segment(number, "t", range.start, range.end, job.level, job.bytes() * 9 / 10 + 1)
    }
}

proptest! {
    /// Whatever there is, doing the jobs ends; no job mixes tenants or windows; each segment is in one job at most; and
    /// the full depth leaves no two segments that would fit together.
    #[test]
    fn doing_the_jobs_ends(
        segments in prop::collection::vec((0..80 * DAY, 1..2 * HOUR, 0..4u8, 1..3000 * MB, 0..3usize), 0..60),
        full in any::<bool>(),
    ) {
        let depth = if full { Depth::Full } else { Depth::Economical };
        let settings = PolicySettings { max_inputs: 10, ..PolicySettings::default() };
        let metas = segments.iter().enumerate().map(|(i, (age, width, level, len, t))| {
            segment(i, ["a", "b", "c"][*t], NOW - age, NOW - age + width, *level, *len)
        });
        let mut state = catalog(metas.collect());
        let mut next = segments.len();
        for round in 0.. {
            let jobs = plan(&state, NOW, &settings, depth, &|_| false, &|_| 0);
            if jobs.is_empty() {
                break;
            }
            prop_assert!(round < 200, "{jobs:?}");
            let mut request = CommitRequest::new(WriterId::new("w").unwrap());
            for job in &jobs {
                prop_assert!(!job.inputs.is_empty() && job.inputs.len() <= 10);
                prop_assert!(job.inputs.len() == 1 || job.bytes() <= settings.max_job_bytes);
                let window = Window::around(job.inputs[0].range, NOW);
                for meta in &job.inputs {
                    prop_assert!(meta.tenant == job.tenant && Window::around(meta.range, NOW) == window);
                    prop_assert!(!request.remove.contains(&meta.id), "a segment in two jobs");
                    request.remove.push(meta.id.clone());
                }
                request.add.push(done(job, next));
                next += 1;
            }
            state = state.apply(&request, NOW);
        }
        for (_, _, list) in state.by_lane() {
            for (i, a) in list.iter().enumerate() {
                let window = Window::around(a.range, NOW);
                let settled = window.range.end + 35 * MINUTE <= NOW;
                prop_assert!(a.level >= window.level || !(settled || full), "{a:?}");
                for b in list[i + 1..].iter().filter(|b| full && Window::around(b.range, NOW) == window) {
                    let neighbours = list.iter().filter(|m| Window::around(m.range, NOW) == window).count() == 2;
                    prop_assert!(!neighbours || a.len + b.len > settings.max_job_bytes, "{a:?} {b:?}");
                }
            }
        }
    }
}
