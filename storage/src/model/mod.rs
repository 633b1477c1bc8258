//! The nouns of the domain: tenants, labels, matchers, times and rows. Imports nothing else of garner.

mod exemplar;
pub mod go_text;
mod histogram;
mod labels;
mod matcher;
mod metadata;
mod metadata_map;
mod order;
mod signal;
mod tenant;
mod time;
mod window;

pub use exemplar::Exemplar;
pub use histogram::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Histogram};
pub use labels::{Labels, LabelsBuilder, LabelsError, METRIC_NAME, SERVICE_NAME};
pub(crate) use labels::{split_pair, split_raw_pair};
pub use matcher::{LabelMatcher, MatchOp, MatcherError, Shape};
pub use metadata::{MetadataRef, MetricMetadata, MetricType};
pub use metadata_map::MetadataMap;
pub use order::SeriesKey;
pub(crate) use order::bucket_bound;
pub use signal::Signal;
pub use tenant::{TenantError, TenantId};
pub use time::{NANOS_PER_MILLI, NANOS_PER_SECOND, STALE_NAN_BITS, TimeRange, Timestamp, is_stale};
pub use window::Window;
