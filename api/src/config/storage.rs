//! `[storage]`, `[object_store]`, `[cache]`, `[wal]`, `[flush]`, `[compaction]`, `[catalog]` and `[testing]`: where bytes
//! lie and when they move.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use garner_storage::FailPoints;
use garner_storage::catalog::CatalogSettings;
use garner_storage::engine::{StorageConfig, WalSync};

use garner_storage::object::BucketSettings;

use super::error::ConfigError;
use super::raw::RawValue;
use super::reader::{BOOL, DURATION, Kind, Reader, SIZE, TEXT, scalar_text};

/// The resolved group.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// What the store is opened with.
    pub store: StorageConfig,
    /// `cache.result_size`
    pub result_cache_bytes: u64,
    /// Where objects are kept.
    pub object_store: ObjectStoreSettings,
    /// `testing.fail_points`
    pub fail_points: FailPoints,
}

/// `[object_store]`
#[derive(Clone, Debug)]
pub struct ObjectStoreSettings {
    /// `object_store.url`; empty means the folder `objects` in the data folder.
    pub url: String,
    /// `object_store.endpoint`
    pub endpoint: Option<String>,
    /// `object_store.region`
    pub region: Option<String>,
    /// `object_store.access_key_id`
    pub access_key_id: Option<String>,
    /// `object_store.secret_access_key`
    pub secret_access_key: Option<Secret>,
    /// `object_store.session_token`
    pub session_token: Option<Secret>,
    /// `object_store.path_style`; `None` means path style exactly where an endpoint is given.
    pub path_style: Option<bool>,
    /// `object_store.allow_http`
    pub allow_http: bool,
}

/// A text that no log and no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

const SYNC: Kind<bool> = Kind::new(r#""always" or "interval""#, |value| match scalar_text(value)? {
    "always" => Some(true),
    "interval" => Some(false),
    _ => None,
});

const URL: Kind<String> = Kind::new(
    r#"a URL such as "s3://bucket/prefix" or "file:///var/lib/garner""#,
    |value| {
        let url = scalar_text(value)?;
        let s3 = url
            .strip_prefix("s3://")
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let known = url.is_empty() || s3 || url.starts_with("file:///");
        known.then(|| url.to_string())
    },
);

const ENDPOINT: Kind<String> = Kind::new(
    r#"a URL such as "https://s3.example.com" or "http://127.0.0.1:9000""#,
    |value| {
        let url = scalar_text(value)?;
        let known = url.is_empty() || url.starts_with("http://") || url.starts_with("https://");
        known.then(|| url.to_string())
    },
);

const MAYBE_BOOL: Kind<Option<bool>> =
    Kind::new(r#""true", "false" or "auto""#, |value: &RawValue| {
        match scalar_text(value)? {
            "auto" => Some(None),
            text => text.parse().ok().map(Some),
        }
    });

const FAIL_POINTS: Kind<FailPoints> = Kind::new(r#"a list such as "flush.object_put=abort:1""#, |value| {
    FailPoints::parse(scalar_text(value)?)
});

const SHARE: Kind<f64> = Kind::new("a share between 0.05 and 0.9", |value| {
    scalar_text(value)?
        .parse()
        .ok()
        .filter(|share| (0.05..=0.9).contains(share))
});

