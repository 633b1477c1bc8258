//! Several writers on one bucket, and objects that nobody named.

use super::*;

#[tokio::test]
async fn writers_that_share_a_bucket_drop_the_merge_that_lost() {
    let first = StoreFixture::new(10);
    let (one, written) = filled(&first, 10, 4, 3).await;
    let second = StoreFixture {
        disk: crate::testing::SimDisk::new(11),
        seed: 11,
        fail_points: FailPoints::default(),
        ..first.clone()
    };
    let two = second.open().await.unwrap();
    written.check(&two, "the other sees it").await;
    // The second one merges while the first has stored its object and not committed yet.
    first.fail_points.arm("compact.object_put", 0, FailAction::Stall);
    let stalled = tokio::spawn({
        let one = one.clone();
        async move { one.compact_once(Depth::Full).await }
    });
    first.fail_points.reached().await;
    two.compact_all().await.unwrap();
    stalled.abort();
    written.check(&two, "merged by the other").await;
    written.check(&one, "with its old view").await;
    // A process that wakes up late finds its inputs gone; here the same commit by a writer that planned before.
    let third = StoreFixture {
        disk: crate::testing::SimDisk::new(12),
        seed: 12,
        ..second.clone()
    };
    let three = third.open().await.unwrap();
    let mut more = written.clone();
    let mut rng = StdRng::seed_from_u64(12);
    more.write(&three, &mut rng, 4).await;
    three.flush().await.unwrap();
    more.write(&two, &mut rng, 4).await;
    two.flush().await.unwrap();
    let (a, b) = tokio::join!(two.compact_all(), three.compact_all());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.failures, b.failures), (0, 0), "{a:?} {b:?}");
    for storage in [&two, &three] {
        storage.refresh().await.unwrap();
        more.check(storage, "both merged").await;
    }
    two.compact_all().await.unwrap();
    three.refresh().await.unwrap();
    more.check(&three, "in the end").await;
    assert_eq!(three.stats().segment_rows, more.rows(), "each row once");
}

#[tokio::test]
async fn an_orphan_is_deleted_and_a_late_commit_of_it_is_refused_and_flushed_again() {
    let fixture = StoreFixture::new(13);
    let storage = fixture.open().await.unwrap();
    let mut written = Written::default();
    written.write(&storage, &mut StdRng::seed_from_u64(13), 2).await;
    // A flush whose commit is cut off: the object is there, whether it is committed is not known.
    let (other, faults) = StoreFixture {
        disk: crate::testing::SimDisk::new(14),
        seed: 14,
        ..fixture.clone()
    }
    .open_faulty()
    .await
    .unwrap();
    written.write(&other, &mut StdRng::seed_from_u64(14), 2).await;
    fixture.fail_points.arm("flush.object_put", 0, FailAction::Fail);
    other.flush().await.unwrap_err();
    storage.flush().await.unwrap();
    assert_eq!(objects(&fixture).await.len(), 2);
    assert_eq!(storage.sweep_once().await.unwrap(), None, "it may still be committed");
    fixture
        .clock
        .advance(fixture.config.orphan_age + Duration::from_secs(1));
    assert_eq!(storage.sweep_once().await.unwrap().unwrap().orphans_deleted, 1);
    assert_eq!(objects(&fixture).await.len(), 1, "live objects of that age stay");
    faults.set_faults(Faults::default());
    // The rows are still in the other's memory and WAL, and go into an object of a name that may be committed.
    other.flush().await.unwrap();
    storage.refresh().await.unwrap();
    written.check(&storage, "flushed again").await;
}
