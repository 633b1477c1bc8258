//! Log entries come back as they were written, whole, filtered and in shares; where their pages are cut.

use super::*;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub time: i64,
    pub line: Vec<u8>,
    pub metadata: Labels,
    pub derived: Labels,
}

pub(super) type Logs = BTreeMap<SeriesKey, Vec<Entry>>;

fn log_rows(streams: &Logs) -> LogRows {
    let mut rows = LogRows::default();
    let mut lines: Vec<&[u8]> = Vec::new();
    for entry in streams.values().flatten() {
        rows.timestamps.push(entry.time);
        rows.line_lengths.push(entry.line.len() as u32);
        lines.push(&entry.line);
        // Sets may be named twice: writers must not rely on their being distinct.
        rows.metadata.push(rows.metadata_sets.len() as u32);
        rows.metadata_sets.push(entry.metadata.clone());
        rows.derived.push(rows.metadata_sets.len() as u32);
        rows.metadata_sets.push(entry.derived.clone());
    }
    for entries in streams.values() {
        rows.offsets
            .push(rows.offsets[rows.offsets.len() - 1] + entries.len() as u32);
    }
    rows.lines = Some(BinaryArray::from_vec(lines));
    rows
}

pub(super) fn write_logs(streams: &Logs) -> Option<SegmentBytes> {
    let rows = log_rows(streams);
    let mut writer = LogSegmentWriter::new(tenant(), 0);
    for (i, key) in streams.keys().enumerate() {
        let range = rows.offsets[i] as usize..rows.offsets[i + 1] as usize;
        writer.push_series(&key.0, &rows, range).unwrap();
    }
    writer.finish().unwrap()
}

pub(super) fn read_all_logs(fixture: &Fixture, reader: &SegmentReader, range: TimeRange, columns: LogColumns) -> Logs {
    let scan = fixture.scan();
    fixture.runtime.block_on(async {
        let series = reader.select(&[], range, &scan).await.unwrap();
        let ordinals: Vec<u32> = series.iter().map(|s| s.ordinal).collect();
        let rows = reader
            .read_logs(&ordinals, range, &columns.into(), &scan)
            .await
            .unwrap();
        rows.check(ordinals.len(), &columns.into()).unwrap();
        let set = |codes: &[u32], row: usize| match columns.metadata {
            true => rows.metadata_sets[codes[row] as usize].clone(),
            false => Labels::empty(),
        };
        let mut out = Logs::new();
        for (i, series) in series.into_iter().enumerate() {
            let own = rows.offsets[i] as usize..rows.offsets[i + 1] as usize;
            let entries: Vec<Entry> = own
                .map(|row| Entry {
                    time: rows.timestamps[row],
                    line: match &rows.lines {
                        Some(lines) => lines.value(row).to_vec(),
                        None => vec![0; rows.line_lengths[row] as usize],
                    },
                    metadata: set(&rows.metadata, row),
                    derived: set(&rows.derived, row),
                })
                .collect();
            if !entries.is_empty() {
                out.insert(SeriesKey(series.labels), entries);
            }
        }
        out
    })
}

/// What a read of `columns` in `range` must give.
fn expected_logs(streams: &Logs, range: TimeRange, columns: LogColumns) -> Logs {
    let mask = |e: &Entry| Entry {
        time: e.time,
        line: if columns.lines {
            e.line.clone()
        } else {
            vec![0; e.line.len()]
        },
        metadata: if columns.metadata {
            e.metadata.clone()
        } else {
            Labels::empty()
        },
        derived: if columns.metadata {
            e.derived.clone()
        } else {
            Labels::empty()
        },
    };
    let cut = |entries: &Vec<Entry>| {
        entries
            .iter()
            .filter(|e| range.contains(e.time))
            .map(mask)
            .collect::<Vec<_>>()
    };
    streams
        .iter()
        .map(|(k, e)| (k.clone(), cut(e)))
        .filter(|(_, e)| !e.is_empty())
        .collect()
}

