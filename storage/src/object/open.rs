//! From settings to a [`Bucket`]: `s3://bucket/prefix` or `file:///folder`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{ClientOptions, RetryConfig};
use tokio::runtime::Handle;

use super::bucket::Bucket;
use super::local::DurableLocalStore;
use super::retry::RetryPolicy;
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::file::SharedFiles;

/// Where objects are kept. Settings are plain data; environment variables are read by the caller.
#[derive(Clone, Default)]
pub struct BucketSettings {
    /// `s3://bucket/prefix` or `file:///absolute/folder`.
    pub url: String,
    /// Endpoint of an S3-compatible server, such as `http://127.0.0.1:8333`; AWS itself where absent.
    pub endpoint: Option<String>,
    /// Region that requests are signed for; `us-east-1` where absent.
    pub region: Option<String>,
    /// Access key; with none, the machine's or pod's role is asked for.
    pub access_key_id: Option<String>,
    /// Secret of the access key.
    pub secret_access_key: Option<String>,
    /// Token of temporary keys.
    pub session_token: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`; true where absent and an endpoint is given.
    pub path_style: Option<bool>,
    /// Allow endpoints without TLS.
    pub allow_http: bool,
    /// Timeouts and retries.
    pub retry: RetryPolicy,
}

/// Leaves out the keys.
impl std::fmt::Debug for BucketSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BucketSettings")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("allow_http", &self.allow_http)
            .finish_non_exhaustive()
    }
}

/// Opens the bucket that `settings` name; requests run on `handle`, and those of a local folder through `files`. Asks the
/// network nothing; blocks on the disk where the bucket is a folder. `seed` feeds the jitter of retries.
pub fn open_bucket(settings: &BucketSettings, files: &SharedFiles, handle: Handle, seed: u64) -> Result<Bucket> {
    if let Some(rest) = settings.url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(allowed) {
            return Err(invalid(&settings.url, "no bucket is named"));
        }
        let store = open_s3(settings, bucket)?;
        return Ok(Bucket::new(store, prefix, handle, settings.retry.clone(), seed));
    }
    let Some(folder) = settings
        .url
        .strip_prefix("file://")
        .map(Path::new)
        .filter(|f| f.is_absolute())
    else {
        return Err(invalid(
            &settings.url,
            "unknown scheme, or a folder that is not absolute",
        ));
    };
    let store = DurableLocalStore::open(Arc::clone(files), folder).map_err(|e| {
        let message = format!("object store {}: cannot open the folder", settings.url);
        Error::with_source(ErrorKind::Unavailable, message, e)
    })?;
    Ok(Bucket::local(Arc::new(store), handle, settings.retry.clone(), seed))
}

fn open_s3(settings: &BucketSettings, bucket: &str) -> Result<Arc<dyn Store>> {
    // Our own retries rule: object_store's would multiply with them, and wait for up to three minutes.
    let retry = RetryConfig {
        max_retries: 0,
        retry_timeout: Duration::from_secs(1),
        ..Default::default()
    };
    // The bucket's timeout covers each request; the client's own must not cut a large one short before.
    let client = ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5));
    let path_style = settings.path_style.unwrap_or(settings.endpoint.is_some());
    // Plain S3: one signed PUT with its length; no checksum trailers, no chunked signing, no tags.
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(settings.region.as_deref().unwrap_or("us-east-1"))
        .with_virtual_hosted_style_request(!path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_tagging(true)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &settings.endpoint {
        // With virtual hosts object_store takes the endpoint as it is, bucket and all.
        builder = match path_style {
            true => builder.with_endpoint(endpoint),
            false => builder.with_endpoint(with_bucket_host(endpoint, bucket)),
        };
    }
    if let Some(key) = &settings.access_key_id {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &settings.secret_access_key {
        builder = builder.with_secret_access_key(secret);
    }
    if let Some(token) = &settings.session_token {
        builder = builder.with_token(token);
    }
    let store = builder
        .build()
        .map_err(|e| Error::with_source(ErrorKind::Invalid, format!("object store {}", settings.url), e))?;
    Ok(Arc::new(store))
}

/// `https://host` as `https://bucket.host`.
fn with_bucket_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => format!("{bucket}.{endpoint}"),
    }
}

fn invalid(url: &str, reason: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("object store {url:?}: {reason}; write s3://bucket/prefix or file:///absolute/folder"),
    )
}
