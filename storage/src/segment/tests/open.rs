//! Opening a segment, matching and finding what is damaged: few reads, and parts that are kept.

use super::*;

fn many_series(n: usize) -> Samples {
    (0..n)
        .map(|i| {
            let metric = if i % 2 == 0 { "up" } else { "http_requests_total" };
            let mut pairs = vec![("__name__", metric.to_string()), ("pod", format!("pod-{i}"))];
            if i % 3 == 0 {
                pairs.push(("zone", format!("z{}", i % 5)));
            }
            (
                SeriesKey(Labels::from_pairs(pairs)),
                vec![(i as i64, i as f64), (i as i64 + 10, 1.0)],
            )
        })
        .collect()
}

/// Every matcher gives the same series as asking it of each label set: with the series table alone and with tantivy.
#[test]
fn matchers_agree_with_label_sets() {
    for n in [300, 9002] {
        let series = many_series(n);
        let fixture = Fixture::new();
        let reader = fixture.place("o", &write_samples(&series).unwrap());
        let check = |matchers: &[(&str, MatchOp, &str)]| {
            let matchers: Vec<LabelMatcher> = matchers
                .iter()
                .map(|(name, op, value)| LabelMatcher::new(name, *op, value).unwrap())
                .collect();
            let scan = fixture.scan();
            let found = fixture
                .runtime
                .block_on(reader.select(&matchers, TimeRange::ALL, &scan))
                .unwrap();
            let found: Vec<&Labels> = found.iter().map(|s| &s.labels).collect();
            let passes = |labels: &Labels| matchers.iter().all(|m| m.matches_labels(labels));
            let expected: Vec<&Labels> = series.keys().map(|k| &k.0).filter(|l| passes(l)).collect();
            assert_eq!(found, expected, "{matchers:?}");
        };
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        check(&[]);
        check(&[("__name__", Equal, "up")]);
        check(&[("__name__", NotEqual, "up"), ("zone", Equal, "z1")]);
        check(&[("pod", Equal, "pod-17")]);
        check(&[("pod", Equal, "absent")]);
        check(&[("zone", Equal, "")]);
        check(&[("zone", NotEqual, "")]);
        check(&[("zone", Regex, "z[12]|")]);
        check(&[("zone", NotRegex, "z[12]|")]);
        check(&[("zone", Regex, ".*")]);
        check(&[("zon", NotEqual, "")]);
        check(&[("nope", Regex, "x?")]);
        check(&[("nope", Regex, "x+")]);
        check(&[
            ("pod", Regex, "pod-1.*"),
            ("zone", NotEqual, "z3"),
            ("__name__", Regex, "h.*"),
        ]);
        let scan = fixture.scan();
        let range = TimeRange::new(n as i64 + 9, n as i64 + 10);
        let names = fixture.runtime.block_on(reader.label_names(&[], range, &scan)).unwrap();
        assert_eq!(names, ["__name__", "pod"]);
        let values = fixture
            .runtime
            .block_on(reader.label_values("zone", &[], TimeRange::ALL, &scan))
            .unwrap();
        assert_eq!(values, ["z0", "z1", "z2", "z3", "z4"]);
    }
}

#[test]
fn a_segment_is_opened_by_one_read_and_its_tail_is_kept() {
    let fixture = Fixture::new();
    let reader = fixture.place("o", &write_samples(&many_series(5000)).unwrap());
    let scan = fixture.scan();
    fixture.runtime.block_on(async {
        reader.select(&[], TimeRange::ALL, &scan).await.unwrap();
        assert_eq!(fixture.bucket.counts(Verb::Get).requests, 1);
        reader.select(&[], TimeRange::ALL, &scan).await.unwrap();
        assert_eq!(fixture.bucket.counts(Verb::Get).requests, 1);
        reader
            .read_samples(&[0, 1, 2, 4999], TimeRange::ALL, &scan)
            .await
            .unwrap();
        assert_eq!(fixture.bucket.counts(Verb::Get).requests, 2);
    });
    assert_eq!(scan.stats.object_requests.load(Ordering::Relaxed), 2);
    assert_eq!(fixture.account.used_bytes(MemoryUse::Query), 0);
    assert_eq!(fixture.account.used_bytes(MemoryUse::Cache), fixture.cache.size_bytes());
    assert!(fixture.cache.size_bytes() > 0);
    fixture.cache.retain(|_| false);
    assert_eq!(fixture.account.total_bytes(), 0);
}

#[test]
fn a_damaged_page_is_left_out_and_counted() {
    // Two metrics of 20,000 samples each: two pages.
    let rows: Vec<(i64, f64)> = (0..20_000).map(|i| (i, i as f64)).collect();
    let series: Samples = [
        (key(&[("__name__", "a")]), rows.clone()),
        (key(&[("__name__", "b")]), rows.clone()),
    ]
    .into();
    let mut segment = write_samples(&series).unwrap();
    segment.bytes[3] ^= 1;
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    let scan = fixture.scan();
    let columns = fixture
        .runtime
        .block_on(reader.read_samples(&[0, 1], TimeRange::ALL, &scan))
        .unwrap();
    assert_eq!(columns.offsets, [0, 0, 20_000]);
    assert_eq!(scan.stats.pages_corrupt.load(Ordering::Relaxed), 1);
    assert_eq!(scan.stats.pages.load(Ordering::Relaxed), 1);
}

