//! Buckets over every store: one suite of behaviour, then faults.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio::runtime::Handle;

use super::{
    Bucket, BucketSettings, DurableLocalStore, ObjectWriter, PutOutcome, RetryPolicy, Store, Verb, open_bucket,
};
use crate::error::ErrorKind;
use crate::file::{OsFiles, SharedFiles};
use crate::testing::{Faults, FaultyStore, SimDisk};

fn policy() -> RetryPolicy {
    RetryPolicy {
        backoff_initial: Duration::from_micros(10),
        backoff_max: Duration::from_micros(100),
        ..Default::default()
    }
}

fn bucket(store: Arc<dyn Store>, prefix: &str) -> Bucket {
    Bucket::new(store, prefix, Handle::current(), policy(), 1)
}

async fn behaves(bucket: &Bucket) {
    let paths = |infos: Vec<super::ObjectInfo>| infos.into_iter().map(|i| (i.path, i.size)).collect::<Vec<_>>();
    assert_eq!(bucket.list("v1/catalog", None).await.unwrap(), []);
    assert_eq!(bucket.get("v1/none").await.unwrap_err().kind(), ErrorKind::NotFound);
    bucket.put("v1/catalog/b", "hello".into()).await.unwrap();
    bucket.put("v1/catalog/b", "hello world".into()).await.unwrap();
    assert_eq!(
        bucket.put_if_absent("v1/catalog/a", "A".into()).await.unwrap(),
        PutOutcome::Created
    );
    assert_eq!(
        bucket.put_if_absent("v1/catalog/a", "B".into()).await.unwrap(),
        PutOutcome::Exists
    );
    assert_eq!(bucket.get("v1/catalog/a").await.unwrap(), "A");
    assert_eq!(bucket.get_range("v1/catalog/b", 4..7).await.unwrap(), "o w");
    assert_eq!(bucket.get_range("v1/catalog/b", 7..7).await.unwrap(), "");
    assert_eq!(
        bucket.get_range("v1/catalog/b", 4..99).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    for beyond in [11..12, 50..60] {
        let error = bucket.get_range("v1/catalog/b", beyond).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert_eq!(
        bucket.get_range("v1/none", 1..2).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    bucket.put("v1/catalog/sub/c", "".into()).await.unwrap();
    assert_eq!(bucket.get("v1/catalog/sub/c").await.unwrap(), "");
    bucket.put("v1/other", "x".into()).await.unwrap();
    let all = [
        ("v1/catalog/a".into(), 1),
        ("v1/catalog/b".into(), 11),
        ("v1/catalog/sub/c".into(), 0),
    ];
    assert_eq!(paths(bucket.list("v1/catalog", None).await.unwrap()), all);
    assert_eq!(
        paths(bucket.list("v1/catalog", Some("v1/catalog/a")).await.unwrap()),
        all[1..]
    );
    bucket.delete("v1/catalog/a").await.unwrap();
    bucket.delete("v1/catalog/a").await.unwrap();
    assert_eq!(paths(bucket.list("v1/catalog", None).await.unwrap()), all[1..]);
    let puts = bucket.counts(Verb::Put);
    assert_eq!((puts.requests, puts.errors, puts.bytes), (6, 0, 18));
}

#[tokio::test]
async fn every_store_behaves_alike() {
    behaves(&bucket(Arc::new(InMemory::new()), "")).await;
    behaves(&bucket(Arc::new(InMemory::new()), "some/prefix")).await;
    let folder = tempfile::tempdir().unwrap();
    let files: SharedFiles = Arc::new(OsFiles);
    let store = DurableLocalStore::open(Arc::clone(&files), folder.path()).unwrap();
    behaves(&bucket(Arc::new(store.clone()), "")).await;
    behaves(&bucket(Arc::new(store), "pre")).await;
    // Nothing half written stays, and leftovers of a crash go at the next open.
    let temp = folder.path().join(".tmp");
    assert_eq!(files.list(&temp).unwrap(), []);
    files.create_new(&temp.join("0")).unwrap();
    let settings = BucketSettings {
        url: format!("file://{}", folder.path().display()),
        ..Default::default()
    };
    let opened = open_bucket(&settings, &files, Handle::current(), 1).unwrap();
    assert_eq!(files.list(&temp).unwrap(), []);
    assert_eq!(opened.get("pre/v1/other").await.unwrap(), "x");
}

#[tokio::test]
async fn requests_are_tried_again_and_give_up_in_the_end() {
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), 3));
    let shared: Arc<dyn Store> = store.clone();
    let bucket = bucket(shared, "");
    store.set_faults(Faults {
        refused: 0.2,
        answer_lost: 0.1,
    });
    for i in 0..50 {
        let path = format!("o/{i}");
        bucket.put(&path, path.clone().into()).await.unwrap();
        assert_eq!(bucket.get(&path).await.unwrap(), path);
    }
    assert!(store.injected() > 10);
    store.set_faults(Faults {
        refused: 1.0,
        ..Default::default()
    });
    let before = bucket.counts(Verb::Put).requests;
    let error = bucket.put("o/x", "".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        bucket.counts(Verb::Put).requests - before,
        u64::from(policy().max_attempts)
    );
    assert!(error.to_string().contains("put o/x failed 5 times"), "{error}");
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_off() {
    #[derive(Debug)]
    struct Hangs;
    impl std::fmt::Display for Hangs {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("hangs")
        }
    }
    #[async_trait::async_trait]
    impl ObjectStore for Hangs {
        async fn put_opts(
            &self,
            _: &object_store::path::Path,
            _: object_store::PutPayload,
            _: object_store::PutOptions,
        ) -> object_store::Result<object_store::PutResult> {
            std::future::pending().await
        }
        async fn put_multipart_opts(
            &self,
            _: &object_store::path::Path,
            _: object_store::PutMultipartOptions,
        ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
            std::future::pending().await
        }
        async fn get_opts(
            &self,
            _: &object_store::path::Path,
            _: object_store::GetOptions,
        ) -> object_store::Result<object_store::GetResult> {
            std::future::pending().await
        }
        fn delete_stream(
            &self,
            locations: futures::stream::BoxStream<'static, object_store::Result<object_store::path::Path>>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::path::Path>> {
            locations
        }
        fn list(
            &self,
            _: Option<&object_store::path::Path>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
            Box::pin(futures::stream::pending())
        }
        async fn list_with_delimiter(
            &self,
            _: Option<&object_store::path::Path>,
        ) -> object_store::Result<object_store::ListResult> {
            std::future::pending().await
        }
        async fn copy_opts(
            &self,
            _: &object_store::path::Path,
            _: &object_store::path::Path,
            _: object_store::CopyOptions,
        ) -> object_store::Result<()> {
            std::future::pending().await
        }
    }
    #[async_trait::async_trait]
    impl object_store::multipart::MultipartStore for Hangs {
        async fn create_multipart(&self, _: &object_store::path::Path) -> object_store::Result<String> {
            std::future::pending().await
        }
        async fn put_part(
            &self,
            _: &object_store::path::Path,
            _: &String,
            _: usize,
            _: object_store::PutPayload,
        ) -> object_store::Result<object_store::multipart::PartId> {
            std::future::pending().await
        }
        async fn complete_multipart(
            &self,
            _: &object_store::path::Path,
            _: &String,
            _: Vec<object_store::multipart::PartId>,
        ) -> object_store::Result<object_store::PutResult> {
            std::future::pending().await
        }
        async fn abort_multipart(&self, _: &object_store::path::Path, _: &String) -> object_store::Result<()> {
            std::future::pending().await
        }
    }
    let quick = RetryPolicy {
        request_timeout: Duration::from_millis(2),
        max_attempts: 2,
        ..policy()
    };
    let bucket = Bucket::new(Arc::new(Hangs), "", Handle::current(), quick, 1);
    assert_eq!(bucket.get("x").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bucket.list("x", None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bucket.counts(Verb::Get).errors, 2);
}

#[tokio::test]
async fn bad_settings_are_named() {
    let files: SharedFiles = Arc::new(OsFiles);
    let check = |url: &str, expected: &str| {
        let settings = BucketSettings {
            url: url.to_string(),
            ..Default::default()
        };
        let error = open_bucket(&settings, &files, Handle::current(), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("gs://x", "unknown scheme");
    check("s3://", "no bucket");
    check("s3:///prefix", "no bucket");
    check("file://relative/folder", "not absolute");
    let settings = BucketSettings {
        url: "s3://logs/pre".into(),
        endpoint: Some("http://127.0.0.1:1".into()),
        secret_access_key: Some("secret".into()),
        access_key_id: Some("key".into()),
        allow_http: true,
        retry: RetryPolicy {
            max_attempts: 1,
            ..policy()
        },
        ..Default::default()
    };
    assert!(!format!("{settings:?}").contains("secret"));
    let bucket = open_bucket(&settings, &files, Handle::current(), 1).unwrap();
    assert_eq!(bucket.get("x").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// Objects of several lengths, written in pieces of odd sizes through a store that fails, come back byte for byte.
async fn check_writer(store: Arc<dyn Store>) {
    let store = Arc::new(FaultyStore::new(store, 9));
    let bucket = bucket(store.clone(), "pre");
    let part = ObjectWriter::MAX_HELD_BYTES as usize;
    for len in [0, 1, part - 1, part, part + 1, 2 * part, 2 * part + part / 2] {
        store.set_faults(Faults {
            refused: 0.1,
            answer_lost: 0.1,
        });
        let bytes: Vec<u8> = (0..len).map(|i| (i / 7 + i / part) as u8).collect();
        let path = format!("o/{len}");
        let mut writer = bucket.writer(&path);
        for piece in bytes.chunks(1_234_567) {
            assert_eq!(bucket.get(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
            writer.write(piece).await.unwrap();
        }
        assert_eq!(writer.len(), len as u64);
        assert_eq!(writer.finish().await.unwrap(), len as u64);
        assert_eq!(bucket.get(&path).await.unwrap(), bytes);
    }
    let mut given_up = bucket.writer("o/none");
    given_up.write(&vec![1; 2 * part]).await.unwrap();
    given_up.abort().await;
    store.set_faults(Faults::default());
    assert_eq!(bucket.get("o/none").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bucket.list("o", None).await.unwrap().len(), 7);
}

#[tokio::test]
async fn large_objects_are_written_in_parts_to_memory() {
    check_writer(Arc::new(InMemory::new())).await;
}

#[tokio::test]
async fn large_objects_are_written_in_parts_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let files: SharedFiles = Arc::new(OsFiles);
    let store = DurableLocalStore::open(Arc::clone(&files), folder.path()).unwrap();
    check_writer(Arc::new(store)).await;
    let left = files.list(&folder.path().join(".tmp")).unwrap();
    assert_eq!(left, [], "nothing half written is left");
}

/// What was acknowledged is there after a power loss, whole; what was refused is there whole or as it was before.
#[tokio::test]
async fn a_folder_keeps_what_it_acknowledged_through_power_loss() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let root = Path::new("/data/objects");
        let open = || {
            let files: SharedFiles = Arc::new(disk.files());
            let store = DurableLocalStore::open(files, root).unwrap();
            let quick = RetryPolicy {
                max_attempts: 1,
                ..policy()
            };
            Bucket::new(Arc::new(store), "", Handle::current(), quick, 1)
        };
        let bucket = open();
        bucket.put("v1/a", "old a".into()).await.unwrap();
        bucket.put("v1/sub/b", "b".into()).await.unwrap();
        assert_eq!(
            bucket.put_if_absent("v1/sub/c", "c".into()).await.unwrap(),
            PutOutcome::Created
        );
        bucket.put("v1/gone", "gone".into()).await.unwrap();
        bucket.delete("v1/gone").await.unwrap();
        disk.fail_syncs(true);
        assert!(bucket.put("v1/a", "new a".into()).await.is_err());
        assert!(bucket.put_if_absent("v1/sub/d", "d".into()).await.is_err());
        // An object that exists is only called existing when its name is durable.
        assert!(bucket.put_if_absent("v1/sub/c", "other".into()).await.is_err());
        disk.fail_syncs(false);
        disk.power_loss();
        let bucket = open();
        let a = bucket.get("v1/a").await.unwrap();
        assert!(a == "old a" || a == "new a", "{a:?}");
        assert_eq!(bucket.get("v1/sub/b").await.unwrap(), "b");
        assert_eq!(bucket.get("v1/sub/c").await.unwrap(), "c");
        assert_eq!(bucket.get("v1/gone").await.unwrap_err().kind(), ErrorKind::NotFound);
        match bucket.get("v1/sub/d").await {
            Ok(d) => assert_eq!(d, "d"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_passes() {
    let disk = SimDisk::new(1);
    let files: SharedFiles = Arc::new(disk.files());
    let store = DurableLocalStore::open(files, Path::new("/o")).unwrap();
    let bucket = bucket(Arc::new(store), "");
    bucket.put("a", "first".into()).await.unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 10));
    let error = bucket.put("a", vec![0; 100].into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(bucket.get("a").await.unwrap(), "first");
    disk.set_capacity(None);
    bucket.put("a", "second".into()).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), "second");
}

/// Against a real S3 server: `GARNER_TEST_S3=http://127.0.0.1:8333/bucket` (keys `garner`/`garner-secret`), run with `--ignored`.
#[tokio::test]
#[ignore = "needs a server"]
async fn a_real_s3_server_behaves() {
    let address = std::env::var("GARNER_TEST_S3").unwrap();
    let (endpoint, name) = address.rsplit_once('/').unwrap();
    let unique = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let settings = BucketSettings {
        url: format!("s3://{name}/test/{unique}"),
        endpoint: Some(endpoint.into()),
        access_key_id: Some("garner".into()),
        secret_access_key: Some("garner-secret".into()),
        allow_http: true,
        ..Default::default()
    };
    let files: SharedFiles = Arc::new(OsFiles);
    let bucket = open_bucket(&settings, &files, Handle::current(), 1).unwrap();
    behaves(&bucket).await;
    // Of many creates of one object at one time one wins, and its bytes are the ones that stay. Few rounds: SeaweedFS makes
    // those that meet wait for whole seconds.
    for round in 0..4 {
        let path = format!("race/{round}");
        let creates = (0..8).map(|i| {
            let (bucket, path) = (bucket.clone(), path.clone());
            tokio::spawn(async move { (i, bucket.put_if_absent(&path, format!("{i}").into()).await.unwrap()) })
        });
        let mut winners = Vec::new();
        for create in futures::future::join_all(creates).await {
            let (i, outcome) = create.unwrap();
            if outcome == PutOutcome::Created {
                winners.push(format!("{i}"));
            }
        }
        assert_eq!(
            winners,
            [String::from_utf8(bucket.get(&path).await.unwrap().to_vec()).unwrap()]
        );
    }
}
