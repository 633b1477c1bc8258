//! What is kept answers without a request, within its budgets, and damage costs a read but no answer.
#![allow(clippy::unwrap_used)]

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures::FutureExt;
use object_store::memory::InMemory;
use tokio::runtime::Handle;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::file::{OsFiles, SharedFiles};
use crate::memory::{MemoryAccountant, MemoryUse};
use crate::object::{Bucket, RetryPolicy};
use crate::scan::ScanStats;

const KB: u64 = 1 << 10;
/// Of each of the pieces that the object is cut into.
const PIECE: u64 = 10 * KB;
const OBJECT: u64 = 4 << 20;

fn os_files() -> SharedFiles {
    Arc::new(OsFiles)
}

struct Fixture {
    bucket: Bucket,
    object: Bytes,
    account: MemoryAccountant,
}

impl Fixture {
    async fn new() -> Fixture {
        let store = Arc::new(InMemory::new());
        let bucket = Bucket::new(store, "", Handle::current(), RetryPolicy::default(), 1);
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let object: Bytes = (0..OBJECT).map(|_| next()).collect::<Vec<u8>>().into();
        bucket.put("o", object.clone()).await.unwrap();
        Fixture {
            bucket,
            object,
            account: MemoryAccountant::new(1 << 30),
        }
    }

    async fn open(&self, memory_bytes: u64, disk: Option<&Path>) -> Arc<PieceCache> {
        let settings = PieceCacheSettings {
            memory_bytes,
            disk: disk.map(|path| DiskCacheSettings {
                path: path.to_path_buf(),
                max_bytes: 16 << 20,
            }),
        };
        let cache = PieceCache::open(&settings, self.account.clone(), &os_files(), &Handle::current()).await;
        Arc::new(cache.unwrap())
    }

    fn origin(&self) -> Origin {
        Origin {
            bucket: self.bucket.clone(),
            object: "o".into(),
            base: 0,
            stats: Arc::default(),
            counters: Arc::default(),
        }
    }

    fn extents(&self, pieces: impl Iterator<Item = u64>) -> Vec<Extent> {
        let extent = |i: u64| {
            let range = i * PIECE..(i + 1) * PIECE;
            let bytes = self.object.slice(range.start as usize..range.end as usize);
            Extent::new(range, xxh3_64(&bytes))
        };
        pieces.map(extent).collect()
    }

    /// Reads these pieces, which must be right; gives what it cost.
    async fn read(&self, cache: &Arc<PieceCache>, pieces: impl Iterator<Item = u64>) -> Arc<ScanStats> {
        let (origin, extents) = (self.origin(), self.extents(pieces));
        let read = cache.read(&origin, &extents).await.unwrap();
        for (extent, piece) in extents.iter().zip(&read) {
            assert!(piece.is_whole && extent.is_whole(&piece.bytes), "{extent:?}");
        }
        assert_eq!(read.len(), extents.len());
        origin.stats
    }

    async fn requests(&self, cache: &Arc<PieceCache>, pieces: impl Iterator<Item = u64>) -> u64 {
        self.read(cache, pieces).await.object_requests.load(Relaxed)
    }
}

#[tokio::test]
async fn what_is_kept_is_not_asked_for_and_the_rest_is_read_together() {
    let fixture = Fixture::new().await;
    let cache = fixture.open(4 << 20, None).await;
    assert_eq!(fixture.requests(&cache, 5..15).await, 1);
    let again = fixture.read(&cache, 5..15).await;
    assert_eq!(again.object_requests.load(Relaxed), 0);
    assert_eq!(
        (again.cache_memory_hits.load(Relaxed), again.cache_bytes.load(Relaxed)),
        (10, 10 * PIECE)
    );
    // Any other selection of the same pieces, too.
    assert_eq!(fixture.requests(&cache, [14, 7, 5].into_iter()).await, 0);
    // A small gap is read along, as where nothing is kept.
    let around = fixture.read(&cache, 0..20).await;
    assert_eq!(
        (around.object_requests.load(Relaxed), around.object_bytes.load(Relaxed)),
        (1, 20 * PIECE)
    );
    assert_eq!(around.cache_misses.load(Relaxed), 10);
    // A wide one is not.
    assert_eq!(fixture.requests(&cache, 30..60).await, 1);
    let around = fixture.read(&cache, 25..65).await;
    assert_eq!(
        (around.object_requests.load(Relaxed), around.object_bytes.load(Relaxed)),
        (2, 10 * PIECE)
    );
    let empty = Extent::new(7..7, 0);
    let read = cache.read(&fixture.origin(), &[empty]).await.unwrap();
    assert_eq!(
        read.into_iter().map(|piece| piece.bytes).collect::<Vec<_>>(),
        [Bytes::new()]
    );
}

