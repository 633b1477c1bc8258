//! From settings to a [`Bucket`]: `s3://bucket/prefix` or `file:///folder`.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use tokio::runtime::Handle;

use super::bucket::Bucket;
use super::retry::RetryPolicy;
use crate::error::{Error, ErrorKind, Result};

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

/// Opens the bucket that `settings` name; requests run on `handle`. Asks the network nothing.
pub fn open_bucket(settings: &BucketSettings, handle: Handle, seed: u64) -> Result<Bucket> {
    if let Some(rest) = settings.url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(invalid(&settings.url, "no bucket is named"));
        }
        let store = open_s3(settings, bucket)?;
        return Ok(Bucket::new(store, prefix, handle, settings.retry.clone(), seed));
    }
    Err(invalid(&settings.url, "unknown scheme"))
}

fn open_s3(settings: &BucketSettings, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
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
    // Plain S3: one signed PUT with its length; no checksum trailers, no chunked signing, no tags.
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(settings.region.as_deref().unwrap_or("us-east-1"))
        .with_virtual_hosted_style_request(!settings.path_style.unwrap_or(settings.endpoint.is_some()))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_tagging(true)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
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

fn invalid(url: &str, reason: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("object store {url:?}: {reason}; write s3://bucket/prefix or file:///absolute/folder"),
    )
}