impl StorageSettings {
    /// Declares and reads the group.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let data_dir = from.get(
            "storage.data_dir",
            &TEXT,
            "./garner-data",
            "Folder of the WAL, and of the objects where no object store is named. One server at a time holds it.",
        )?;
        let object_store = ObjectStoreSettings::read(from)?;
        let sync_always = from.get(
            "wal.sync",
            &SYNC,
            "always",
            "When a write is acknowledged: `always` after its bytes are synced to disk (writes at one time share a sync), \
             `interval` before. With `interval` a power cut loses the acknowledged writes of the last `wal.sync_interval`; \
             a crash of the process loses none.",
        )?;
        let sync_interval = from.get(
            "wal.sync_interval",
            &DURATION,
            "100ms",
            "Longest time between two syncs where `wal.sync` is `interval`.",
        )?;
        let single_writer = from.get(
            "catalog.single_writer",
            &BOOL,
            "false",
            "Set where the object store cannot create an object only if it does not exist. Then exactly one garner may \
             write to the bucket; a heartbeat object detects a second one but cannot prevent it.",
        )?;
        let tail_cache_bytes = from.get(
            "storage.index_cache_size",
            &SIZE,
            "128MB",
            "Memory for directories, series tables and label indexes of segments, kept for later queries.",
        )?;
        let data_dir = PathBuf::from(data_dir);
        let cache = super::cache::read(from, &data_dir, object_store.url.starts_with("s3://"))?;
        let store = StorageConfig {
            data_dir,
            wal_sync: if sync_always { WalSync::Always } else { WalSync::Interval(sync_interval) },
            wal_file_bytes: from.get(
                "wal.file_size",
                &SIZE,
                "64MB",
                "Size at which a WAL file is closed and the next begun. Disk space comes back in whole files; smaller files \
                 repeat the labels of series more often.",
            )?,
            wal_max_bytes: from.get(
                "wal.max_size",
                &SIZE,
                "2GB",
                "Size of the whole WAL at which the tenants that hold back its oldest file are flushed early. Bounds disk \
                 use and the time of a replay.",
            )?,
            metrics_flush_age: from.get(
                "flush.metrics_max_age",
                &non_zero_duration(),
                "30m",
                "Age at which recent samples go to the object store. Longer means larger, denser objects and more memory. \
                 What is younger is lost with the machine's disk.",
            )?,
            metrics_flush_bytes: from.get(
                "flush.metrics_max_size",
                &SIZE,
                "64MB",
                "Memory that a tenant's recent samples may take before they go to the object store, at one to two bytes a \
                 sample. More makes larger objects of a tenant with many series, or of a fast backfill.",
            )?,
            logs_flush_age: from.get(
                "flush.logs_max_age",
                &non_zero_duration(),
                "5m",
                "Age at which recent log entries go to the object store. Each round costs at least one PUT and one commit.",
            )?,
            logs_flush_bytes: from.get(
                "flush.logs_max_size",
                &SIZE,
                "64MB",
                "Bytes of a tenant's recent log lines at which they go to the object store.",
            )?,
            head_memory_share: from.get(
                "flush.memory_share",
                &SHARE,
                "0.4",
                "Share of `memory.limit` that recent rows may hold before the largest tenants are flushed early.",
            )?,
            tail_cache_bytes,
            piece_cache: cache.pieces,
            catalog: CatalogSettings {
                single_writer,
                ..CatalogSettings::default()
            },
            background_upkeep: from.get(
                "compaction.enabled",
                &BOOL,
                "true",
                "Merge segments, drop what has expired and delete replaced objects in the background. Without it they pile \
                 up, and only `POST /garner/api/v1/admin/compact` and Prometheus' `clean_tombstones` do so.",
            )?,
            compaction_bytes_per_second: from.get(
                "compaction.max_rate",
                &SIZE,
                "64MB",
                "Bytes of rows, before encoding, that background compaction works on in a second; 0 means no limit. Less \
                 leaves more of the machine to writes and queries; every row is written about four times in its life, so it \
                 should be at least five times what is ingested.",
            )?,
            deletion_grace: from.get(
                "compaction.deletion_grace",
                &DURATION,
                "1h",
                "How long an object stays after its last segment was merged into another or dropped, for queries that still \
                 read it; at least twice `limits.query_timeout` and five minutes. Longer costs storage.",
            )?,
            // Deletes and retention have sections of their own.
            ..StorageConfig::new("")
        };
        let fail_points = from.get(
            "testing.fail_points",
            &FAIL_POINTS,
            "",
            "For crash tests only: places of a flush or a compaction at which the server fails, stalls or dies, such as \
             `flush.object_put=abort`.",
        )?;
        Ok(StorageSettings {
            store,
            result_cache_bytes: cache.result_bytes,
            object_store,
            fail_points,
        })
    }

    /// How the object store is opened, with the embedded default filled in. Relative folders are of `current_dir`.
    pub fn bucket(&self, current_dir: &Path) -> BucketSettings {
        let given = &self.object_store;
        let url = match given.url.as_str() {
            "" => format!(
                "file://{}",
                current_dir.join(&self.store.data_dir).join("objects").display()
            ),
            url => url.to_string(),
        };
        let shown = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.0.clone());
        BucketSettings {
            url,
            endpoint: given.endpoint.clone(),
            region: given.region.clone(),
            access_key_id: given.access_key_id.clone(),
            secret_access_key: shown(&given.secret_access_key),
            session_token: shown(&given.session_token),
            path_style: given.path_style,
            allow_http: given.allow_http,
            ..BucketSettings::default()
        }
    }
}

fn non_zero_duration() -> Kind<Duration> {
    Kind::new(r#"a duration above zero such as "5m""#, |value| {
        super::duration::parse_duration(scalar_text(value)?).filter(|duration| !duration.is_zero())
    })
}

impl ObjectStoreSettings {
    fn read(from: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let filled = |text: String| Some(text).filter(|t| !t.is_empty());
        Ok(ObjectStoreSettings {
            url: from.get(
                "object_store.url",
                &URL,
                "",
                "Where everything but the last minutes is kept: `s3://bucket/prefix` or `file:///folder`. Empty means the \
                 folder `objects` in `storage.data_dir`.",
            )?,
            endpoint: filled(from.get_or_vars(
                "object_store.endpoint",
                &ENDPOINT,
                "",
                &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
                "URL of an S3-compatible server (MinIO, Ceph, SeaweedFS, …); empty means AWS.",
            )?),
            region: filled(from.get_or_vars(
                "object_store.region",
                &TEXT,
                "",
                &["AWS_REGION", "AWS_DEFAULT_REGION"],
                "Region that requests are signed for; empty means `us-east-1`.",
            )?),
            access_key_id: filled(from.get_or_vars(
                "object_store.access_key_id",
                &TEXT,
                "",
                &["AWS_ACCESS_KEY_ID"],
                "Access key; empty means the machine's or pod's role.",
            )?),
            secret_access_key: filled(from.get_or_vars(
                "object_store.secret_access_key",
                &TEXT,
                "",
                &["AWS_SECRET_ACCESS_KEY"],
                "Secret of the access key.",
            )?)
            .map(Secret),
            session_token: filled(from.get_or_vars(
                "object_store.session_token",
                &TEXT,
                "",
                &["AWS_SESSION_TOKEN"],
                "Token of temporary keys.",
            )?)
            .map(Secret),
            path_style: from.get(
                "object_store.path_style",
                &MAYBE_BOOL,
                "auto",
                "Address objects as `endpoint/bucket/key` (`true`) or `bucket.endpoint/key` (`false`); `auto` means the \
                 former exactly where an endpoint is given.",
            )?,
            allow_http: from.get_or_vars(
                "object_store.allow_http",
                &BOOL,
                "false",
                &["AWS_ALLOW_HTTP"],
                "Allow an endpoint without TLS. Keys are never sent, but data is readable on the network.",
            )?,
        })
    }
}