#[tokio::test]
async fn those_who_ask_at_one_time_are_served_by_one_read() {
    let fixture = Fixture::new().await;
    let cache = fixture.open(4 << 20, None).await;
    let all = futures::future::join_all((0..5).map(|i| fixture.read(&cache, i..i + 10))).await;
    let requests: Vec<u64> = all.iter().map(|stats| stats.object_requests.load(Relaxed)).collect();
    // Each but the first reads the one piece more that it wants.
    assert_eq!(requests, [1, 1, 1, 1, 1]);
    let bytes: u64 = all.iter().map(|stats| stats.object_bytes.load(Relaxed)).sum();
    assert_eq!(bytes, 14 * PIECE);

    // The one who asked first goes away: the other one is served all the same, by the same read.
    let before = fixture.bucket.counts(crate::object::Verb::Get).requests;
    let mut first = Box::pin(fixture.read(&cache, 100..110));
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = Box::pin(fixture.read(&cache, 100..110));
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(second.await.object_requests.load(Relaxed), 0);
    assert_eq!(fixture.bucket.counts(crate::object::Verb::Get).requests, before + 1);

    // Both go away: nothing is left behind that a later one would wait for.
    let mut lonely = Box::pin(fixture.read(&cache, 200..210));
    assert!(lonely.as_mut().now_or_never().is_none());
    drop(lonely);
    assert_eq!(fixture.requests(&cache, 200..210).await, 1);
}

#[tokio::test]
async fn a_failed_read_is_an_error_for_all_and_tried_again() {
    let fixture = Fixture::new().await;
    let cache = fixture.open(4 << 20, None).await;
    let origin = Origin {
        object: "not there".into(),
        ..fixture.origin()
    };
    let extents = fixture.extents(0..2);
    let (a, b) = tokio::join!(cache.read(&origin, &extents), cache.read(&origin, &extents));
    for answer in [a, b] {
        assert_eq!(answer.map_err(|e| e.kind()), Err(crate::ErrorKind::NotFound));
    }
    fixture.bucket.put("not there", fixture.object.clone()).await.unwrap();
    assert!(cache.read(&origin, &extents).await.is_ok());
}

#[tokio::test]
async fn what_fails_its_check_is_not_kept() {
    let fixture = Fixture::new().await;
    let cache = fixture.open(4 << 20, None).await;
    let mut extents = fixture.extents(0..3);
    extents[1].check = Check::Checksum(7);
    for expected in [0..3 * PIECE, PIECE..2 * PIECE, PIECE..2 * PIECE] {
        let origin = fixture.origin();
        let read = cache.read(&origin, &extents).await.unwrap();
        let bytes: Vec<_> = read.iter().map(|piece| piece.bytes.clone()).collect();
        assert_eq!(bytes.concat(), fixture.object[..3 * PIECE as usize]);
        assert_eq!(
            read.iter().map(|piece| piece.is_whole).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(origin.stats.object_bytes.load(Relaxed), expected.end - expected.start);
    }
    let never = Extent {
        range: 0..4,
        check: Check::Content(|_| false),
    };
    for _ in 0..2 {
        let origin = fixture.origin();
        cache.read(&origin, std::slice::from_ref(&never)).await.unwrap();
        assert_eq!(origin.stats.object_requests.load(Relaxed), 1);
    }
}

#[tokio::test]
async fn memory_stays_within_its_budget_and_on_the_account() {
    let mut fixture = Fixture::new().await;
    let budget = 512 * KB;
    let cache = fixture.open(budget, None).await;
    for start in 0..40 {
        fixture.read(&cache, start * 10..(start + 1) * 10).await;
        let kept = cache.counts().memory_bytes;
        assert!(kept <= budget, "{kept}");
        // What was pushed out is off the account.
        let held = fixture.account.used_bytes(MemoryUse::Cache);
        assert_eq!(held, kept);
    }
    assert!(cache.counts().memory_bytes > budget / 2);
    drop(cache);
    // foyer lets go in a task.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.account.used_bytes(MemoryUse::Cache), 0);

    // A process that is short of memory keeps nothing, and answers.
    fixture.account = MemoryAccountant::new(15 * KB);
    let cache = fixture.open(budget, None).await;
    assert_eq!(fixture.requests(&cache, 0..10).await, 1);
    assert_eq!(cache.counts().memory_bytes, PIECE + 256);
    assert_eq!(fixture.requests(&cache, 0..10).await, 1);
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_disk_answers_after_a_restart() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    for memory_bytes in [1 << 20, 0] {
        let cache = fixture.open(memory_bytes, Some(folder.path())).await;
        fixture.read(&cache, 0..400).await;
        cache.close(std::time::Duration::MAX).await;
        assert_eq!(cache.counts().disk_dropped, 0);
        drop(cache);
        let cache = fixture.open(memory_bytes, Some(folder.path())).await;
        // Far more than foyer takes at one time.
        let read = fixture.read(&cache, 0..400).await;
        assert_eq!(read.object_requests.load(Relaxed), 0);
        assert_eq!(
            (read.cache_disk_hits.load(Relaxed), read.cache_misses.load(Relaxed)),
            (400, 0)
        );
        // From then on memory has what it has room for.
        let read = fixture.read(&cache, 395..400).await;
        assert_eq!(read.cache_memory_hits.load(Relaxed) > 0, memory_bytes > 0);
        assert_eq!(read.object_requests.load(Relaxed), 0);
        // Another object's pieces at the same places are others.
        let origin = Origin {
            object: "p".into(),
            ..fixture.origin()
        };
        let other = cache.read(&origin, &fixture.extents(0..1)).await;
        assert_eq!(other.map_err(|e| e.kind()), Err(crate::ErrorKind::NotFound));
        cache.close(std::time::Duration::MAX).await;
    }
}

#[tokio::test]
async fn damage_on_disk_costs_a_read_and_no_answer() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    type Damage = fn(&mut std::fs::File, u64);
    let flip: Damage = |file, len| {
        // A byte of every page, so that everything is hit: data, headers, or the index in front of them.
        for at in (100..len).step_by(4096) {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[0xa5]).unwrap();
        }
    };
    let one: Damage = |file, len| {
        file.seek(SeekFrom::Start(len / 8)).unwrap();
        file.write_all(&[0x5a; 64]).unwrap();
    };
    let junk: Damage = |file, len| {
        let bytes: Vec<u8> = (0..len).map(|i| ((i * i) >> 3) as u8).collect();
        file.write_all(&bytes).unwrap();
    };
    let short: Damage = |file, len| file.set_len(len / 2).unwrap();
    for damage in [flip, one, junk, short] {
        let cache = fixture.open(0, Some(folder.path())).await;
        fixture.read(&cache, 0..300).await;
        cache.close(std::time::Duration::MAX).await;
        drop(cache);
        // Under a running cache, which has the index in memory, and before it starts.
        let running = fixture.open(0, Some(folder.path())).await;
        for path in files(folder.path()) {
            let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            let len = file.metadata().unwrap().len();
            damage(&mut file, len);
        }
        let read = fixture.read(&running, 0..300).await;
        assert!(read.object_requests.load(Relaxed) > 0);
        running.close(std::time::Duration::MAX).await;
        drop(running);
        let restarted = fixture.open(0, Some(folder.path())).await;
        fixture.read(&restarted, 0..300).await;
        restarted.close(std::time::Duration::MAX).await;
    }
}

