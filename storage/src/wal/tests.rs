//! The log end to end: what was answered comes back, what failed does not, and the log heals.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::catalog::WalPosition;
use crate::error::{ErrorKind, Result};
use crate::file::{Files, SharedFiles};
use crate::head::{Rows, SampleRows};
use crate::model::{Labels, Signal, TenantId, TimeRange};
use crate::testing::SimDisk;

const DIR: &str = "/wal";

/// One sample of series `id`, which is named by its id and generation.
#[derive(Debug)]
struct TestRows {
    lane: LaneKey,
    rows: Rows,
    body: RowsBody,
    generation: u64,
    visible: Arc<Mutex<Vec<i64>>>,
}

impl PendingRows for TestRows {
    fn lane(&self) -> &LaneKey {
        &self.lane
    }
    fn time_range(&self) -> TimeRange {
        self.rows.time_range()
    }
    fn series(&self) -> [&[u32]; 2] {
        [self.rows.series(), self.rows.exemplar_series()]
    }
    fn index_generation(&self) -> u64 {
        self.generation
    }
    fn labels(&self, id: u32) -> Labels {
        name_of(id, self.generation)
    }
    fn body(&self) -> &RowsBody {
        &self.body
    }
    fn make_visible(&mut self) {
        self.visible.lock().extend(self.rows.times());
    }
}

fn name_of(id: u32, generation: u64) -> Labels {
    Labels::from_pairs([("id", id.to_string()), ("generation", generation.to_string())])
}

fn lane(tenant: &str) -> LaneKey {
    (TenantId::new(tenant).unwrap(), Signal::Metrics)
}

/// A log on a simulated disk, and what became visible.
struct Fixture {
    disk: SimDisk,
    max_file_bytes: u64,
    visible: Arc<Mutex<Vec<i64>>>,
}

impl Fixture {
    fn new() -> Self {
        let disk = SimDisk::new(7);
        disk.files().create_dir_all(Path::new(DIR)).unwrap();
        Fixture {
            disk,
            max_file_bytes: 1 << 20,
            visible: Arc::default(),
        }
    }

    fn files(&self) -> SharedFiles {
        Arc::new(self.disk.files())
    }

    fn start(&self) -> Wal {
        let replayed = replay(&self.files(), Path::new(DIR), &|_| None, &mut |_| Ok(())).unwrap();
        let settings = WalSettings {
            dir: PathBuf::from(DIR),
            sync_interval: None,
            max_file_bytes: self.max_file_bytes,
            thread: WalThread::Own,
        };
        Wal::start(self.files(), settings, replayed.files, replayed.last_number + 1).unwrap()
    }

    fn rows(&self, tenant: &str, generation: u64, id: u32, time: i64) -> Box<TestRows> {
        let mut rows = SampleRows::default();
        rows.push(id, time, time as f64);
        let rows = Rows::Samples(rows);
        let lane = lane(tenant);
        Box::new(TestRows {
            body: encode_rows(&lane.0, &rows).unwrap(),
            lane,
            rows,
            generation,
            visible: self.visible.clone(),
        })
    }

    async fn append(&self, wal: &Wal, time: i64) -> Result<()> {
        wal.append(self.rows("a", 1, time as u32, time)).await
    }

    /// Times and labels of all rows that a start would bring back.
    fn replay(&self, from: &dyn Fn(&LaneKey) -> Option<WalPosition>) -> Result<Vec<(i64, Labels)>> {
        let mut rows = Vec::new();
        replay(&self.files(), Path::new(DIR), from, &mut |replayed| {
            let ids = replayed.rows.series().iter().map(|id| replayed.series[id].clone());
            rows.extend(replayed.rows.times().iter().copied().zip(ids));
            Ok(())
        })?;
        Ok(rows)
    }

    fn replayed_times(&self) -> Vec<i64> {
        self.replay(&|_| None)
            .unwrap()
            .into_iter()
            .map(|(time, _)| time)
            .collect()
    }

    fn wal_files(&self) -> Vec<PathBuf> {
        let entries = self.files().list(Path::new(DIR)).unwrap();
        entries.into_iter().map(|e| Path::new(DIR).join(e.name)).collect()
    }
}

