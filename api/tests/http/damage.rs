//! Damaged bytes: answers leave them out and say so. And the commands that find and mend damage, as the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use garner_storage::FailPoints;
use garner_storage::clock::SystemClock;
use garner_storage::deletes::NoEntryFilters;
use garner_storage::engine::{Components, Storage, StorageConfig};
use garner_storage::file::{OsFiles, SharedFiles};
use garner_storage::memory::MemoryAccountant;
use garner_storage::model::{Labels, TenantId};
use garner_storage::object::{BucketSettings, open_bucket};

use super::bodies::remote_write;
use super::harness::{NOW_S, Server};

const AT: i64 = NOW_S * 1000;

/// Two flushes of samples and lines; then `change` is made to the first flush's object.
async fn damaged(change: impl FnOnce(&mut Vec<u8>)) -> Server {
    let server = Server::new().await;
    for flush in 0..2 {
        let body = remote_write(&[(&[("__name__", "up"), ("flush", &flush.to_string())], &[(AT, 1.0)])]);
        server.write(body).await.expect(204);
        let line = format!(
            r#"{{"streams":[{{"stream":{{"app":"a","flush":"{flush}"}},"values":[["{NOW_S}000000000","line {flush}"]]}}]}}"#
        );
        server.push_json(line).await.expect(204);
        server.post("/flush", &[], "").await.expect(204);
    }
    let bucket = server.fixture.bucket();
    let objects = bucket.list("v1/segments", None).await.unwrap();
    assert_eq!(objects.len(), 2);
    let mut bytes = bucket.get(&objects[0].path).await.unwrap().to_vec();
    change(&mut bytes);
    bucket.put(&objects[0].path, bytes.into()).await.unwrap();
    server
}

