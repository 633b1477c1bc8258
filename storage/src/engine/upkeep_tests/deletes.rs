//! Upkeep waits for memory, and for deletes that can be taken back.

use super::*;

#[tokio::test]
async fn upkeep_waits_while_memory_is_short() {
    let mut fixture = StoreFixture::new(15);
    let (storage, written) = filled(&fixture, 15, 2, 3).await;
    drop(storage);
    fixture.disk.crash();
    fixture.memory_limit_bytes = 1 << 20;
    fixture.config.tail_cache_bytes = 0;
    let storage = fixture.open().await.unwrap();
    let mut held = storage
        .0
        .components
        .accountant
        .reservation(crate::memory::MemoryUse::Query);
    held.try_grow(950_000).unwrap();
    let error = storage.compact_once(Depth::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(storage.upkeep_status().totals.paused, 1);
    drop(held);
    // 256 KB are too little for a merge: the job fails alone, waits, and nothing is lost.
    let report = storage.compact_once(Depth::Full).await;
    assert!(report.is_err() || report.unwrap().unwrap().failures == 1);
    written.check(&storage, "not merged").await;
}

#[tokio::test]
async fn deletes_outlive_merges_while_they_can_be_taken_back_and_are_carried_out_after() {
    let fixture = StoreFixture::new(16);
    let (storage, written) = filled(&fixture, 16, 4, 3).await;
    let a = tenant("a");
    let delete = |app: &str, filter: Option<&str>, hours: u64| DeleteRequest {
        signal: Signal::Logs,
        matchers: vec![LabelMatcher::new("app", MatchOp::Equal, app).unwrap()],
        filter: filter.map(Arc::from),
        range: TimeRange::new(START - 3 * DAY, START),
        query: app.into(),
        cancel_period: Duration::from_secs(hours * 3600),
    };
    let requests = vec![
        delete("s0", None, 24),
        delete("s1", Some("line 1"), 24),
        delete("none", None, 24),
    ];
    let made = storage.create_deletes(&a, requests).await.unwrap();
    let taken_back = storage.create_deletes(&a, vec![delete("s2", None, 48)]).await.unwrap();
    // Accepted after the deletes: new data, in segments that they do not cover.
    let mut later = written.clone();
    later.write(&storage, &mut StdRng::seed_from_u64(17), 4).await;
    storage.flush().await.unwrap();
    let later: BTreeSet<_> = later.entries.difference(&written.entries).cloned().collect();
    let hidden = |(t, e): &(TenantId, Entry), s2: bool| {
        let app = e.stream.get("app").unwrap();
        let named = app == "s0" || (app == "s1" && e.line == b"line 1") || (s2 && app == "s2");
        *t == a && named && e.time >= START - 3 * DAY && e.time < START
    };
    let check = async |storage: &Storage, what: &str, s2: bool| {
        for name in ["a", "b"] {
            let t = tenant(name);
            let mut found = read_entries(storage, &t, &[], TimeRange::ALL).await.unwrap();
            found.dedup();
            let kept = written.entries.iter().filter(|entry| !hidden(entry, s2));
            let expected: BTreeSet<&Entry> = kept
                .chain(&later)
                .filter(|(own, _)| *own == t)
                .map(|(_, e)| e)
                .collect();
            // What was written again after its delete is there again; random rows are the same now and then.
            let again = found.iter().filter(|e| !expected.contains(e)).count();
            let written_again = |e: &&Entry| hidden(&(t.clone(), (*e).clone()), s2);
            assert_eq!(again, 0, "{what}: {:?}", found.iter().find(|e| !expected.contains(e)));
            let missing: Vec<_> = expected.iter().filter(|e| !found.contains(e)).collect();
            assert!(
                missing.is_empty(),
                "{what}: {missing:?} {}",
                found.iter().filter(written_again).count()
            );
        }
    };
    check(&storage, "hidden", true).await;
    storage.compact_all().await.unwrap();
    check(&storage, "merged", true).await;
    let covered = |storage: &Storage| -> u64 { storage.deletes(&a, Signal::Logs).iter().map(|d| d.covered).sum() };
    assert!(covered(&storage) > 0, "they are inherited");
    storage
        .cancel_delete(&a, Signal::Logs, taken_back[0].id, false)
        .await
        .unwrap();
    check(&storage, "one taken back", false).await;
    let rows = storage.stats().segment_rows;
    fixture.clock.advance(Duration::from_secs(25 * 3600));
    storage.compact_all().await.unwrap();
    check(&storage, "carried out", false).await;
    assert_eq!(covered(&storage), 0, "nothing is left to hide");
    assert_eq!(storage.deletes(&a, Signal::Logs).len(), made.len());
    assert!(storage.stats().segment_rows < rows, "the rows are gone from the store");
    drop(storage);
    fixture.disk.crash();
    let storage = fixture.open().await.unwrap();
    check(&storage, "opened again", false).await;
}
