//! Replays the kept corpus of the fuzz target, and damages each of its files in many ways.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use garner_storage::codec::metric_page::{self, ChunkInput};
use garner_storage::testing::decode_any;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Damaged copies of each file.
const COPIES: usize = 60;

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/pages");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

#[test]
fn the_corpus_is_decoded_or_refused() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "{} files", corpus.len());
    for (path, bytes) in corpus {
        // The harness says which test failed; this says which file it was at.
        eprintln!("{}", path.display());
        decode_any(&bytes);
    }
}

#[test]
fn damaged_copies_of_the_corpus_are_decoded_or_refused() {
    let corpus = corpus();
    let mut rng = StdRng::seed_from_u64(1);
    for (_, bytes) in &corpus {
        for _ in 0..COPIES {
            let mut copy = bytes.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..copy.len().max(1));
                match rng.random_range(0..4) {
                    0 => copy.truncate(at),
                    1 => copy.insert(at.min(copy.len()), rng.random()),
                    2 => {
                        let other = &corpus[rng.random_range(0..corpus.len())].1;
                        copy.truncate(at);
                        copy.extend_from_slice(&other[at.min(other.len())..]);
                    }
                    _ => {
                        if let Some(byte) = copy.get_mut(at) {
                            *byte ^= 1 << rng.random_range(0..8);
                        }
                    }
                }
            }
            decode_any(&copy);
        }
    }
}

/// The files that the corpus began with: a metric page of each kind of series, plain so that damage gets past zstd.
#[test]
#[ignore = "writes the first files of the corpus"]
fn write_first_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/pages");
    let mut rng = StdRng::seed_from_u64(2);
    let mut sum = 0.0;
    let mut walk = 0i64;
    let mut series = |make: &mut dyn FnMut(&mut StdRng, usize) -> f64| -> Vec<f64> {
        (0..150).map(|row| make(&mut rng, row)).collect()
    };
    let kinds: Vec<(&str, Vec<f64>)> = vec![
        ("constant", series(&mut |_, _| 42.5)),
        (
            "constant-nan",
            series(&mut |_, _| f64::from_bits(0x7ff8_0000_0000_0007)),
        ),
        ("linear", series(&mut |_, row| row as f64 * 0.25)),
        ("plain", series(&mut |rng, _| f64::from(rng.random_range(0..100)))),
        (
            "counter",
            series(&mut |rng, _| {
                walk += rng.random_range(1000..1100);
                walk as f64
            }),
        ),
        ("squares", series(&mut |_, row| (row * row) as f64)),
        (
            "steps",
            series(&mut |rng, row| (row / 20 * 4096 * rng.random_range(0..2)) as f64),
        ),
        (
            "exceptions",
            series(&mut |_, row| if row % 50 == 7 { -0.0 } else { row as f64 / 10.0 }),
        ),
        (
            "multiplied",
            series(&mut |rng, _| f64::from(rng.random_range(0..1_000_000)) * 0.001),
        ),
        (
            "thousands",
            series(&mut |rng, _| f64::from(rng.random_range(0..1_000_000)) / 1000.0 / 1000.0),
        ),
        (
            "summed",
            series(&mut |rng, _| {
                sum += f64::from(rng.random_range(0..1_000_000)) / 1e9;
                sum
            }),
        ),
        ("floats", series(&mut |rng, _| rng.random())),
        ("raw", series(&mut |rng, _| f64::from_bits(rng.random()))),
    ];
    let write = |name: &str, chunks: &[ChunkInput<'_>]| {
        // At the fastest level incompressible pages stay plain; the others are kept as frames too.
        let page = metric_page::encode(chunks, 1).unwrap();
        std::fs::write(folder.join(name), [&[0][..], &page].concat()).unwrap();
    };
    let chunk = |values| ChunkInput {
        values,
        next_bucket: true,
    };
    for (name, values) in &kinds {
        write(&format!("page-{name}"), &[chunk(values), chunk(values)]);
        write(&format!("page-{name}-short"), &[chunk(&values[..3])]);
    }
    let all: Vec<ChunkInput<'_>> = kinds.iter().map(|(_, values)| chunk(values)).collect();
    write("page-all", &all);
    // What compaction writes of a longer counter: an entropy code.
    let mut sum = 0;
    let noisy: Vec<f64> = (0..1500)
        .map(|row| {
            sum = if row == 700 { 0 } else { sum + rng.random_range(0..1500) };
            f64::from(sum) / 100.0
        })
        .collect();
    let page = metric_page::encode_smallest(&[chunk(&noisy)], 1).unwrap();
    assert!(page.len() < metric_page::encode(&[chunk(&noisy)], 1).unwrap().len());
    std::fs::write(folder.join("page-entropy"), [&[0][..], &page].concat()).unwrap();
    for part in 0..10u8 {
        let bytes: Vec<u8> = [3, part].into_iter().chain((0..40).map(|i| i % 5)).collect();
        std::fs::write(folder.join(format!("part-{part}")), bytes).unwrap();
    }
    std::fs::write(
        folder.join("times"),
        [&[1, 2, 8][..], &[1, 4, 3, 8, 2, 1, 0, 3, 2, 1]].concat(),
    )
    .unwrap();
}