#[test]
fn a_footer_of_another_tenant_is_not_read() {
    let fixture = Fixture::new();
    let mut segment = write_samples(&many_series(3)).unwrap();
    segment.meta.tenant = TenantId::new("other").unwrap();
    let reader = fixture.place("o", &segment);
    let scan = fixture.scan();
    let answer = fixture.runtime.block_on(reader.select(&[], TimeRange::ALL, &scan));
    assert_eq!(answer.unwrap(), []);
    assert_eq!(scan.stats.pages_corrupt.load(Ordering::Relaxed), 1);
}

#[test]
fn writers_refuse_series_out_of_order() {
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    writer.push_series(&key(&[("__name__", "b")]).0, &[1], &[1.0]).unwrap();
    assert!(writer.push_series(&key(&[("__name__", "a")]).0, &[1], &[1.0]).is_err());
    assert!(
        writer
            .push_series(&key(&[("__name__", "c")]).0, &[2, 2], &[1.0, 1.0])
            .is_err()
    );
    assert!(writer.push_series(&key(&[("__name__", "c")]).0, &[2], &[]).is_err());
}

/// What a segment costs beside its pages: thousands of quiet tenants each write a small one at every flush.
#[test]
fn tails_are_small() {
    let check = |n: usize, max_tail_bytes: u64| {
        let mut series = Samples::new();
        for i in 0..n {
            let (pod, instance) = (
                format!("api-server-7f9c{:05x}", i * 7919),
                format!("10.0.{}.{}:9100", i / 256, i % 256),
            );
            let labels = [
                ("__name__", "node_cpu_seconds_total"),
                ("cluster", "prod-eu"),
                ("namespace", "kube-system"),
                ("job", "node-exporter"),
                ("pod", &pod),
                ("instance", &instance),
                ("mode", ["idle", "user"][i % 2]),
            ];
            series.insert(key(&labels), vec![(0, 1.0)]);
        }
        let segment = write_samples(&series).unwrap();
        assert!(
            segment.meta.tail_len <= max_tail_bytes,
            "{n} series: {} bytes",
            segment.meta.tail_len
        );
    };
    check(1, 1_000);
    check(10, 1_300);
    // With the label index.
    check(5_000, 5_000 * 30);
}

#[test]
fn sections_before_the_tail_are_read_apart() {
    let series = many_series(4500);
    let mut writer = SampleSegmentWriter::new(tenant(), 0);
    writer.builder.max_tail_bytes = 1_000;
    for (key, rows) in &series {
        let (times, values): (Vec<i64>, Vec<f64>) = rows.iter().copied().unzip();
        writer.push_series(&key.0, &times, &values).unwrap();
    }
    let segment = writer.finish().unwrap().unwrap();
    assert!(segment.meta.tail_len <= 1_000);
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(
        read_all_samples(&fixture, &reader, TimeRange::ALL),
        inside(&series, TimeRange::ALL)
    );
    // Tail, series group, time columns, and the pages.
    assert_eq!(fixture.bucket.counts(Verb::Get).requests, 4);
}

#[test]
fn matching_survives_a_damaged_label_index() {
    let series = many_series(4500);
    let mut segment = write_samples(&series).unwrap();
    let footer = Footer::decode(&segment.bytes).unwrap();
    let index = footer.section(SectionId::LabelIndex).unwrap();
    segment.bytes[index.offset as usize + 100] ^= 1;
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(
        read_all_samples(&fixture, &reader, TimeRange::ALL),
        inside(&series, TimeRange::ALL)
    );
}

#[test]
fn the_cache_keeps_what_was_used_last() {
    let fixture = Fixture::new();
    let segment = write_samples(&many_series(200)).unwrap();
    let readers: Vec<SegmentReader> = (0..3).map(|i| fixture.place(&format!("o{i}"), &segment)).collect();
    let scan = fixture.scan();
    let open = |i: usize, cache: &Arc<TailCache>| {
        let reader = SegmentReader::new(fixture.bucket.clone(), Arc::clone(readers[i].meta()), Arc::clone(cache));
        let before = fixture.bucket.counts(Verb::Get).requests;
        fixture
            .runtime
            .block_on(reader.select(&[], TimeRange::ALL, &scan))
            .unwrap();
        fixture.bucket.counts(Verb::Get).requests - before
    };
    open(0, &fixture.cache);
    let one = fixture.cache.size_bytes();
    let cache = Arc::new(TailCache::new(fixture.account.clone(), 2 * one));
    let reads: Vec<u64> = [0, 1, 0, 2, 0, 1].map(|i| open(i, &cache)).into();
    assert_eq!(reads, [1, 1, 0, 1, 0, 1]);
    assert!(cache.size_bytes() > one && cache.size_bytes() <= 2 * one);
    // Short of memory, the cache gives way instead of failing the query.
    let short = Arc::new(TailCache::new(MemoryAccountant::new(one + one / 2), 10 * one));
    let reads: Vec<u64> = [0, 1, 1, 0].map(|i| open(i, &short)).into();
    assert_eq!(reads, [1, 1, 0, 1]);
    let none = Arc::new(TailCache::new(fixture.account.clone(), 0));
    assert_eq!([open(0, &none), open(0, &none)], [1, 1]);
}