fn logs_strategy() -> impl Strategy<Value = Logs> {
    let metadata = prop::collection::vec(("[a-c]", "[a-z]{0,3}"), 0..3).prop_map(Labels::from_pairs);
    let derived = prop_oneof![
        Just(Labels::empty()),
        Just(Labels::from_pairs([("detected_level", "info")]))
    ];
    let time = prop_oneof![
        (0..10i64).prop_map(|n| n * 1_700_000_000_000),
        any::<i64>().prop_filter("storable", |t| *t < i64::MAX)
    ];
    let line = prop::collection::vec(any::<u8>(), 0..80);
    let entry = (time, line, metadata, derived).prop_map(|(time, line, metadata, derived)| Entry {
        time,
        line,
        metadata,
        derived,
    });
    let entries = prop::collection::vec(entry, 1..60).prop_map(|mut entries| {
        entries.sort_by_key(|e| e.time);
        entries
    });
    prop::collection::btree_map(labels_strategy(), entries, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn log_entries_come_back(streams in logs_strategy(), a in any::<i64>(), b in any::<i64>()) {
        let fixture = Fixture::new();
        let Some(segment) = write_logs(&streams) else {
            prop_assert!(streams.is_empty());
            return Ok(());
        };
        let reader = fixture.place("o", &segment);
        for range in [TimeRange::ALL, TimeRange::new(a.min(b), a.max(b)), TimeRange::new(0, 5_000_000_000_000)] {
            for columns in [ALL_COLUMNS, LogColumns { lines: false, metadata: false }, LogColumns { lines: false, metadata: true }] {
                prop_assert_eq!(
                    read_all_logs(&fixture, &reader, range, columns),
                    expected_logs(&streams, range, columns)
                );
            }
        }
    }
}

/// Lines of even length.
#[derive(Debug)]
struct EvenLines;

impl LineFilter for EvenLines {
    fn select(&self, lines: LineSlice<'_>, rows: &mut Vec<u32>) {
        rows.clear();
        rows.extend((0..lines.len() as u32).filter(|row| lines.line(*row as usize).len().is_multiple_of(2)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn filtered_shares_hold_every_row_that_passes_once(streams in logs_strategy(), a in any::<i64>(), b in any::<i64>(), of in 1usize..4) {
        let fixture = Fixture::new();
        let Some(segment) = write_logs(&streams) else { return Ok(()) };
        let reader = Arc::new(fixture.place("o", &segment));
        for (range, filtered) in [(TimeRange::ALL, true), (TimeRange::new(a.min(b), a.max(b)), true), (TimeRange::ALL, false)] {
            let scan = fixture.scan();
            let read = LogRead {
                filter: filtered.then(|| Arc::new(EvenLines) as Arc<dyn LineFilter>),
                ..LogRead::from(ALL_COLUMNS)
            };
            let series = fixture.runtime.block_on(reader.select(&[], range, &scan)).unwrap();
            let ordinals: Vec<u32> = series.iter().map(|s| s.ordinal).collect();
            let mut found = Vec::new();
            for number in 0..of {
                let share = Share { number, of };
                let pieces = Arc::clone(&reader).stream_logs(ordinals.clone(), range, read.clone(), share, scan.clone());
                for LogPiece { indexes, rows } in fixture.runtime.block_on(pieces.try_collect::<Vec<_>>()).unwrap() {
                    rows.check(indexes.len(), &read).unwrap();
                    for (i, index) in indexes.iter().enumerate() {
                        for row in rows.offsets[i] as usize..rows.offsets[i + 1] as usize {
                            let set = |codes: &[u32]| rows.metadata_sets[codes[row] as usize].clone();
                            let line = rows.lines.as_ref().unwrap().value(row).to_vec();
                            prop_assert_eq!(rows.line_lengths[row] as usize, line.len());
                            let labels = series[*index as usize].labels.clone();
                            found.push((labels, rows.timestamps[row], line, set(&rows.metadata), set(&rows.derived)));
                        }
                    }
                }
            }
            // Pages come in the order in which they are asked for, with the rows of the whole.
            let again = fixture.scan();
            let pages = fixture.runtime.block_on(Arc::clone(&reader).log_pages(ordinals, range, &read, &again)).unwrap();
            let bounds = pages.bounds().to_vec();
            let order: Vec<u32> = (0..bounds.len() as u32).rev().collect();
            let pieces = fixture.runtime.block_on(pages.read(order.clone()).try_collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(pieces.iter().map(|(page, _)| *page).collect::<Vec<_>>(), order);
            let mut times = Vec::new();
            for (page, piece) in pieces {
                let own = piece.map_or(Vec::new(), |piece| piece.rows.timestamps);
                prop_assert!(own.iter().all(|time| bounds[page as usize].range.contains(*time)));
                times.extend(own);
            }
            let mut shared: Vec<i64> = found.iter().map(|row| row.1).collect();
            times.sort_unstable();
            shared.sort_unstable();
            prop_assert_eq!(times, shared);

            let mut expected = Vec::new();
            let mut inside = 0;
            for (key, entries) in &streams {
                for entry in entries.iter().filter(|e| range.contains(e.time)) {
                    inside += 1;
                    if !filtered || entry.line.len() % 2 == 0 {
                        let Entry { time, line, metadata, derived } = entry.clone();
                        expected.push((key.0.clone(), time, line, metadata, derived));
                    }
                }
            }
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
            // What a filter looks at is counted, whether it passes or not.
            let looked_at = scan.stats.rows.load(Ordering::Relaxed);
            prop_assert_eq!(looked_at, if filtered { inside } else { 0 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_log_segments_never_panic(streams in logs_strategy(), at in any::<prop::sample::Index>(), mask in 1..=255u8) {
        let Some(mut segment) = write_logs(&streams) else { return Ok(()) };
        let at = at.index(segment.bytes.len());
        segment.bytes[at] ^= mask;
        let fixture = Fixture::new();
        let reader = fixture.place("o", &segment);
        for columns in [ALL_COLUMNS, LogColumns { lines: false, metadata: false }] {
            let expected = expected_logs(&streams, TimeRange::ALL, columns);
            for (stream, entries) in read_all_logs(&fixture, &reader, TimeRange::ALL, columns) {
                prop_assert!(entries.iter().all(|entry| expected[&stream].contains(entry)));
            }
        }
    }
}

/// Streams over hours with pages that fill, and one reader that sees page bounds.
#[test]
fn log_pages_are_cut_at_hours_and_a_megabyte() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut streams = Logs::new();
    for app in 0..3 {
        let entries = (0..600).map(|i| Entry {
            time: i * HOUR / 200,
            line: vec![b'a' + (i % 7) as u8; 2000],
            metadata: Labels::empty(),
            derived: Labels::empty(),
        });
        streams.insert(key(&[("service_name", &format!("app{app}"))]), entries.collect());
    }
    let segment = write_logs(&streams).unwrap();
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(read_all_logs(&fixture, &reader, TimeRange::ALL, ALL_COLUMNS), streams);
    let scan = fixture.scan();
    let bounds = fixture
        .runtime
        .block_on(reader.row_bounds(&[0, 1, 2], TimeRange::ALL, &scan))
        .unwrap()
        .unwrap();
    assert!(
        bounds
            .iter()
            .all(|b| b.range.start.div_euclid(HOUR) == (b.range.end - 1).div_euclid(HOUR))
    );
    assert_eq!(bounds.iter().map(|b| b.rows).sum::<u64>(), 1800);

    // The newest rows are known as soon as the pages that reach behind them are read.
    let reader = Arc::new(reader);
    let view = MergedView::new(Vec::new(), vec![Arc::clone(&reader) as Arc<dyn SeriesSource>]);
    let request = SeriesRequest {
        signal: Signal::Logs,
        matchers: Vec::new(),
        range: TimeRange::ALL,
    };
    // Of the two pages of an hour one begins at half past, amid the last stream.
    for (order, newest, expected) in [(LogOrder::Backward, true, 2), (LogOrder::Forward, false, 1)] {
        let scan = fixture.scan();
        let selection = fixture.runtime.block_on(view.select_logs(&request, &scan)).unwrap();
        let mut slabs = selection.scan(0, 1, order, ALL_COLUMNS.into());
        let mut pages = 0u64;
        while let Some(slab) = fixture.runtime.block_on(slabs.try_next()).unwrap() {
            pages += 1;
            let settled = match newest {
                true => slab.rest.end < 3 * HOUR - HOUR / 4,
                false => slab.rest.start > HOUR / 4,
            };
            if settled {
                break;
            }
        }
        assert_eq!(pages, expected, "{order:?}");
        assert_eq!(scan.stats.pages.load(Ordering::Relaxed), expected);
    }
    assert_eq!(bounds.iter().map(|b| b.bytes).sum::<u64>(), 3_600_000);
    // 1.2 MB an hour: two pages each.
    assert_eq!(bounds.len(), 6);
    // An hour's rows are read from its pages only, without their lines.
    let scan = fixture.scan();
    let columns = LogColumns {
        lines: false,
        metadata: false,
    };
    let hour = TimeRange::new(HOUR, 2 * HOUR);
    let rows = fixture
        .runtime
        .block_on(reader.read_logs(&[0, 2], hour, &columns.into(), &scan))
        .unwrap();
    assert_eq!(rows.offsets, [0, 200, 400]);
    assert_eq!(scan.stats.pages.load(Ordering::Relaxed), 2);
    assert!(scan.stats.pages_skipped.load(Ordering::Relaxed) >= 2);
}

#[test]
fn many_days_widen_the_cut_of_log_pages() {
    const HOUR: i64 = 3_600_000_000_000;
    let entries = |n: i64| -> Vec<Entry> {
        (0..n)
            .map(|i| Entry {
                time: i * HOUR,
                line: b"x".to_vec(),
                metadata: Labels::from_pairs([("k", i.to_string())]),
                derived: Labels::empty(),
            })
            .collect()
    };
    let streams: Logs = (0..4)
        .map(|i| (key(&[("app", &i.to_string())]), entries(24 * 90)))
        .collect();
    let segment = write_logs(&streams).unwrap();
    let fixture = Fixture::new();
    let reader = fixture.place("o", &segment);
    assert_eq!(read_all_logs(&fixture, &reader, TimeRange::ALL, ALL_COLUMNS), streams);
    let scan = fixture.scan();
    let bounds = fixture
        .runtime
        .block_on(reader.row_bounds(&[3], TimeRange::ALL, &scan))
        .unwrap()
        .unwrap();
    assert!(bounds.len() < 10, "{} pages", bounds.len());
}