#[tokio::test]
async fn appends_that_wait_together_share_a_sync_and_all_come_back() {
    let fixture = Fixture::new();
    let wal = fixture.start();
    fixture.disk.set_sync_delay(std::time::Duration::from_millis(1));
    let before = fixture.disk.syncs();
    let appends = (0..200).map(|time| fixture.append(&wal, time));
    for outcome in futures::future::join_all(appends).await {
        outcome.unwrap();
    }
    let counters = wal.counters();
    assert_eq!(counters.records, 200);
    // One sync begins the file.
    assert_eq!(fixture.disk.syncs() - before, counters.groups + 1);
    assert!(counters.groups < 200, "{} groups", counters.groups);
    fixture.disk.power_loss();
    assert_eq!(fixture.replayed_times(), (0..200).collect::<Vec<_>>());
    let mut visible = fixture.visible.lock().clone();
    visible.sort_unstable();
    assert_eq!(visible, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_begun_is_not_removed_before_its_first_rows_are_known() {
    let fixture = Fixture::new();
    let wal = fixture.start();
    fixture.disk.set_sync_delay(std::time::Duration::from_millis(5));
    let append = fixture.append(&wal, 1);
    let removal = async {
        let mut removed = 0;
        while fixture.visible.lock().is_empty() {
            removed += wal.truncate(&|_| None).unwrap();
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
        removed
    };
    let (appended, removed) = tokio::join!(append, removal);
    appended.unwrap();
    assert_eq!((removed, fixture.replayed_times()), (0, vec![1]));
}

#[tokio::test]
async fn files_rotate_define_their_series_and_go_when_committed() {
    let mut fixture = Fixture::new();
    fixture.max_file_bytes = 300;
    let wal = fixture.start();
    for time in 0..20 {
        wal.append(fixture.rows("a", 1, 1, time)).await.unwrap();
    }
    wal.append(fixture.rows("b", 2, 1, 99)).await.unwrap();
    let files = wal.size().0;
    assert!(files > 3, "{files} files");
    let rows = fixture.replay(&|_| None).unwrap();
    assert_eq!(rows.len(), 21);
    assert!(rows[..20].iter().all(|(_, labels)| *labels == name_of(1, 1)));
    assert_eq!(rows[20], (99, name_of(1, 2)));

    let end = wal.position();
    let committed = |key: &LaneKey| (*key == lane("a")).then_some(end);
    assert!(wal.oldest_lanes(&|_| None).contains(&lane("a")));
    let removed = wal.truncate(&committed).unwrap();
    assert!(
        removed > 0 && removed < files,
        "the file with b's row and the current one stay"
    );
    assert_eq!(fixture.replay(&committed).unwrap(), [(99, name_of(1, 2))]);
    assert!(wal.oldest_lanes(&committed).iter().all(|key| *key == lane("b")));
    wal.close();
    wal.truncate(&|_| Some(end)).unwrap();
    assert!(
        fixture.wal_files().is_empty(),
        "a closed log keeps nothing that is committed"
    );
}

#[tokio::test]
async fn a_new_index_under_the_same_ids_is_defined_anew() {
    let fixture = Fixture::new();
    let wal = fixture.start();
    for (generation, time) in [(1, 10), (1, 11), (2, 12), (2, 13)] {
        wal.append(fixture.rows("a", generation, 5, time)).await.unwrap();
    }
    let expected: Vec<_> = [(10, 1), (11, 1), (12, 2), (13, 2)]
        .into_iter()
        .map(|(time, generation)| (time, name_of(5, generation)))
        .collect();
    assert_eq!(fixture.replay(&|_| None).unwrap(), expected);
}

#[tokio::test]
async fn a_failed_write_is_refused_whole_and_the_log_heals() {
    type Breakage = fn(&SimDisk, bool);
    let breakages: [(&str, Breakage); 3] = [
        ("disk full", |disk, on| {
            let used = disk.used_bytes();
            disk.set_capacity(on.then_some(used + 30));
        }),
        ("write error", |disk, on| disk.fail_appends(on)),
        ("sync error", |disk, on| disk.fail_syncs(on)),
    ];
    for (name, set) in breakages {
        for began in [false, true] {
            let fixture = Fixture::new();
            let wal = fixture.start();
            let mut expected = Vec::new();
            if began {
                fixture.append(&wal, 1).await.unwrap();
                expected.push(1);
            }
            set(&fixture.disk, true);
            for time in [2, 3] {
                let error = fixture.append(&wal, time).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
            }
            set(&fixture.disk, false);
            for time in [4, 5] {
                fixture.append(&wal, time).await.unwrap();
                expected.push(time);
            }
            assert_eq!(*fixture.visible.lock(), expected, "{name}, began {began}");
            fixture.disk.power_loss();
            assert_eq!(fixture.replayed_times(), expected, "{name}, began {began}");
            assert_eq!(
                fixture.replayed_times(),
                expected,
                "{name}: replaying again changes nothing"
            );
        }
    }
}

#[tokio::test]
async fn every_torn_tail_is_cut_off_once() {
    let fixture = Fixture::new();
    let wal = fixture.start();
    let mut ends = Vec::new();
    for time in 0..4 {
        fixture.append(&wal, time).await.unwrap();
        ends.push(wal.position().offset as usize);
    }
    drop(wal);
    let path = fixture.wal_files().remove(0);
    let whole = fixture.files().read(&path).unwrap();
    for cut in (0..=whole.len()).rev() {
        fixture
            .disk
            .damage(&path, |bytes| *bytes = whole[..cut].to_vec())
            .unwrap();
        let kept = ends.iter().filter(|end| **end <= cut).count() as i64;
        assert_eq!(fixture.replayed_times(), (0..kept).collect::<Vec<_>>(), "cut at {cut}");
        let left = fixture
            .wal_files()
            .first()
            .map_or(0, |p| fixture.files().read(p).unwrap().len());
        assert!(
            left == 0 || left >= 48 && left <= cut,
            "{left} bytes after a cut at {cut}"
        );
        if left == 0 {
            fixture.files().create_new(&path).map(drop).unwrap_or_default();
        }
    }
    // Zeros behind the end, as some file systems leave them.
    fixture
        .disk
        .damage(&path, |bytes| {
            *bytes = whole.to_vec();
            bytes.extend([0; 100]);
        })
        .unwrap();
    assert_eq!(fixture.replayed_times(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn damage_before_the_end_stops_the_start_and_names_the_place() {
    let mut fixture = Fixture::new();
    fixture.max_file_bytes = 200;
    let wal = fixture.start();
    for time in 0..6 {
        fixture.append(&wal, time).await.unwrap();
    }
    drop(wal);
    let mut paths = fixture.wal_files();
    paths.sort();
    assert!(paths.len() > 2);
    let first = fixture.files().read(&paths[0]).unwrap();
    let check = |damaged: Vec<u8>, what: &str| {
        fixture.disk.damage(&paths[0], |bytes| *bytes = damaged).unwrap();
        let error = fixture.replay(&|_| None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.to_string().contains(paths[0].to_str().unwrap()), "{error}");
    };
    let mut flipped = first.to_vec();
    flipped[80] ^= 1;
    check(flipped, "flipped bit");
    check(first[..first.len() - 1].to_vec(), "a byte missing");
    let mut header = first.to_vec();
    header[20] ^= 1;
    check(header, "damaged header");
    let mut version = first.to_vec();
    version[8] = 9;
    fixture.disk.damage(&paths[0], |bytes| *bytes = version).unwrap();
    let error = fixture.replay(&|_| None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("format 9"), "{error}");
}

#[tokio::test]
async fn rows_of_a_client_that_went_away_are_in_log_and_head_or_in_neither() {
    let fixture = Fixture::new();
    let wal = Arc::new(fixture.start());
    for time in 0..100 {
        let append = fixture.append(&wal, time);
        // Polled once, so that it is queued, then dropped.
        let _ = futures::poll!(Box::pin(append));
    }
    wal.close();
    let mut visible = fixture.visible.lock().clone();
    visible.sort_unstable();
    assert_eq!(visible, fixture.replayed_times());
    assert_eq!(visible.len(), 100);
}