async fn check_answers(server: &Server) {
    let time = NOW_S.to_string();
    let answer = server
        .get("/api/v1/query", &[("query", "up"), ("time", &time), ("stats", "all")])
        .await;
    let json = answer.expect(200).json();
    assert_eq!(json["data"]["result"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["data"]["result"][0]["metric"]["flush"], "1");
    let warning = json["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("this answer is incomplete: 1 damaged"), "{json}");
    assert!(
        json["data"]["stats"]["storage"]["objectRequests"].as_u64().unwrap() > 0,
        "{json}"
    );

    let range = [("start", "1735689000"), ("end", "1735690000")];
    let lines = [&[("query", "{app=\"a\"}")], &range[..]].concat();
    let json = server.get("/loki/api/v1/query_range", &lines).await.expect(200).json();
    let streams = json["data"]["result"].as_array().unwrap();
    assert_eq!(
        (streams.len(), &streams[0]["values"][0][1]),
        (1, &"line 1".into()),
        "{json}"
    );
    assert!(json["warnings"][0].as_str().unwrap().contains("damaged"), "{json}");
    let counted = [
        &[
            ("query", "sum(count_over_time({app=\"a\"} |= \"line\" [1h]))"),
            ("step", "1000"),
        ],
        &range[..],
    ]
    .concat();
    let json = server
        .get("/loki/api/v1/query_range", &counted)
        .await
        .expect(200)
        .json();
    assert!(json["warnings"][0].as_str().unwrap().contains("damaged"), "{json}");
    let page = server.get("/metrics", &[]).await.text;
    let counted = page
        .lines()
        .find(|l| l.starts_with("garner_storage_pages_corrupt_total "))
        .unwrap();
    assert!(
        counted.split(' ').nth(1).unwrap().parse::<u64>().unwrap() >= 3,
        "{counted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_left_out_with_a_warning() {
    // Every page lies before the first tail; of both segments the first bytes are a page.
    let server = damaged(|bytes| {
        let magic = b"GRNRSEGM";
        let first_end = bytes.windows(8).position(|w| w == magic).unwrap() + 8;
        bytes[3] ^= 1;
        bytes[first_end + 3] ^= 1;
    })
    .await;
    check_answers(&server).await;
    // Series are known from the tail.
    let json = server
        .get("/api/v1/series", &[("match[]", "up")])
        .await
        .expect(200)
        .json();
    assert_eq!(json["data"].as_array().unwrap().len(), 2);
    assert_eq!(json["warnings"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_left_out_with_a_warning() {
    let server = damaged(|bytes| {
        let magic = b"GRNRSEGM";
        let ends: Vec<usize> = (0..bytes.len() - 7).filter(|at| &bytes[*at..at + 8] == magic).collect();
        ends.into_iter().for_each(|at| bytes[at + 7] ^= 1);
    })
    .await;
    check_answers(&server).await;
    for (path, params) in [
        ("/api/v1/series", &[("match[]", "up")][..]),
        ("/api/v1/labels", &[]),
        ("/api/v1/label/flush/values", &[]),
    ] {
        let json = server.get(path, params).await.expect(200).json();
        assert!(
            json["warnings"][0].as_str().unwrap().contains("damaged"),
            "{path}: {json}"
        );
    }
}

/// A store on the real disk with one flush, still open.
async fn on_disk(data_dir: &Path) -> Storage {
    let files: SharedFiles = Arc::new(OsFiles);
    let handle = tokio::runtime::Handle::current();
    let settings = BucketSettings {
        url: format!("file://{}", data_dir.join("objects").display()),
        ..BucketSettings::default()
    };
    let components = Components {
        clock: Arc::new(SystemClock),
        bucket: open_bucket(&settings, &files, handle.clone(), 1).unwrap(),
        files,
        accountant: MemoryAccountant::new(1 << 30),
        seed: rand::random(),
        background: handle,
        entry_filters: Arc::new(NoEntryFilters),
        give_back_memory: || (),
        fail_points: FailPoints::default(),
    };
    let storage = Storage::open(StorageConfig::new(data_dir), components).await.unwrap();
    storage.wait_ready().await.unwrap();
    let mut append = storage.begin_samples(&TenantId::new("fake").unwrap()).await.unwrap();
    for name in ["a", "b"] {
        let labels = Labels::from_pairs([("__name__", name)]);
        let series = append.register(labels.fingerprint(), labels).unwrap();
        (0..100).for_each(|i| append.push(series, i * 1_000_000_000, 0.1 * i as f64));
    }
    append.commit().await.unwrap();
    storage.flush().await.unwrap();
    storage
}

fn garner(arguments: &[&str], data_dir: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_garner"));
    let Output { status, stdout, stderr } = command
        .env_clear()
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_finds_damage_and_rebuilds_a_lost_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let storage = on_disk(&data).await;
    let (status, _, stderr) = garner(&["fsck"], &data);
    assert_eq!(status, Some(3), "{stderr}");
    assert!(stderr.contains("is in use by another garner"), "{stderr}");
    storage.close(Duration::from_secs(10)).await.unwrap();
    drop(storage);

    let (status, stdout, stderr) = garner(&["fsck"], &data);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert!(
        stdout.contains("1 segments in 1 objects, 200 rows") && stdout.ends_with("no faults\n"),
        "{stdout}"
    );
    assert!(stderr.contains("checking segments"), "{stderr}");

    let object = files_below(&data.join("objects/v1/segments")).remove(0);
    let whole = std::fs::read(&object).unwrap();
    let mut bytes = whole.clone();
    bytes[5] ^= 0x10;
    std::fs::write(&object, &bytes).unwrap();
    for flags in [&["fsck"][..], &["fsck", "--quick"]] {
        let (status, stdout, _) = garner(flags, &data);
        assert_eq!(status, Some(1), "{stdout}");
        assert!(
            stdout.contains("fault: segment v1/segments/") && stdout.contains("checksum"),
            "{stdout}"
        );
    }
    std::fs::write(&object, &whole).unwrap();

    std::fs::remove_dir_all(data.join("objects/v1/catalog")).unwrap();
    let (status, stdout, _) = garner(&["fsck"], &data);
    assert_eq!(status, Some(1), "{stdout}");
    assert!(
        stdout.contains("catalog: catalog: there is none, but there are segments"),
        "{stdout}"
    );
    assert!(stdout.contains("garner fsck --rebuild"), "{stdout}");
    let (status, stdout, stderr) = garner(&["fsck", "--rebuild"], &data);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    let rebuilt = "rebuilt the catalog as version 1: 0 segments kept, 1 taken in";
    assert!(stdout.contains(rebuilt) && stdout.ends_with("no faults\n"), "{stdout}");
    let (status, stdout, _) = garner(&["fsck", "--rebuild"], &data);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(
        stdout.starts_with("the catalog is whole; nothing to rebuild"),
        "{stdout}"
    );

    let (status, _, stderr) = garner(&["fsck", "--object-store", "ftp://x"], &data);
    assert_eq!(status, Some(2), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_storage_says_what_fits() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = garner(&["storage", "check"], dir.path());
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("ok     read by ranges"), "{stdout}");
    assert!(
        stdout.contains("fits: catalog.single_writer = false (as it is set)"),
        "{stdout}"
    );
    let left = files_below(&dir.path().join("objects"));
    assert!(left.is_empty(), "{left:?}");
}