#[tokio::test]
async fn the_disk_stays_within_its_budget() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    let size = |folder: &Path| -> u64 { files(folder).iter().map(|f| f.metadata().unwrap().len()).sum() };
    // The second finds every file full.
    for max_bytes in [8 << 20, 2 << 20, 2 << 20, 3 << 20] {
        let settings = PieceCacheSettings {
            memory_bytes: 0,
            disk: Some(DiskCacheSettings {
                path: folder.path().to_path_buf(),
                max_bytes,
            }),
        };
        let cache = PieceCache::open(&settings, fixture.account.clone(), &os_files(), &Handle::current()).await;
        let cache = Arc::new(cache.unwrap());
        // Four megabytes: more than two of the three budgets.
        for start in 0..40 {
            fixture.read(&cache, start * 10..(start + 1) * 10).await;
        }
        cache.close(std::time::Duration::MAX).await;
        assert!(size(folder.path()) <= max_bytes);
        assert_eq!(cache.counts().disk_bytes, max_bytes);
        // Some are there; which, a busy disk decides, since a cache waits for nobody.
        let cache = PieceCache::open(&settings, fixture.account.clone(), &os_files(), &Handle::current()).await;
        let cache = Arc::new(cache.unwrap());
        let mut hits = 0;
        for start in (0..40).rev() {
            let read = fixture.read(&cache, start * 10..(start + 1) * 10).await;
            hits += read.cache_disk_hits.load(Relaxed);
        }
        assert!(hits > 0, "{max_bytes}");
        cache.close(std::time::Duration::MAX).await;
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_passed_over() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"not a folder").unwrap();
    let cache = fixture.open(1 << 20, Some(&file.join("cache"))).await;
    assert_eq!(cache.counts().disk_bytes, 0);
    fixture.read(&cache, 0..10).await;
    assert_eq!(fixture.requests(&cache, 0..10).await, 0);

    let open = async |memory_bytes: u64, path: &Path, max_bytes: u64| {
        let path = path.to_path_buf();
        let disk = Some(DiskCacheSettings { path, max_bytes });
        let settings = PieceCacheSettings { memory_bytes, disk };
        PieceCache::open(&settings, fixture.account.clone(), &os_files(), &Handle::current()).await
    };
    assert!(open(0, &file, 16 << 20).await.is_none());
    // Too small for anything.
    assert!(open(0, folder.path(), 100 * KB).await.is_none());
}
